"""The same network and images are the same accuracy: in the search, at work, and exported."""

import re
from pathlib import Path

import numpy as np
import pytest
import yaml
from PIL import Image
from sklearn.datasets import load_digits

from scaling import evaluate
from tests.conftest import Cli


@pytest.fixture(scope="module")
def photographs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Four digits, enlarged to other shapes and sizes, with train and test: what crops and
    interpolations tell apart."""
    root = tmp_path_factory.mktemp("photographs") / "digits"
    bunch, generator = load_digits(n_class=4), np.random.default_rng(0)
    for number, (image, label) in enumerate(zip(bunch.images, bunch.target, strict=True)):
        part = "train" if number < 400 else "test"
        path = root / part / f"digit {label}" / f"{number:03}.{'jpg' if number % 2 else 'png'}"
        path.parent.mkdir(parents=True, exist_ok=True)
        width, height = (int(side) for side in generator.integers(24, 60, 2))
        pixels = Image.fromarray((image * 15).astype(np.uint8))
        pixels.resize((width, height), Image.Resampling.BICUBIC).convert("RGB").save(path)
    return root


def test_search_evaluate_and_export_agree(cli: Cli, photographs: Path, tmp_path: Path) -> None:
    cli(
        "search", "run", "dataset=imagefolder", f"dataset.root={photographs}",
        "proxy.resolution=16", "proxy.epochs=2", "proxy.flip=false", "search.trials=1",
        "space=tiny", "budget.max_macs=2M", "search.finalists=1", "search.final_epochs=3",
        "search.references=[]", "search.controls=0", "search.scale=false", "workers.count=1",
    )  # fmt: skip
    b0 = yaml.safe_load((tmp_path / "results" / "main" / "b0.yaml").read_text())
    searched = b0["final"]["test_accuracy"]
    assert 0.5 < searched < 1  # it has learnt, and an image more or less would be seen
    assert b0["reading"] == {"image_size": [24, 24]}

    def evaluated(network: Path | None, images: Path | None, **settings: str) -> dict[str, float]:
        found = evaluate(network, images, draws=20, **settings)
        return {name: figure.value for name, figure in found.judged.figures.items()}

    results = tmp_path / "results"
    own = evaluated(None, None, study="main", results_dir=str(results))
    assert own["accuracy"] == pytest.approx(searched, abs=1e-9)
    assert own["loss"] == pytest.approx(b0["final"]["test_loss"], abs=1e-5)
    assert own["balanced_accuracy"] == pytest.approx(b0["final"]["test_balanced_accuracy"])
    folder = str(photographs)
    said = cli("blocks", "export", "results/main/b0.yaml", "--to", "onnx", "--images", folder)
    top = re.search(r"top-1 ([\d.]+)", said.stdout)
    assert top is not None
    assert float(top[1]) == pytest.approx(searched, abs=5e-5)
    for network in (results / "main", results / "export" / "b0" / "b0.onnx"):
        assert evaluated(network, photographs) == pytest.approx(own, abs=1e-5)
    # A network that sees more than the search decoded: read as it was trained.
    short = ["recipe.epochs=1", "kernels=torch", "precision=fp32", "threads=1"]
    cli("scaling", "train", "study=main", "member=b0", "resolution=32", "name=large", *short)
    large = yaml.safe_load((results / "main" / "trained" / "large" / "model.yaml").read_text())
    assert large["reading"] == {"image_size": [48, 48]}
    reached = evaluated(None, None, study="main", member="large", results_dir=str(results))
    assert reached["loss"] == pytest.approx(large["metrics"]["test"]["loss"]["value"], abs=1e-5)
    from_files = evaluated(results / "main" / "trained" / "large", photographs)
    assert from_files == pytest.approx(reached, abs=1e-5)
