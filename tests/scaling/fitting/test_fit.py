"""`python -m scaling fit`: trained on real digits, resumed, refused; and its parts by hand."""

import csv
import json
import math
import shutil
import subprocess
import sys
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import yaml

from blocks.arch import parse_arch
from blocks.cost import count
from scaling.fitting.design import Point
from scaling.fitting.optimum import Versus
from scaling.fitting.result import verdict
from scaling.fitting.surface import make_point_job, observe
from scaling.fitting.surface_fit import SurfaceFit
from scaling.trainings import part_of
from search.config.schema import DatasetConfig
from search.data.datasets import load_data
from search.evaluators.train import make_job
from search.record.trials import FailureRecord, Record, TrialRecord
from tests.conftest import Cli, Refuse, environment

B0 = "r8-i1-s8-[ir_r2_k3_s1_e3_c8|ir_r2_k3_s2_e3_c16]-h32"


@pytest.fixture(scope="module")
def searched(tmp_path_factory: pytest.TempPathFactory, digits_settings: list[str]) -> Path:
    """A results folder with a study of the digits, whose B0 is a small network of four blocks."""
    path = tmp_path_factory.mktemp("searched")
    settings = [*digits_settings, "search.trials=1", "search.final_epochs=1"]
    subprocess.run(
        [sys.executable, "-m", "search", "run", *settings],
        cwd=path, env=environment(), check=True, capture_output=True, timeout=600,
    )  # fmt: skip
    baseline = path / "results" / "main" / "b0.yaml"
    content = yaml.safe_load(baseline.read_text())
    baseline.write_text(yaml.safe_dump({**content, "arch": B0}))
    return path / "results"


@pytest.fixture
def study(searched: Path, tmp_path: Path) -> Path:
    """A copy of that study, in the folder where commands run."""
    return Path(shutil.copytree(searched, tmp_path / "results")) / "main"


def lines(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text().splitlines()]


