"""Latency: the statistics on known samples, and real measurements of a small network."""

import csv
import random
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import torch

from blocks.arch import parse_arch
from blocks.errors import LatencyError
from blocks.latency.device import available_cores
from blocks.latency.measure import check_settings, measure_latency, profile_network
from blocks.latency.settle import (
    FEWEST_REPEATS,
    is_settled,
    median_interval,
    percentile,
    summarise,
    time_until_settled,
)
from blocks.network import Network
from blocks.plot import plot_latency
from tests.conftest import Cli, Refuse

SPELLING = "r16-s8-[ds_r1_k3_s1_e1_c8_se0.25|ir_r2_k5_s2_e3_c16]-h24"
SMALL = parse_arch(SPELLING)


def test_the_interval_of_the_median_by_hand() -> None:
    # Of 6 all lie on one side of the median with 2/2⁶ = 3.1%; of 10 at most one does with
    # 2·11/2¹⁰ = 2.1%, at most two with 10.9%; of 100 the tables have the ranks 40 and 61.
    assert median_interval([3, 1, 2, 6, 5, 4]) == (1, 6)
    assert median_interval(list(range(1, 11))) == (2, 9)
    assert median_interval(list(range(1, 101))) == (40, 61)
    with pytest.raises(ValueError, match="5 samples have no 95% interval"):
        median_interval([1.0] * 5)


def test_the_interval_covers_the_median_as_often_as_it_says() -> None:
    draw = random.Random(0)
    covered = 0
    for _ in range(1000):
        low, high = median_interval([draw.lognormvariate(0, 1) for _ in range(40)])
        covered += low <= 1 <= high
    assert 0.94 <= covered / 1000 <= 0.99


def test_percentiles_are_numpys() -> None:
    samples = np.random.default_rng(0).random(37)
    for percent in (0, 5, 50, 95, 100):
        assert percentile(list(samples), percent) == pytest.approx(np.percentile(samples, percent))


def test_settled_is_within_three_percent() -> None:
    assert is_settled([100 + 0.1 * value for value in range(50)])
    assert not is_settled([100 + 2.0 * value for value in range(50)])
    assert not is_settled([100.0] * (FEWEST_REPEATS - 1))


def test_repeats_end_at_either_cap() -> None:
    assert len(time_until_settled(lambda: time.sleep(0.001), 1e-9)) == FEWEST_REPEATS
    assert len(time_until_settled(lambda: None, 60.0, max_repeats=8)) == 8


def test_summary_and_throughput() -> None:
    latency = summarise([10.0] * 20, 4, 1, "eager", "a device")
    assert (latency.median_ms, latency.low_ms, latency.high_ms) == (10, 10, 10)
    assert (latency.repeats, latency.converged) == (20, True)
    assert latency.images_per_second == pytest.approx(400)
    assert not summarise([10.0, 20.0] * 10, 4, 1, "eager", "a device").converged
    assert plot_latency([latency], "flat").startswith(b"\x89PNG")


@pytest.mark.parametrize("runtime", ["eager", "onnxruntime"])
def test_a_real_measurement(runtime: str) -> None:
    threads = torch.get_num_threads()
    network = Network(SMALL, 5).train()
    points = list(profile_network(network, [1, 2], [runtime], [1], seconds=0.2))
    for point in points:
        assert 0 < point.low_ms <= point.median_ms <= point.high_ms
        assert point.p5_ms <= point.median_ms <= point.p95_ms
        assert (point.threads, point.runtime) == (1, runtime)
        assert point.device
        assert point.repeats >= FEWEST_REPEATS
    assert [point.batch for point in points] == [1, 2]
    assert torch.get_num_threads() == threads
    assert network.training
    assert network.stem.conv.weight.is_contiguous()


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")  # the compiler's own, of whatever versions are installed
def test_a_compiled_network_is_measured() -> None:
    latency = measure_latency(Network(SMALL, 5), runtime="compile", seconds=0.5)
    assert latency.runtime == "compile"
    assert latency.median_ms > 0


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        (("eagre", 1, 1), r"unknown runtime 'eagre' \(did you mean 'eager'\?\); expected eager"),
        (("eager", 10**6, 1), f"threads 1000000 is not from 1 to {available_cores()}"),
        (("eager", 1, 0), "batch 0 is not"),
        (("eager", 1, 1, "cpuu"), r"unknown device 'cpuu' \(did you mean 'cpu'\?\)"),
        (("onnxruntime", 1, 1, "cuda"), "onnxruntime is measured on the CPU only"),
    ],
)
def test_what_cannot_be_measured(settings: tuple[str, int, int], message: str) -> None:
    with pytest.raises(LatencyError, match=message):
        check_settings(*settings)


def test_caps_must_leave_an_interval() -> None:
    with pytest.raises(LatencyError, match="6 repeats or more"):
        measure_latency(Network(SMALL, 5), max_repeats=5)


def test_without_onnxruntime_the_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "onnxruntime", None)  # what an import of nothing finds
    with pytest.raises(LatencyError, match=r'pip install "compound-nas\[export\]"'):
        measure_latency(Network(SMALL, 5), runtime="onnxruntime")


def test_the_command_prints_and_writes(cli: Cli, tmp_path: Path) -> None:
    options = ["--batch", "1,2", "--runtime", "eager", "--threads", "1", "--seconds", "0.2"]
    shown = cli("blocks", "profile", SPELLING, SPELLING, *options, "--output", "out").stdout
    for words in ("median ms", "95% interval", "images/s", "torch", "cores"):
        assert words in shown
    # Two networks without a name of their own: two folders.
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == ["network", "network-2"]
    for folder in (tmp_path / "out").iterdir():
        assert sorted(path.name for path in folder.iterdir()) == ["latency.csv", "latency.png"]
        rows = list(csv.DictReader((folder / "latency.csv").read_text("utf-8").splitlines()))
        assert [row["batch"] for row in rows] == ["1", "2"]
        for row in rows:
            assert row["arch"] == SPELLING
            assert float(row["images_per_second"]) == pytest.approx(
                1e3 * int(row["batch"]) / float(row["median_ms"])
            )


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--batch", "1,x"], "--batch '1,x' is not whole numbers of 1 or more"),
        (["--runtime", "onnx"], "unknown runtime 'onnx'"),
    ],
)
def test_bad_input_is_one_line(refuse: Refuse, options: list[str], message: str) -> None:
    assert message in refuse("blocks", "profile", SPELLING, *options)
