"""Cost by arithmetic against fvcore, torch's own counter, torchvision, and by hand."""

import json
from dataclasses import astuple
from pathlib import Path

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.utils.flop_counter import FlopCounterMode
from torchvision import models

from blocks.arch import ArchSpec, parse_arch
from blocks.cost import (
    Cost,
    count,
    count_by_operator,
    count_by_stage,
    count_many,
    measure_flops_fvcore,
    referee,
)
from blocks.errors import ArchError, CostMismatchError
from blocks.network import Network
from blocks.zoo import EFFICIENTNET_B0, ZOO
from tests.strategies import archs

GOLDEN = json.loads((Path(__file__).parent.parent / "golden" / "efficientnet.json").read_text())


def test_a_net_small_enough_to_count_by_hand() -> None:
    # 4×4 RGB; stem 3→2 stride 2 on 2×2; depthwise 3×3, project 2→3; head 3→4; 5 classes.
    cost = count(parse_arch("r4-s2-[ds_r1_k3_s1_e1_c3]-h4"), num_classes=5)
    stem, depthwise, project, head, linear = 27 * 2 * 4, 9 * 2 * 4, 2 * 3 * 4, 3 * 4 * 4, 4 * 5
    macs = stem + depthwise + project + head + linear
    norm_elements = (2 + 2 + 3 + 4) * 4
    assert cost == Cost(
        params=(54 + 4) + (18 + 4) + (6 + 6) + (12 + 8) + (20 + 5),
        macs=macs,
        flops_fvcore=macs + 2 * norm_elements + 4 * 4,
        activations=(2 + 2 + 3 + 4) * 4 + 5,
    )


@pytest.mark.parametrize("name", GOLDEN)
def test_published_networks(name: str) -> None:
    arch, golden = ZOO[name], GOLDEN[name]
    cost = count(arch)
    assert (cost.params, cost.macs, arch.resolution) == (
        golden["params"],
        golden["macs"],
        golden["resolution"],
    )
    assert cost.flops_fvcore == golden["flops_fvcore"]
    assert sum(stage.repeats for stage in arch.stages) == golden["blocks"]
    with torch.device("meta"):
        peer = getattr(models, name)()
        ours = Network(arch)
        image = torch.empty(1, 3, *arch.image)
    assert sum(p.numel() for p in peer.parameters()) == cost.params
    assert sum(p.numel() for p in ours.parameters()) == cost.params
    with FlopCounterMode(display=False) as counter:
        ours.eval()(image)
    assert counter.get_total_flops() == 2 * cost.macs


def test_b0_equals_fvcore_by_operator() -> None:
    measured = measure_flops_fvcore(Network(EFFICIENTNET_B0))
    assert measured == count_by_operator(EFFICIENTNET_B0)
    assert measured == {
        "conv": 384_534_752,
        "batch_norm": 13_475_392,
        "adaptive_avg_pool2d": 2_369_248,
        "linear": 1_280_000,
    }
    assert count(EFFICIENTNET_B0).activations == 6_748_036


@settings(max_examples=40)
@given(archs())
def test_count_equals_fvcore_on_any_network(arch: ArchSpec) -> None:
    assert_equals_fvcore(arch)


@pytest.mark.slow
@settings(max_examples=150)
@given(archs())
def test_count_equals_fvcore_on_many_networks(arch: ArchSpec) -> None:
    assert_equals_fvcore(arch)


def assert_equals_fvcore(arch: ArchSpec) -> None:
    cost = count(arch, 7)
    measured = measure_flops_fvcore(Network(arch, num_classes=7))
    counted = count_by_operator(arch, 7)
    assert {name: flops for name, flops in counted.items() if flops} == measured
    assert sum(counted.values()) == cost.flops_fvcore
    assert counted["conv"] + counted["linear"] == cost.macs


@given(archs())
def test_activations_are_outputs_of_convolutions_and_linear_layers(arch: ArchSpec) -> None:
    network = Network(arch, num_classes=7).eval()
    seen = []
    for module in network.modules():
        if isinstance(module, torch.nn.Conv2d | torch.nn.Linear):
            module.register_forward_hook(lambda _, __, out: seen.append(out.numel()))
    with torch.inference_mode():
        network(torch.zeros(1, arch.in_channels, *arch.image))
    assert sum(seen) == count(arch, 7).activations


@given(st.lists(archs(), max_size=6), st.sampled_from([1, 10, 1000]))
def test_many_are_counted_as_each(several: list[ArchSpec], num_classes: int) -> None:
    columns = count_many(several, num_classes)
    assert [columns[row] for row in range(len(columns))] == [
        count(arch, num_classes) for arch in several
    ]


def test_what_64_bits_cannot_count_is_refused() -> None:
    with pytest.raises(ArchError, match="macs or more"):
        count_many([parse_arch("r99999-s99999-[ir_r9_k31_s1_e64_c99999]-h99999")])


def test_the_whole_zoo_is_counted_at_once() -> None:
    columns = count_many(list(ZOO.values()))
    assert [columns[row] for row in range(len(ZOO))] == [count(arch) for arch in ZOO.values()]


@given(archs())
def test_stages_sum_to_the_network(arch: ArchSpec) -> None:
    parts = count_by_stage(arch, 7)
    assert len(parts) == len(arch.stages) + 2
    total = Cost(*(sum(column) for column in zip(*map(astuple, parts), strict=True)))
    assert total == count(arch, 7)


def test_group_norm_costs_what_fvcore_says() -> None:
    arch = parse_arch("r16-s16-[er_r2_k3_s2_e2_c16|ir_r2_k3_s1_e3_c32_se0.25]-h64-gn8")
    assert measure_flops_fvcore(Network(arch, 7)) == count_by_operator(arch, 7)
    assert "group_norm" in count_by_operator(arch, 7)


def test_counting_leaves_the_mode_alone_and_ignores_training_mode() -> None:
    network = Network(parse_arch("r16-s8-[ds_r2_k3_s2_e1_c8_se0.25]-h16"), 3)
    assert network.training
    total = sum(measure_flops_fvcore(network).values())
    assert network.training
    assert total == sum(measure_flops_fvcore(network.eval()).values())


def test_the_referee_confirms_what_is_right() -> None:
    arch = parse_arch("r16-s8-[ir_r2_k5_s2_e3_c8_se0.25]-h16")
    assert referee(Network(arch, 3)) == count(arch, 3)


def test_a_network_that_is_not_what_it_says_is_refused() -> None:
    network = Network(parse_arch("r16-s8-[ds_r1_k3_s2_e1_c8]-h16"), 3)
    network.arch = parse_arch("r16-s8-[ds_r2_k3_s2_e1_c8]-h16")
    with pytest.raises(CostMismatchError, match="the network has"):
        referee(network)