def test_a_surface_is_fitted_and_gone_on_with(cli: Cli, refuse: Refuse, study: Path) -> None:
    settings = ["fit.points=16", "fit.repeated=2", "fit.seeds=2", "fit.draws=200"]
    shown = cli("scaling", "fit", *settings).stdout
    assert "16 networks" in shown
    assert "18 trainings" in shown
    assert "in 2 processes" in shown  # what it will take, before it starts
    design = json.loads((study / "scaling" / "design.json").read_text())
    runs = lines(study / "scaling" / "runs.jsonl")
    assert {run["arch"] for run in runs} == {point["arch"] for point in design["points"]}
    assert len(runs) == 18
    fitted = json.loads((study / "scaling" / "fit.json").read_text())
    assert 0 < fitted["leave_one_out_points"] < 50
    assert fitted["scales_logit"].keys() == {"slopes", "curvature", "roughness", "network", "seed"}
    assert fitted["versus"].keys() == {
        "paper", "uniform", "dwr", "depth", "width", "resolution"
    }  # fmt: skip
    assert fitted["versions"]["torch"] == torch.__version__.partition("+")[0]
    assert "fit.points=16" in fitted["command"]
    for name in ("alpha", "beta", "gamma"):
        low, high = fitted["intervals"][name]
        assert 1 <= low < high
    # The network that is named costs what it says, and that is the target as near as it comes.
    network = fitted["network"]
    macs = count(parse_arch(network["arch"]), 10).macs
    assert (macs, macs / count(parse_arch(B0), 10).macs) == (
        network["macs"],
        pytest.approx(network["cost_ratio"]),
    )
    assert fitted["seems_best"]["difference"] >= fitted["versus"]["paper"]["difference"] - 1e-9
    unsure = "cannot say with 16 networks" in shown or "as good as" in shown
    assert unsure == fitted["versus"]["paper"]["indistinguishable"]
    assert (study / "scaling" / "surface.png").read_bytes().startswith(b"\x89PNG")
    coefficients = yaml.safe_load((study / "coefficients.yaml").read_text())
    assert (coefficients["method"], coefficients["baseline"]) == ("surface", B0)

    # Again: nothing is trained twice, and the same is said.
    before = (study / "scaling" / "runs.jsonl").read_bytes()
    cli("scaling", "fit", *settings)
    assert (study / "scaling" / "runs.jsonl").read_bytes() == before
    again = json.loads((study / "scaling" / "fit.json").read_text())
    assert {k: v for k, v in again.items() if k != "seconds"} == {
        k: v for k, v in fitted.items() if k != "seconds"
    }
    # A torn line is a training less.
    (study / "scaling" / "runs.jsonl").write_bytes(before[:-20])
    cli("scaling", "fit", *settings)
    assert len(lines(study / "scaling" / "runs.jsonl")) == 18
    # With candidates of the search, which are told from the networks of the fit.
    few = refuse("scaling", "fit", *settings, "fit.candidates=true")
    assert "trials.jsonl has 1 network trained to the end and as near to b0 as" in few
    assert "expected 8 or more" in few
    whole = lines(study / "trials.jsonl")[0]
    with open(study / "trials.jsonl", "a", encoding="utf-8") as trials:
        shapes = [
            f"r8-i1-s8-[ir_r2_k{k}_s1_e{e}_c8|ir_r{n}_k{k}_s2_e3_c{c}]-h32"
            for n in (1, 2) for k in (3, 5) for e in (2, 4) for c in (16, 24)
        ]  # fmt: skip
        far = "r8-i1-s8-[ir_r9_k3_s1_e6_c64|ir_r9_k3_s2_e6_c96]-h32"
        for number, arch in enumerate([*shapes, far, B0], 1):
            cost = asdict(count(parse_arch(arch), 10))
            line = {**whole, "number": number, "arch": arch, "cost": cost}
            trials.write(json.dumps(line) + "\n")
        stopped = {**whole, "number": 99, "fidelity": {"epochs": 1, "of": 4}}
        failed = {"number": 100, "arch": far, "kind": "nan", "error": "the loss became nan"}
        trials.write(json.dumps(stopped) + "\n" + json.dumps(failed) + "\n")
    shown = " ".join(cli("scaling", "fit", *settings, "fit.candidates=true").stdout.split())
    assert len(lines(study / "scaling" / "runs.jsonl")) == 18
    with_candidates = json.loads((study / "scaling" / "fit.json").read_text())
    taken = [each["arch"] for each in with_candidates["candidates"]]
    assert len(taken) >= 8
    assert set(taken) <= {whole["arch"], *shapes}  # B0 is the design's
    assert f"{len(taken)} networks; the largest costs" in shown
    assert "trial 17 (farther from b0 than the networks of the fit)" in shown
    assert with_candidates["points"] == fitted["points"]
    assert "otherwise" in with_candidates["scales_logit"]
    assert with_candidates["trained_macs_ratio"] == fitted["trained_macs_ratio"]
    # The larger design goes on from the smaller.
    cli("scaling", "fit", *[*settings, "fit.points=18"])
    assert len(lines(study / "scaling" / "runs.jsonl")) == 20
    # What emit reads.
    shown = cli("scaling", "emit", "members=4").stdout
    with open(study / "family" / "family.csv", encoding="utf-8") as rows:
        members = {row["name"]: row for row in csv.DictReader(rows)}
    # Of 2^1.5 times B0's macs at most were trained.
    assert {name: row["extrapolated"] for name, row in members.items()} == {
        "b0": "False", "b1": "False", "b2": "True", "b3": "True"
    }  # fmt: skip
    assert "extrapolated: b2, b3; the coefficients were fitted to networks of up to 2." in shown
    assert yaml.safe_load((study / "family" / "b3.yaml").read_text())["extrapolated"] is True


@pytest.mark.slow
def test_schedules_as_dimensions(cli: Cli, study: Path) -> None:
    shown = cli(
        "scaling", "fit", "fit.points=24", "fit.repeated=0", "fit.epochs=[1,2]",
        "fit.train_fraction=[0.25,1]", "fit.draws=100",
    ).stdout  # fmt: skip
    fitted = json.loads((study / "scaling" / "fit.json").read_text())
    schedules = [(each["epochs"], each["train_fraction"]) for each in fitted["schedules"]]
    assert schedules == [(1, 0.25), (1, 1.0), (2, 0.25), (2, 1.0)]
    assert "at 1 epoch and 0.25 of the images: α=" in shown
    # The coefficients are those of the longest and largest.
    last = fitted["schedules"][-1]
    assert [round(last[name], 4) for name in ("alpha", "beta", "gamma")] == [
        fitted[name] for name in ("alpha", "beta", "gamma")
    ]
    runs = lines(study / "scaling" / "runs.jsonl")
    assert {run["fidelity"]["epochs"] for run in runs} == {1, 2}


