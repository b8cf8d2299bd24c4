"""A folder for others: it loads in three lines each way, and its card says what it is."""

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml

from blocks.arch import parse_arch
from blocks.network import Network
from scaling import predict
from scaling.publishing import folder
from tests.conftest import Refuse
from tests.scaling.inference.conftest import Here


@pytest.fixture(autouse=True)
def soon(monkeypatch: pytest.MonkeyPatch) -> None:
    """The latency is not what is tested here."""
    monkeypatch.setattr(folder, "SECONDS", 0.1)


def blocks_of(card: str) -> list[str]:
    """The Python of the card."""
    return re.findall(r"^```python\n(.*?)^```$", card, flags=re.MULTILINE | re.DOTALL)


@pytest.mark.filterwarnings("default")  # what timm and ONNX import
def test_every_way_of_loading_gives_the_same_logits(
    here: Here, study: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, digit_files: Path
) -> None:
    home = ["study=main", f"results_dir={study.parent}"]
    said = here("publish", *home, "license=mit", "output=b0", "draws=20")
    assert "timm's model" in said.stdout
    card = (tmp_path / "b0" / "README.md").read_text()
    ours, timm, onnx = blocks_of(card)
    for block in (ours, timm, onnx):
        assert len(block.strip().splitlines()) == 3
    images = torch.randn(4, 1, 8, 8, generator=torch.Generator().manual_seed(0))
    found = []
    for block in (ours, timm + "logits = model(images)\n", onnx):
        names: dict[str, Any] = {"images": images}
        exec(block, names)  # as a reader would paste them
        found.append(torch.as_tensor(names["logits"]).detach())
    for logits in found[1:]:
        assert torch.allclose(logits, found[0], atol=1e-4)
    own = yaml.safe_load((study / "b0.yaml").read_text())
    head = yaml.safe_load(card.split("---")[1])
    assert head["license"] == "mit"
    assert own["dataset"]["sha256"] in card
    accuracy = own["final"]["test_accuracy"]
    assert f"| top-1 accuracy | {accuracy:.4f} |" in card
    assert f"| {own['cost']['macs']:,} | macs" in card
    published = predict("b0", digit_files)
    assert published["class"].tolist() == predict(study, digit_files)["class"].tolist()


@pytest.mark.filterwarnings("default")
def test_what_timm_cannot_say_is_said(
    here: Here, copied: Callable[..., Path], digit_files: Path, tmp_path: Path
) -> None:
    spelling = "r8-i1-s8-[bt_r1_k3_s1_e0.5_c16]-h0"
    path = copied(arch=spelling)
    network = Network(parse_arch(spelling), 10)
    torch.save(network.state_dict(), path.parent / "b0.pt")
    said = here("publish", str(path), "output=odd", f"images={digit_files}", "draws=20")
    assert "timm does not build it" in said.stdout
    assert "licence is unknown" in said.stdout
    card = (tmp_path / "odd" / "README.md").read_text()
    assert "it has a bottleneck block" in card
    assert "10 of 10 classes were judged on fewer than 30 images" in card


def test_mistakes_are_one_line(
    refuse: Refuse, study: Path, onnx_file: Path, tmp_path: Path
) -> None:
    assert "publish of nothing: expected MODEL" in refuse("scaling", "publish")
    assert "is an ONNX file" in refuse("scaling", "publish", str(onnx_file), "images=none")
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "thesis.txt").write_text("years of work")
    arguments = ["publish", str(study), "images=none", "output=mine"]
    assert "mine holds other files" in refuse("scaling", *arguments)
    assert (tmp_path / "mine" / "thesis.txt").is_file()
    assert "name=a/b" in refuse("scaling", "publish", str(study), "images=none", "name=a/b")
