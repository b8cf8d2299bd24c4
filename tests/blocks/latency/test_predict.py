"""The latency predictor: units, interpolation, the table file, the measurement of units."""

import itertools
import json
import random
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from blocks.arch import ArchSpec, parse_arch
from blocks.cost import ArchColumns, count
from blocks.errors import LatencyError
from blocks.latency.build import build_table, fit_table
from blocks.latency.device import torch_threads
from blocks.latency.draw import Inputs, draw_arch
from blocks.latency.held_out import HeldOut, prediction_error
from blocks.latency.interpolate import power_law
from blocks.latency.onnx_profile import assign_nodes
from blocks.latency.predict import Predictor
from blocks.latency.table import LatencyTable, read_table
from blocks.latency.time_units import Settings, UnitTimes, measure_units, pieces_of
from blocks.latency.units import Unit, units_of
from blocks.latency.work import convolutions, work
from blocks.network import Network
from blocks.zoo import EFFICIENTNET_B0, ZOO
from tests.conftest import Cli, one_line_error
from tests.strategies import archs

SPELLING = "r16-s8-[ds_r1_k3_s1_e1_c8_se0.25|ir_r2_k5_s2_e3_c16]-h24"
SMALL = parse_arch(SPELLING)
EAGER = Settings("eager", threads=1, batch=1, seed=0)

RATES = np.array([0.02, 2e-8, 3e-8, 1e-7, 2e-7, 1e-7])
"""Milliseconds of each kind of work on a device that exists in these tests alone."""


def true_ms(unit: Unit) -> float:
    """Work at fixed rates, and wide units less than they promise: what a model cannot know."""
    return float(work(unit) @ RATES) * (1 + 0.1 * np.log2(unit.outputs / 64))


def true_total(arch: ArchSpec, num_classes: int) -> float:
    return sum(times * true_ms(unit) for unit, times in units_of(arch, num_classes))


@cache
def fitted() -> LatencyTable:
    draw = random.Random(0)
    samples = []
    for _ in range(30):
        arch = draw_arch(draw, 1e9)
        units = [unit for unit, times in units_of(arch, 100) for _ in range(times)]
        times = [(unit, true_ms(unit)) for unit in units]
        samples.append(UnitTimes(arch, 100, sum(ms for _, ms in times), times))
    return fit_table(samples, EAGER)


@cache
def predictor() -> Predictor:
    return Predictor(fitted())


def with_held_out() -> LatencyTable:
    rows = [
        HeldOut("a", SPELLING, 5, 10.0, 11.0, None),
        HeldOut("b", SPELLING, 5, 20.0, 19.0, None),
    ]
    return replace(fitted(), random=rows[:1], zoo=rows[1:])


def test_the_units_of_b0_by_hand() -> None:
    units = units_of(EFFICIENTNET_B0)
    assert [unit.kind for unit, _ in units] == ["stem", "ds", *["ir"] * 11, "tail"]
    assert sum(times for _, times in units) == 18
    assert units[2] == (
        Unit("ir", 16, 24, 112, 3, 2, hidden=96, squeezed=4, act="silu"),
        1,
    )
    assert units[3] == (
        Unit("ir", 24, 24, 56, 3, 1, hidden=144, squeezed=6, act="silu", adds=True),
        1,
    )
    assert units[-1][0] == Unit("tail", 320, 1000, 7, hidden=1280, act="silu")


@settings(max_examples=60)
@given(archs())
def test_the_convolutions_of_the_units_are_the_networks(arch: ArchSpec) -> None:
    units = [unit for unit, times in units_of(arch, 7) for _ in range(times)]
    convs = [conv for unit in units for conv in convolutions(unit)]
    macs = sum(conv.inputs * conv.outputs * conv.kernel**2 * conv.area for conv in convs)
    features = arch.head or arch.stages[-1].channels
    linear = [features, *([arch.head_hidden] if arch.head_hidden else []), 7]
    macs += sum(a * b for a, b in itertools.pairwise(linear))
    assert macs == count(arch, 7).macs
    assert all(value >= 0 for unit in units for value in work(unit))


