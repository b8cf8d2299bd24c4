"""A network at other sizes: costs and stairs, intervals by hand, the verdicts, the real command."""

import csv
import json
import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch

from blocks.arch import parse_arch, square
from blocks.cost import count
from blocks.errors import CompoundNasError
from blocks.zoo import EFFICIENTNET_B0
from scaling.compound import ScalingError
from scaling.resolution.run import resolution
from scaling.resolution.scores import Score, paired_gain
from scaling.resolution.sizes import sizes_of
from scaling.resolution.verdict import choose, verdict
from tests.conftest import Cli, one_line_error
from tests.scaling.conftest import B0, scaling_config


def test_cost_has_stairs() -> None:
    # reference: B0 at 224, 225, 256 and 257 px costs 385.8, +16.5%, 503.3 and 575.6 M.
    percents = [100 * side / 224 for side in (225, 256, 257)]
    sizes = {size.arch.resolution: size for size in sizes_of(EFFICIENTNET_B0, 1000, percents)}
    assert list(sizes) == [224, 225, 256, 257]
    assert sizes[225].cost.macs / sizes[224].cost.macs == pytest.approx(1.165, abs=5e-4)
    assert [round(sizes[side].cost.macs / 1e6, 1) for side in (256, 257)] == [503.3, 575.6]
    assert sizes[225].stairs == pytest.approx(1.165 / (225 / 224) ** 2 - 1, abs=5e-4)
    assert abs(sizes[256].stairs) < 0.002
    assert (sizes[256].notes, sizes[257].notes) == ((), ("off 32: pays for 288",))
    assert [size.last_map for size in sizes.values()] == [square(side) for side in (7, 8, 8, 9)]


def test_sizes_of_a_small_network() -> None:
    sizes = sizes_of(parse_arch(B0), 10)
    # 20% to 50% are below five pixels, which three strides need; 80% and 70% are both 6.
    assert [size.arch.resolution for size in sizes] == [5, 6, 7, 8, 9, 10, 12]
    assert [size.percent for size in sizes if size.arch.resolution == 8] == [100]
    assert [size.last_map.height for size in sizes] == [1, 1, 1, 1, 2, 2, 2]
    assert "last map 1×1" in sizes[0].notes
    for size in sizes:
        assert size.cost == count(replace(parse_arch(B0), resolution=size.arch.resolution), 10)
    with pytest.raises(ScalingError, match=r"resolution\.percents=20: resolution 2 is too small"):
        sizes_of(parse_arch(B0), 10, [20.0])
    assert sizes_of(EFFICIENTNET_B0, 1000, [])[0].last_map == square(7)


def test_paired_gains_hold_the_truth_as_often_as_they_say() -> None:
    first = np.array([True, True, True, False])
    second = np.array([True, False, False, True])
    assert paired_gain(first, second)[0] == 0.25
    generator = np.random.default_rng(0)
    held = 0
    for _ in range(2000):
        # Cells of 400 images: both, first alone 4%, second alone 2%.
        cell = generator.choice(3, 400, p=[0.94, 0.04, 0.02])
        low, high = paired_gain(cell != 2, cell != 1)[1]
        held += low <= 0.02 <= high
    assert 0.93 <= held / 2000 <= 0.975


def score(val: float, test: float, low: float, high: float) -> Score:
    return Score(val, test, test - 0.02, test + 0.02, (low + high) / 2, low, high)


def test_the_choice_and_the_verdict_by_hand() -> None:
    sizes = sizes_of(EFFICIENTNET_B0, 1000, [50, 80, 130])
    own = score(0.80, 0.79, 0.0, 0.0)
    gains = [score(0.6, 0.6, -0.2, -0.1), score(0.79, 0.78, -0.02, 0.01)]
    better = [*gains, own, score(0.82, 0.82, 0.01, 0.05)]
    budget = sizes[1].cost.macs
    choice = choose(sizes, better, budget)
    assert (choice.best, choice.affordable, choice.cheapest) == (3, 1, 1)
    said = verdict(sizes, better, choice, budget)
    assert said[0].startswith("a train-test gap: by validation accuracy the best is 291 px")
    assert "179 px cost" in said[1]
    assert "within" in said[2]
    assert "179 px" in said[2]
    # Chosen by validation, no better on test: nothing that can be told; worse: none.
    for low, high, words in (
        (-0.01, 0.03, "no train-test gap that can be told"),
        (-0.05, -0.01, "which is worse"),
    ):
        scores = [*gains, own, score(0.82, 0.8, low, high)]
        assert words in verdict(sizes, scores, choose(sizes, scores, None), None)[0]
    kept = [*gains, own, score(0.7, 0.7, -0.1, -0.05)]
    choice = choose(sizes, kept, 1)
    assert verdict(sizes, kept, choice, 1)[0].startswith("no train-test gap: ")
    assert choice.affordable is None
    assert verdict(sizes, kept, choice, 1)[-1].startswith("no size is within")


