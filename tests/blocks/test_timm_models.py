"""A found architecture as a model of timm."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import timm
import torch

from blocks.arch import parse_arch
from blocks.errors import ArchError
from blocks.network import Network
from blocks.timm_models import register
from blocks.weights.fit import load_state
from blocks.zoo import find_arch

FOUND = parse_arch(
    "r64-s16-[cn_r2_k3_s1_e1_c16|er_r2_k3_s2_e4_c24_se0.25|ir_r2_k5_s2_e3_c40_se0.25_nre|"
    "ds_r2_k3_s2_e1_c40_se0.1|ir_r1_k3_s1_e6_c64_noskip]-h96-nhs-same-eps0.001"
)


def test_create_model_computes_what_our_network_computes(tmp_path: Path) -> None:
    torch.manual_seed(0)
    ours = Network(FOUND, 7).eval()
    torch.save(ours.state_dict(), tmp_path / "found.pt")
    name = register("found", FOUND, weights=tmp_path / "found.pt", num_classes=7)
    assert name in timm.list_models("compound_nas_*", pretrained=True)
    model = timm.create_model(name, pretrained=True).eval()
    images = torch.randn(2, 3, 64, 64)
    with torch.inference_mode():
        assert (model(images) - ours(images)).abs().max() <= 1e-5
    assert timm.data.resolve_data_config(model=model)["input_size"] == (3, 64, 64)
    grey = timm.create_model(name, pretrained=True, num_classes=3, in_chans=1, drop_path_rate=0.1)
    assert grey(torch.randn(2, 1, 64, 64)).shape == (2, 3)
    maps = timm.create_model(name, features_only=True)(images)
    assert [tuple(features.shape[1:]) for features in maps] == [
        (16, 32, 32),
        (24, 16, 16),
        (40, 8, 8),
        (64, 4, 4),
    ]


@pytest.mark.parametrize(
    "name", ["efficientnet_b0", "mobilenetv3_large", "mnasnet_small", "tf_efficientnetv2_b3"]
)
def test_published_networks_compute_the_same_in_timm(name: str) -> None:
    torch.manual_seed(0)
    model = timm.create_model(register(f"again_{name}", find_arch(name))).eval()
    ours = Network(find_arch(name)).eval()
    load_state(ours, model.state_dict(), "timm", name)
    images = torch.randn(1, 3, 64, 64)
    with torch.inference_mode():
        assert (model(images) - ours(images)).abs().max() <= 1e-5


def test_a_stem_that_keeps_the_size_is_one_in_timm_too() -> None:
    torch.manual_seed(0)
    arch = parse_arch("r32-s8_s1-[ds_r1_k3_s1_e1_c8|ir_r2_k3_s2_e3_c16|ir_r1_k5_s2_e6_c24]-h48")
    name = register("small", arch, num_classes=5)
    model = timm.create_model(name).eval()
    ours = Network(arch, 5).eval()
    load_state(ours, model.state_dict(), "timm", name)
    images = torch.randn(2, 3, 32, 32)
    with torch.inference_mode():
        assert (model(images) - ours(images)).abs().max() <= 1e-5
    maps = timm.create_model(name, features_only=True)
    sides = [features.shape[-1] for features in maps(images)]
    assert sides == [32 // reduction for reduction in maps.feature_info.reduction()]
    assert sides == [32, 16, 8]


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (lambda arch: replace(arch, head=0), "no head convolution"),
        (lambda arch: replace(arch, stem_kernel=5), "a stem other than"),
        (lambda arch: replace(arch, global_residual=True), "a global residual"),
        (lambda arch: replace(arch, stem=10), "an inner width that is not a multiple of 8"),
        (lambda arch: find_arch("resnet50"), "a bottleneck block"),
        (
            lambda arch: parse_arch("r64-s24-[ir_r1_k3_s1_e3.67_c24_se0.25]-h96"),
            "conv_reduce.weight is",
        ),
    ],
)
def test_what_timm_cannot_say_is_refused(change: Callable[[object], object], reason: str) -> None:
    with_first_expanded = parse_arch("r32-s16-[ir_r1_k3_s1_e6_c16]-h32")
    with pytest.raises(ArchError, match=reason):
        register("refused", change(with_first_expanded))  # type: ignore[arg-type]


def test_names() -> None:
    register("twice", FOUND)
    with pytest.raises(ArchError, match="timm already has a model 'compound_nas_twice'"):
        register("twice", FOUND)
    with pytest.raises(ArchError, match="'b-3' cannot be the name"):
        register("b-3", FOUND)
