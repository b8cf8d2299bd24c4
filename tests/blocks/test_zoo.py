"""The zoo against timm, torchvision, torch's own counter and fvcore."""

from dataclasses import replace

import pytest
import torch
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from blocks.cost import count, count_by_operator, measure_flops_fvcore
from blocks.errors import ArchError
from blocks.network import Network
from blocks.weights.layouts import source_arch
from blocks.zoo import ZOO, find_arch
from tests.blocks.peers import PEERS, TIMM_TF, build_peer

LARGE_MACS = 1.5e9
"""From here on a forward pass at full resolution takes seconds: among the slow tests."""


def test_every_network_is_there() -> None:
    families = {
        "efficientnet_b": 9,
        "efficientnet_l2": 1,
        "efficientnet_lite": 5,
        "efficientnetv2": 7,
        "mobilenetv2": 5,
        "mobilenetv3": 2,
        "mnasnet": 3,
        "tinynet": 5,
        "resnet50": 1,
        "resnext": 2,
    }
    for beginning, number in families.items():
        assert sum(name.startswith(beginning) for name in ZOO) == number, beginning
    assert sum(families.values()) == len(ZOO)


@pytest.mark.parametrize(("source", "name", "peer"), PEERS)
def test_params_equal_the_peers(source: str, name: str, peer: str) -> None:
    with torch.device("meta"):
        theirs = build_peer(source, peer)
    assert sum(p.numel() for p in theirs.parameters()) == count(find_arch(name)).params


@pytest.mark.parametrize(("source", "name", "peer"), PEERS)
def test_normalisation_follows_the_conventions_of_the_peer(
    source: str, name: str, peer: str
) -> None:
    with torch.device("meta"):
        theirs = build_peer(source, peer)
    norms = [module for module in theirs.modules() if isinstance(module, nn.BatchNorm2d)]
    arch = source_arch(name, find_arch(name), source)
    assert {norm.eps for norm in norms} == {arch.norm_eps}
    assert [norm.momentum for norm in norms] == pytest.approx([arch.norm_momentum] * len(norms))


@pytest.mark.parametrize("name", [*ZOO, *TIMM_TF])
def test_macs_equal_half_of_torchs_flops(name: str) -> None:
    arch = find_arch(name)
    with torch.device("meta"):
        network = Network(arch).eval()
        image = torch.empty(1, 3, *arch.image)
    with FlopCounterMode(display=False) as counter:
        network(image)
    assert counter.get_total_flops() == 2 * count(arch).macs


def assert_equals_fvcore(name: str) -> None:
    arch = find_arch(name)
    if name == "efficientnet_l2":  # whose maps at 800 pixels are 12 GB
        arch = replace(arch, resolution=200)
    with torch.device("meta"):
        network = Network(arch)
    measured = measure_flops_fvcore(network.to_empty(device="cpu"))
    assert {key: flops for key, flops in count_by_operator(arch).items() if flops} == measured
    assert sum(measured.values()) == count(arch).flops_fvcore


@pytest.mark.parametrize("name", [name for name in ZOO if count(ZOO[name]).macs < LARGE_MACS])
def test_flops_equal_fvcore(name: str) -> None:
    assert_equals_fvcore(name)


@pytest.mark.slow
@pytest.mark.parametrize("name", [name for name in ZOO if count(ZOO[name]).macs >= LARGE_MACS])
def test_flops_of_large_networks_equal_fvcore(name: str) -> None:
    assert_equals_fvcore(name)


def test_find_arch_takes_names_and_spellings() -> None:
    assert find_arch("efficientnet_b3") is ZOO["efficientnet_b3"]
    assert find_arch("r8-s8-[ds_r1_k3_s1_e1_c8]-h8").resolution == 8
    with pytest.raises(ArchError, match=r"unknown network 'efficientnet_b9' \(did you mean"):
        find_arch("efficientnet_b9")


def test_the_tensorflow_variant_pads_and_normalises_as_tensorflow() -> None:
    arch = find_arch("tf_efficientnet_b0")
    assert (arch.padding, arch.norm_eps, arch.norm_momentum) == ("same", 1e-3, 0.1)