def test_costs_of_a_network_without_weights(cli: Cli, tmp_path: Path) -> None:
    said = cli("scaling", "resolution", B0, "num_classes=10", "resolution.max_macs=100k").stdout
    assert "accuracy needs weights" in said
    assert "8 px is the largest within 0.10M macs" in said
    table = pd.read_csv(tmp_path / "results" / "network" / "scaling" / "resolution.csv")
    own = table[table["pixels"] == 8].iloc[0]
    assert own["macs"] == count(parse_arch(B0), 10).macs
    assert "test_accuracy" not in table


def test_the_studys_b0_at_every_size(cli: Cli, study: Path) -> None:
    arguments = [f"results_dir={study.parent}", "resolution.max_macs=70k", "resolution.train=true"]
    arguments += ["resolution.percents=[75,100,150]"]
    said = cli("scaling", "resolution", *arguments).stdout
    folder = study / "scaling"
    with open(folder / "resolution.csv", encoding="utf-8") as file:
        rows = {int(row["pixels"]): row for row in csv.DictReader(file)}
    assert list(rows) == [6, 8, 12]
    final = json.loads((study / "final.jsonl").read_text())["metrics"]
    own = rows[8]
    assert float(own["test_accuracy"]) == pytest.approx(final["test_accuracy"])
    assert float(own["val_accuracy"]) == pytest.approx(final["val_accuracy"])
    assert float(own["low"]) < final["test_accuracy"] < float(own["high"])
    assert (float(own["gain"]), float(own["gain_low"]), float(own["gain_high"])) == (0, 0, 0)
    assert float(rows[6]["gain"]) == pytest.approx(
        float(rows[6]["test_accuracy"]) - final["test_accuracy"]
    )
    trained = [json.loads(line) for line in (folder / "resolution.jsonl").read_text().splitlines()]
    by_size = {parse_arch(each["arch"]).resolution: each["metrics"] for each in trained}
    assert by_size.keys() == rows.keys()
    for side, row in rows.items():
        assert float(row["trained_test_accuracy"]) == by_size[side]["test_accuracy"]
    assert "within 0.07M macs the best is 6 px" in said
    assert "trained anew at every size" in said
    content = json.loads((folder / "resolution.json").read_text())
    assert content["verdict"][0] in said
    assert (folder / "resolution.png").read_bytes().startswith(b"\x89PNG")


def test_weights_of_another_network_are_refused(cli: Cli, study: Path, tmp_path: Path) -> None:
    torch.save({"a": torch.zeros(1)}, tmp_path / "other.pt")
    arguments = ["scaling", "resolution", f"results_dir={study.parent}"]
    error = one_line_error(cli(*arguments, "resolution.weights=other.pt", check=None))
    assert "other.pt" in error


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        (["resolution.percents=[0]"], "resolution.percents=0"),
        (["resolution.percents=[]"], "resolution.percents=[]"),
        (["resolution.max_macs=lots"], "resolution.max_macs=lots"),
        (["resolution.seeds=0"], "resolution.seeds=0"),
        (["resolution.percent=[50]"], "did you mean 'resolution.percents'"),
        (["study=nothing"], "no study 'nothing'"),
        (["baseline=efficientnet_bo"], "unknown network 'efficientnet_bo'"),
        (["baseline=efficientnet_b0", "resolution.percents=[5]"], "resolution 11 is too small"),
        (["baseline=efficientnet_b0", "resolution.train=true"], "needs images to judge by"),
        (["baseline=efficientnet_b0", "resolution.weights=b.pt"], "needs images to judge by"),
    ],
)
def test_bad_input(settings: list[str], message: str, tmp_path: Path) -> None:
    with pytest.raises(CompoundNasError, match=re.escape(message)):
        resolution(scaling_config(*settings, f"results_dir={tmp_path}"))


def test_a_study_without_weights_is_refused(study: Path, tmp_path: Path) -> None:
    bare = tmp_path / "bare"
    bare.mkdir()
    for name in ("config.yaml", "b0.yaml"):
        (bare / name).write_bytes((study / name).read_bytes())
    with pytest.raises(CompoundNasError, match=r"there is no .*b0\.pt; finish its search"):
        resolution(scaling_config("study=bare", f"results_dir={tmp_path}"))