def test_the_grid_by_counted_cost(cli: Cli, study: Path) -> None:
    shown = cli(
        "scaling", "fit", "method=grid", "grid.constraint=counted", "grid.tolerance=0.15",
        "grid.step=0.25",
    ).stdout  # fmt: skip
    with open(study / "scaling" / "grid.csv", encoding="utf-8") as rows:
        table = list(csv.DictReader(rows))
    assert all(abs(float(row["macs_ratio"]) - 2) <= 0.15 for row in table)
    fitted = json.loads((study / "scaling" / "fit.json").read_text())
    coefficients = yaml.safe_load((study / "coefficients.yaml").read_text())
    assert fitted["method"] == coefficients["method"] == "grid"
    assert coefficients["grid"]["constraint"] == "counted"
    assert coefficients["alpha"] == float(table[0]["alpha"])
    assert "P(better)" in shown


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        (["method=surfaces"], "did you mean 'surface'"),
        (["fit.points=7"], "fit.points=7 is too small; expected 8 or more"),
        (["fit.minutes=0"], "fit.minutes=0"),
        (["fit.metric=latency_ms"], "a table belongs to latency_ms"),
        (["fit.latency_table=x"], "a table belongs to latency_ms"),
        (["fit.cost=1"], "fit.cost=1"),
        (["fit.cost=nan"], "fit.cost=nan"),
        (["fit.epochs=[4,x]"], "x is not a number of epochs"),
        (["fit.epochs=[4,4]"], "says one value twice"),
        (["fit.train_fraction=1.5"], "1.5 is not a share of the training images"),
        (["fit.train_fraction=[]"], "is empty"),
        (["fit.draws=5"], "fit.draws=5 is too small"),
        (["fit.trained=true", "fit.candidates=true"], "expected one of the two"),
        (["grid.constraint=count"], "did you mean 'counted'"),
        (["fit.point=20"], "did you mean 'fit.points'"),
    ],
)
def test_bad_settings(refuse: Refuse, settings: list[str], message: str) -> None:
    assert message in refuse("scaling", "fit", *settings)


def point(arch: str, trainings: int = 1, fraction: float = 1.0, epochs: int = 4) -> Point:
    return Point(arch, (0.0, 0.1, 0.2), 10, 10, epochs, fraction, trainings)


def record(accuracy: float) -> TrialRecord:
    cost = count(parse_arch(B0), 10)
    return TrialRecord(0, B0, cost, {"val_accuracy": accuracy}, 0, {"epochs": 4}, {}, {})


def test_failed_trainings_are_left_out() -> None:
    points = [point("a", 2), point("b", 2), point("c")]
    lost = FailureRecord(0, "b", "nan", "the loss became nan")
    records: list[Record] = [record(0.5), lost, lost, lost, record(0.7)]
    observations = observe(points, records, 100)
    assert [each.tolist() for each in observations.accuracy] == [[0.5], [0.7]]
    assert observations.logs.tolist() == [[0.0, 0.1, 0.2]] * 2


def test_schedules_are_logs_of_the_most() -> None:
    points = [point("a", epochs=4, fraction=0.5), point("b", epochs=8, fraction=0.5)]
    observations = observe(points, [record(0.5), record(0.6)], 100)
    assert observations.logs[:, 3].tolist() == [math.log(0.5), 0.0]
    assert observations.logs.shape == (2, 4)  # one share of the images is no dimension


def test_a_part_of_the_images_is_another_training() -> None:
    whole, half = (make_point_job(point(B0, fraction=share), 7, 1) for share in (1.0, 0.5))
    assert whole == make_job(B0, 4, 7, 1)
    assert replace(half, seed=whole.seed) == whole
    assert half.seed != whole.seed


def test_parts_are_nested_and_of_every_class(digits: Path) -> None:
    data = load_data(DatasetConfig(root=str(digits)), 8)
    assert part_of(data, 1.0, 0) is data
    half, tenth = part_of(data, 0.5, 0), part_of(data, 0.1, 0)
    for part, share in ((half, 0.5), (tenth, 0.1)):
        counts = np.bincount(part.train.labels.numpy())
        whole = np.bincount(data.train.labels.numpy())
        assert counts == pytest.approx(share * whole, abs=0.51)
        assert part.val is data.val
    rows = {image.tobytes() for image in half.train.images.numpy()}
    assert all(image.tobytes() in rows for image in tenth.train.images.numpy())