@settings(max_examples=8)
@given(archs())
def test_the_pieces_in_a_row_are_the_network(arch: ArchSpec) -> None:
    arch = replace(arch, global_residual=False)
    network = Network(arch, 7).eval()
    units = [unit for unit, times in units_of(arch, 7) for _ in range(times)]
    pieces = pieces_of(network)
    x = image = torch.randn(2, arch.in_channels, *arch.image)
    with torch_threads(1), torch.inference_mode():
        for unit, piece in zip(units, pieces, strict=True):
            if unit.kind not in ("stem", "tail"):
                assert isinstance(piece, nn.Module)
                found = [layer for layer in piece.modules() if isinstance(layer, nn.Conv2d)]
                assert len(found) == len(convolutions(unit))
            assert x.shape[1:] == (unit.inputs, *unit.in_map)
            x = piece(x)
        assert torch.equal(x, network(image))


@settings(max_examples=60)
@given(st.lists(archs(), min_size=1, max_size=6), st.sampled_from(["silu", "relu"]))
def test_columns_are_predicted_as_single_networks_are(drawn: list[ArchSpec], act: str) -> None:
    group = drawn[0].norm_group_size > 0
    alike = [
        replace(
            arch,
            act=act,
            padding="symmetric",
            stages=tuple(replace(stage, act=None) for stage in arch.stages),
        )
        for arch in drawn
        if (arch.norm_group_size > 0) == group
    ]
    found = predictor().predict_columns(ArchColumns.from_archs(alike), 7, act)
    alone = Predictor(fitted())
    assert found == pytest.approx([alone.predict_ms(arch, 7) for arch in alike], rel=1e-9)


def test_columns_that_cannot_be_predicted_together_are_refused() -> None:
    grouped = replace(SMALL, norm_group_size=8)
    with pytest.raises(ValueError, match="batch and group norm"):
        predictor().predict_columns(ArchColumns.from_archs([SMALL, grouped]), 7)
    wide = replace(ArchColumns.from_archs([SMALL]), stem=np.array([2**21]))
    with pytest.raises(ValueError, match="inputs 2097152 is too large"):
        predictor().predict_columns(wide, 7)


def test_a_measured_unit_is_looked_up() -> None:
    table = fitted()
    arch = parse_arch(table.networks[0].arch)
    assert all(unit in table.units for unit, _ in units_of(arch, 100))
    predicted = predictor().predict_ms(arch, 100)
    assert predicted == pytest.approx(true_total(arch, 100), rel=0.05)


def test_other_units_are_interpolated() -> None:
    draw = random.Random(1)
    others = [draw_arch(draw, 1e9) for _ in range(40)]
    error = prediction_error(
        [true_total(arch, 100) for arch in others],
        [predictor().predict_ms(arch, 100) for arch in others],
    )
    assert error.networks == 40
    assert error.median_percent < 8
    assert error.spearman is not None
    assert error.spearman > 0.98
    b0 = predictor().predict_ms(EFFICIENTNET_B0)
    assert (
        predictor().predict_ms(EFFICIENTNET_B0)
        == b0
        == pytest.approx(true_total(EFFICIENTNET_B0, 1000), rel=0.15)
    )


def test_outside_of_the_measured_range_is_said() -> None:
    inside = parse_arch(fitted().networks[0].arch)
    assert predictor().outside(inside, 100) is None
    far = predictor().outside(ZOO["efficientnet_l2"])
    assert far is not None
    assert "stem of outputs 136, measured" in far
    grouped = predictor().outside(replace(inside, norm_group_size=4), 100)
    assert grouped is not None
    assert "with group_norm True, not measured" in grouped
    residual = replace(inside, global_residual=True)
    assert "no unit residual was measured" in str(predictor().outside(residual, 100))
    assert predictor().predict_ms(residual, 100) > predictor().predict_ms(inside, 100)


def test_errors_by_hand() -> None:
    error = prediction_error([10.0, 20.0, 40.0], [11.0, 20.0, 20.0])
    assert error.median_percent == pytest.approx(10)
    assert error.p95_percent == pytest.approx(46)  # of 0, 10, 50
    assert error.spearman == pytest.approx(0.75**0.5)
    assert prediction_error([1.0, 2.0], [1.0, 2.0]).spearman is None
    assert str(with_held_out().held_out_error) == ("median 7.5%, 95th percentile 9.8%, 2 networks")
    assert fitted().held_out_error is None


def test_a_power_law_is_found_beside_a_disturbed_point() -> None:
    inputs = [float(value) for value in range(1, 21)]
    outputs = [3 * value**1.5 for value in inputs]
    outputs[4] *= 10
    assert power_law(inputs, outputs) == pytest.approx((3, 1.5))
    assert power_law(inputs[:4], [2 * value for value in inputs[:4]]) == pytest.approx((2, 1))


def test_the_file_is_read_as_written(tmp_path: Path) -> None:
    path = tmp_path / "deep" / "table.json"
    with_held_out().write(path)
    again = read_table(path)
    assert again == with_held_out()
    assert Predictor(again).predict_ms(SMALL, 5) == predictor().predict_ms(SMALL, 5)
    assert list(path.parent.iterdir()) == [path]
    content = json.loads(path.read_text(encoding="utf-8"))
    assert content["held_out_error"]["networks"] == 2
    assert {"device", "threads", "batch", "runtime", "versions", "date", "seed"} < content.keys()


def test_a_table_of_other_settings_is_refused() -> None:
    table = fitted()
    table.check(table.device, "eager", 1, 1, "t.json")
    with pytest.raises(LatencyError, match="measured with batch 1; expected 4"):
        table.check(table.device, "eager", 1, 4, "t.json")
    with pytest.raises(
        LatencyError, match=r"t\.json was measured with device .*; expected toaster"
    ):
        table.check("toaster", "eager", 1, 1, "t.json")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"format": 99}, "not a latency table of format 1 .*99"),
        ({"units": []}, "no measured units"),
        ({"units": [["ds"]]}, "cannot be read"),
        ({"networks": None}, "cannot be read"),
        ({"zoo": [{"nane": "x"}]}, "cannot be read"),
        ({"unit_fields": ["kind"]}, "unit_fields"),
    ],
)
def test_a_damaged_table_is_refused(tmp_path: Path, change: dict[str, Any], message: str) -> None:
    path = tmp_path / "table.json"
    with_held_out().write(path)
    content = json.loads(path.read_text(encoding="utf-8"))
    path.write_text(json.dumps({**content, **change}), encoding="utf-8")
    with pytest.raises(LatencyError, match=message):
        read_table(path)


def test_what_is_no_table_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "table.json"
    with_held_out().write(path)
    path.write_text(path.read_text(encoding="utf-8")[:5000], encoding="utf-8")
    for content_path in (path, tmp_path / "gone.json", tmp_path):
        with pytest.raises(LatencyError, match="cannot read latency table"):
            read_table(content_path)
    path.write_text("[]", encoding="utf-8")
    with pytest.raises(LatencyError, match="not a latency table"):
        read_table(path)
    with_held_out().write(path)
    first = next(iter(fitted().units.values()))
    path.write_text(path.read_text(encoding="utf-8").replace(f"{first}]", "-1.0]"), "utf-8")
    with pytest.raises(LatencyError, match="not a positive number"):
        read_table(path)


@pytest.mark.parametrize("runtime", ["eager", "onnxruntime"])
def test_units_are_measured_where_they_stand(runtime: str) -> None:
    threads = torch.get_num_threads()
    sample = measure_units(SMALL, 5, Settings(runtime, threads=1, batch=2, seed=0))
    assert [unit for unit, _ in sample.units] == [
        unit for unit, times in units_of(SMALL, 5) for _ in range(times)
    ]
    assert all(ms > 0 for _, ms in sample.units)
    assert sample.whole_ms > 0
    assert torch.get_num_threads() == threads


def test_global_residual_is_not_measured() -> None:
    with pytest.raises(LatencyError, match="global_residual"):
        measure_units(replace(SMALL, global_residual=True), 5, EAGER)