def test_the_words() -> None:
    def said(low: float, high: float = 0.01, networks: int = 24) -> str:
        middle = (low + high) / 2
        return verdict(Versus(middle, (low, high), 0.8), SurfaceFit.where, networks)

    # Its error is 0.6/1.96 points: to be told from 0 it has to be 0.4/1.96.
    assert said(-0.002) == (
        "cannot say with 24 networks whether it is better than the paper's 1.2, 1.1, 1.15: at "
        "equal cost +0.40 points (-0.20 to +1.00), P(better) 0.80; about 54 would tell"
    )
    assert "; more than 1,000 would tell" in said(-0.009)
    assert said(0.001).startswith("better than the paper's 1.2, 1.1, 1.15 at equal cost")
    assert said(-0.01, -0.001).startswith("worse than the paper's")
    assert said(-0.002, 0.0024).startswith("as good as the paper's 1.2, 1.1, 1.15, within 0.25 p")
    # Of a choice that is the paper's own triple nothing is learnt of the others.
    kept, open_to = Versus(0.0, (0.0, 0.0), 0.5), Versus(0.004, (-0.002, 0.01), 0.8)
    assert verdict(kept, SurfaceFit.where, 24, open_to) == (
        "cannot say with 24 networks whether another way to scale is better than the paper's 1.2, "
        "1.1, 1.15: at equal cost what seems best has +0.40 points (-0.20 to +1.00), P(better) "
        "0.80; about 54 would tell"
    )
    # With 20 candidates beside them it takes 99 in all: 79 and these.
    beside = verdict(open_to, SurfaceFit.where, 24, beside=20)
    assert beside.startswith("cannot say with 24 networks")
    assert beside.endswith("about 79 would tell")
    as_good = verdict(kept, SurfaceFit.where, 24, Versus(0.001, (-0.001, 0.002), 0.7))
    assert as_good.startswith("as good as the paper's 1.2, 1.1, 1.15, within 0.25 points: at equal")
    sure = Versus(0.01, (0.001, 0.02), 0.99)
    assert verdict(sure, SurfaceFit.where, 24, sure).startswith("better than the paper's")


def test_the_time_leaves_fewer_networks(cli: Cli, study: Path) -> None:
    """Trainings of hours, by what the search recorded: as few as may be are left."""
    for name in ("trials.jsonl", "reference.jsonl", "controls.jsonl"):
        if (study / name).exists():
            slow = [{**line, "seconds": {"train": 3600.0}} for line in lines(study / name)]
            (study / name).write_text("".join(json.dumps(line) + "\n" for line in slow))
    settings = ["fit.minutes=60", "fit.repeated=0", "fit.draws=100"]
    shown = cli("scaling", "fit", *settings).stdout
    assert "fit.minutes leaves 8 networks of 24: the verdict is that of 8" in shown
    assert "with 8 networks" in shown or "better than" in shown or "worse than" in shown
    assert json.loads((study / "scaling" / "fit.json").read_text())["points"] == 8
    # The first of those that would be trained in any time.
    few = json.loads((study / "scaling" / "design.json").read_text())["points"]
    cli("scaling", "fit", "fit.points=10", "fit.repeated=0", "fit.draws=100")
    more = json.loads((study / "scaling" / "design.json").read_text())["points"]
    assert more[:8] == few


def test_an_axis_that_cannot_grow_is_said(cli: Cli, study: Path) -> None:
    """Rounded down to multiples of 8, layers of 8 channels stay so at 1.2 times the cost."""
    baseline = study / "b0.yaml"
    content = yaml.safe_load(baseline.read_text())
    baseline.write_text(
        yaml.safe_dump({**content, "arch": B0.replace("16", "8").replace("32", "8")})
    )
    shown = cli(
        "scaling", "fit", "rounding=floor8", "fit.cost=1.2", "fit.points=8", "fit.repeated=0",
        "fit.draws=100",
    ).stdout  # fmt: skip
    assert "the width of this B0 cannot grow within fit.cost=1.2" in shown
    fitted = json.loads((study / "scaling" / "fit.json").read_text())
    assert fitted["stuck"] == ["width"]
    assert fitted["beta"] == 1
    assert fitted["intervals"]["beta"] == [1, 1]
    assert "width" not in fitted["versus"]