def profile_of(*names: str) -> list[dict[str, Any]]:
    nodes = [
        {"cat": "Node", "name": f"{at}_kernel_time", "dur": 1000, "ts": at + 1,
         "args": {"op_name": name}}
        for at, name in enumerate(names)
    ]  # fmt: skip
    return [{"cat": "Session", "name": "model_run", "dur": 1, "ts": 0}, *nodes]


def test_the_nodes_of_a_profile_go_to_their_units() -> None:
    units = [
        Unit("stem", 3, 8, 16, 3, 2),
        Unit("ds", 8, 8, 8, 3, hidden=8, squeezed=2),
        Unit("tail", 8, 5, 8),
    ]
    names = ["Conv", "Relu", "FusedConv", "GlobalAveragePool", "Conv", "Conv", "Mul", "Conv", "Add",
             "GlobalAveragePool", "Flatten", "Gemm"]  # fmt: skip
    assert assign_nodes(profile_of(*names), units).tolist() == [[2, 7, 3]]
    with pytest.raises(LatencyError, match="ran 4 convolutions; expected 5"):
        assign_nodes(profile_of(*names[1:]), units)


def test_random_networks_vary_and_keep_the_budget() -> None:
    draw = random.Random(0)
    drawn = [draw_arch(draw, 5e8) for _ in range(150)]
    assert max(count(arch).macs for arch in drawn) <= 5e8
    blocks = {stage.block for arch in drawn for stage in arch.stages}
    assert blocks == {"ir", "ds", "er", "cn", "bt", "bx"}
    kernels = {stage.kernel for arch in drawn for stage in arch.stages}
    assert kernels == {3, 5, 7}
    assert draw_arch(random.Random(3), 5e8) == draw_arch(random.Random(3), 5e8)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"runtime": "compile"}, "compile fuses across blocks"),
        ({"minutes": 0.0}, "minutes 0 is not more than 0"),
        ({"batch": 0}, "batch 0"),
    ],
)
def test_a_table_that_cannot_be_measured(options: dict[str, Any], message: str) -> None:
    with pytest.raises(LatencyError, match=message):
        build_table(**options)


def test_predict_prints_the_error_beside(cli: Cli, tmp_path: Path) -> None:
    with_held_out().write(tmp_path / "table.json")
    predict = ["blocks", "predict", "efficientnet_b0", "efficientnet_l2", "--table"]
    shown = cli(*predict, "table.json").stdout.splitlines()
    assert shown[0].startswith("efficientnet_b0: ")
    assert "held-out error: median 7.5%" in shown[0]
    assert any(line.startswith("  outside of what was measured: ") for line in shown)
    refused = one_line_error(cli(*predict, "table.json", "--batch", "4", check=None))
    assert "measured with batch 1; expected 4" in refused
    assert "cannot read latency table" in one_line_error(cli(*predict, "no.json", check=None))


@pytest.mark.slow
def test_a_measured_table_ranks_held_out_networks(cli: Cli, tmp_path: Path) -> None:
    shown = cli("blocks", "latency-table", "--minutes", "1", "--output", "table.json").stdout
    assert "held-out zoo: median" in shown
    error = read_table(tmp_path / "table.json").held_out_error
    assert error is not None
    assert error.spearman is not None
    assert error.spearman > 0.6  # of eight networks, a minute measured beside other tests: 0.76


def test_networks_are_drawn_for_the_images_asked_for() -> None:
    draw = random.Random(0)
    drawn = [draw_arch(draw, 1e9, Inputs((24, 30), 1)) for _ in range(30)]
    assert {arch.in_channels for arch in drawn} == {1}
    assert {arch.resolution for arch in drawn} <= set(range(24, 31))


@pytest.mark.parametrize("inputs", [Inputs((30, 24)), Inputs((4, 24)), Inputs(None, 0)])
def test_images_that_cannot_be(inputs: Inputs) -> None:
    with pytest.raises(LatencyError, match="expected"):
        build_table(inputs=inputs)
