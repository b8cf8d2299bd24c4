"""Experiments: each of `conf/experiment` is run on the digits, and what it says is checked."""

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Final

import numpy as np
import pandas as pd
import pytest
import torch
import yaml

from blocks.arch import parse_arch
from blocks.cost import count
from blocks.drop_block import disc_mask
from blocks.latency.device import torch_threads
from scaling.__main__ import main
from scaling.differences import difference, pooled_noise
from scaling.experiments.bench import open_bench
from scaling.experiments.config import (
    SMALL,
    experiment_names,
    read_experiment,
    split_arguments,
)
from scaling.experiments.device_throughput import Place, Timed, turned
from scaling.experiments.table import leads
from scaling.training.record import read_outcomes
from scaling.training.settings import read_train
from tests.conftest import ROOT, Refuse
from tests.scaling.conftest import B0

TINY: Final = "r8-i1-s8-[ds_r1_k3_s1_e1_c8_se0.25|ir_r1_k3_s2_e2_c16_se0.25]-h16"
SHORT: Final = [
    "recipe.epochs=1",
    "recipe.batch_size=256",
    "kernels=torch",
    "device=cpu",
    "precision=fp32",
    "threads=1",
]
LESS: Final = {
    "device_throughput": ["rounds=2", "seconds=0.001", "batches=[1,4]", "server_threads=1"],
    "ensemble": ["size=2"],
    "pretraining": ["later_epochs=1"],
    "resolution_sampling": ["percents=[100,150]", "lowest=0.5"],
}
"""What makes an experiment small, beside one seed of one epoch."""


def trained(folder: Path, name: str) -> dict[str, object]:
    content = yaml.safe_load((folder / "trained" / name / "model.yaml").read_text())
    assert isinstance(content, dict)
    return content


def check_variants(folder: Path, table: pd.DataFrame) -> None:
    name = table.attrs["name"]
    experiment = read_experiment(name)
    assert list(table.variant)[: len(experiment.variants)] == [v.name for v in experiment.variants]
    for variant, arch, value in zip(table.variant, table.arch, table.seed_0, strict=True):
        content = trained(folder, f"{name}-{variant.removesuffix(', int8')}-0")
        assert content["arch"] == arch
        if not variant.endswith(", int8"):
            reached = content["metrics"]["test"]["accuracy"]["value"]  # type: ignore[index]
            assert value == pytest.approx(reached, abs=1e-5)
    assert table.lead[1:].tolist() == pytest.approx(
        (table["mean"] - table["mean"][0])[1:], abs=2e-5
    )
    assert table.low.isna().all()  # one seed tells no interval


def check_lite(folder: Path, table: pd.DataFrame) -> None:
    check_variants(folder, table)
    assert list(table.variant) == ["full", "lite", "full, int8", "lite, int8"]
    assert table.macs[0] > table.macs[1] == table.macs[3]
    assert (table["mean"][2:].to_numpy() - table["mean"][:2].to_numpy()).max() < 0.2


def check_compound(folder: Path, table: pd.DataFrame) -> None:
    check_variants(folder, table)
    own = count(parse_arch(TINY), 10).macs
    assert (table.macs / own).tolist() == pytest.approx([2] * 4, rel=0.2)
    archs = dict(zip(table.variant, map(parse_arch, table.arch), strict=True))
    blocks = {name: sum(s.repeats for s in arch.stages) for name, arch in archs.items()}
    assert max(blocks, key=lambda name: blocks[name]) == "depth"
    assert max(archs, key=lambda name: archs[name].resolution) == "resolution"
    assert max(archs, key=lambda name: archs[name].stages[-1].channels) == "width"


def check_ensemble(folder: Path, table: pd.DataFrame) -> None:
    rows = table.set_index("variant")
    outcomes = [read_outcomes(folder / "trained" / f"ensemble-small-{seed}") for seed in (0, 1)]
    mean = torch.stack([logits.softmax(1) for logits, _ in outcomes]).mean(0)
    right = (mean.argmax(1) == outcomes[0][1]).double().mean().item()
    assert rows.seed_0["2 small"] == pytest.approx(right, abs=1e-5)
    assert rows.macs["2 small"] == 2 * rows.macs["one small"]
    assert rows.macs["one large"] == pytest.approx(rows.macs["2 small"], rel=0.2)


def check_pretraining(folder: Path, table: pd.DataFrame) -> None:
    assert list(table.variant) == ["random", "pretrained", "finetuned"]
    home = folder / "experiments" / "pretraining"
    with np.load(home / "first.npz") as first, np.load(home / "second.npz") as second:
        assert set(first["y_train"]) == set(second["y_train"]) == set(range(5))
        assert np.bincount(second["y_train"]).tolist() == [100] * 5
        seen = {image.tobytes() for image in first["x_train"]}
        assert not seen & {image.tobytes() for image in second["x_test"]}
    plain, known = (trained(home, f"pretraining-{name}-0") for name in ("random", "pretrained"))
    assert "started_from" not in plain
    assert str(known["started_from"]).endswith("first-0.safetensors")


def check_sampling(folder: Path, table: pd.DataFrame) -> None:
    grid = pd.read_csv(folder / "experiments" / "resolution_sampling-grid.csv")
    assert len(grid) == 4 * 2
    for member, way, val, pixels in table[["variant", "way", "val", "pixels"]].values:
        tried = grid[grid.variant == member]
        allowed = {"fixed": [8], "optimal": [8, 12], "lowest": [8]}[way]
        best = tried[tried.pixels.isin(allowed)].val.max()
        assert val == best
        assert pixels in allowed
    assert table[table.way == "lowest"].lead.tolist() == [0] * 4  # the same networks


def check_throughput(folder: Path, table: pd.DataFrame) -> None:
    assert not (folder / "trained").exists()
    assert set(table.variant) == {v.name for v in read_experiment("device_throughput").variants}
    light = table[table.side == "light"]
    assert set(light.batch) == set(light.threads) == {1}
    rate = 1e3 * table.batch / table.median_ms
    assert table.images_a_second.tolist() == pytest.approx(rate.tolist(), rel=0.01)
    assert (table.least_ms <= table.median_ms).all()
    assert (table.median_ms <= table.most_ms).all()


SLOW: Final = (
    "compound",
    "drop_block",
    "global_residual",
    "lite",
    "mixup",
    "precision",
    "stochastic_depth",
)
"""Of one kind, which the test with seeds runs too."""
CHECKS: Final[dict[str, Callable[[Path, pd.DataFrame], None]]] = {
    "compound": check_compound,
    "device_throughput": check_throughput,
    "ensemble": check_ensemble,
    "lite": check_lite,
    "pretraining": check_pretraining,
    "resolution_sampling": check_sampling,
}


@pytest.mark.filterwarnings("default")  # ONNX's own
@pytest.mark.parametrize(
    "name",
    [
        pytest.param(name, marks=[pytest.mark.slow] if name in SLOW else [])
        for name in experiment_names()
    ],
)
def test_every_experiment_runs(
    name: str, tmp_path: Path, digits: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    if name == "lite":
        pytest.importorskip("onnxruntime")
    monkeypatch.chdir(tmp_path)
    images = ["study=digits", "dataset=npz", f"dataset.root={digits}", f"network={TINY}"]
    less = ["seeds=1"] if name != "device_throughput" else []
    kept = [word for word in SHORT if name != "precision" or not word.startswith("precision")]
    with torch_threads(1):
        main(["experiment", name, *images, *kept, *less, *LESS.get(name, [])])
    folder = tmp_path / "results" / "digits"
    table = pd.read_csv(folder / "experiments" / f"{name}.csv")
    table.attrs["name"] = name
    CHECKS.get(name, check_variants)(folder, table)


@pytest.mark.parametrize("name", experiment_names())
def test_every_file_says_its_command_time_and_result(name: str) -> None:
    found = read_experiment(name)
    assert (ROOT / "conf" / "experiment" / f"{name}.yaml").read_text().startswith("# ")
    _, _, command, *rest = found.about.splitlines()
    assert command.startswith(f"python -m scaling experiment {name}")
    said = " ".join(rest)
    assert " min of one core" in said, "its time"
    # A result that is told is there, and what is not told was not measured.
    measured = (ROOT / "results" / "experiments" / f"{name}.csv").is_file()
    assert ("Measured" in said, "Not measured" in said) == (measured, not measured)
    experiment, _, settings = split_arguments(command.split()[4:])
    for variant in experiment.variants:
        read_train([*SMALL, *settings, *variant.settings])


def test_circles_are_no_squares() -> None:
    """Of a side of 3 they would be."""
    settings = {each.name: each.settings for each in read_experiment("drop_block").variants}
    [size] = [word for word in settings["circles"] if "size" in word]
    assert size in settings["squares"]
    assert disc_mask(int(size.partition("=")[2])).min() == 0


def test_variants_are_trained_with_seeds_and_compared(
    study: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / "results" / "main"
    shutil.copytree(study, folder)
    monkeypatch.chdir(tmp_path)
    asked = ["experiment", "global_residual", "study=main", "seeds=2", *SHORT]
    main(asked)
    said = capsys.readouterr().out
    assert "global_residual: test accuracy of 2 seeds" in said
    table = pd.read_csv(folder / "experiments" / "global_residual.csv").set_index("variant")
    assert list(table.index) == ["none", "global_residual"]
    reached = []
    for variant in table.index:
        for seed in (0, 1):
            content = trained(folder, f"global_residual-{variant}-{seed}")
            assert content["seed"] == seed
            assert (content["arch"] == B0) == (variant == "none")
            reached.append(content["metrics"]["test"]["accuracy"]["value"])  # type: ignore[index]
    values = np.array(reached).reshape(2, 2)
    lead = difference(values[1], values[0], pooled_noise(values))
    own = table.loc["global_residual"]
    assert own.lead == pytest.approx(lead.value, abs=2e-5)
    assert own.low == pytest.approx(lead.low, abs=2e-5)
    # Again: nothing is trained twice.
    times = {path: path.stat().st_mtime_ns for path in folder.rglob("model.safetensors")}
    main(asked)
    assert {path: path.stat().st_mtime_ns for path in folder.rglob("model.safetensors")} == times


def test_ways_of_growing_cost_the_same(digits: Path, tmp_path: Path) -> None:
    experiment, options, _ = split_arguments(["compound"])
    words = [f"results_dir={tmp_path}", "study=x", "dataset=npz", f"dataset.root={digits}"]
    bench = open_bench(experiment, options, [*words, SMALL[0]])
    made = {variant.name: bench.made(variant.make) for variant in experiment.variants}
    for arch in made.values():
        assert count(arch, 10).macs == pytest.approx(2 * bench.macs, rel=0.02)
    blocks = {name: sum(s.repeats for s in arch.stages) for name, arch in made.items()}
    assert (blocks["depth"], blocks["width"], blocks["resolution"]) == (8, 4, 4)
    assert made["depth"].resolution == made["width"].resolution == 28
    assert made["resolution"].resolution > made["compound"].resolution > 28
    assert made["width"].stem > made["compound"].stem > 16


def test_a_single_seed_has_no_interval() -> None:
    [alone] = leads([[0.5], [0.6]], [(1, 0)])
    assert alone.value == pytest.approx(0.1)
    assert (alone.low, str(alone)) == (None, "+10.00")
    [pair] = leads([[0.5, 0.5], [0.6, 0.7]], [(1, 0)])
    assert pair.low is not None
    assert pair.low < pair.value == pytest.approx(0.15)


def test_a_pair_turns_where_all_rounds_say_so() -> None:
    light, server = Place("light", "cpu", 1, 1), Place("server", "cpu", 2, 64)
    timed = [
        Timed("small", light, (1.0, 1.1)),
        Timed("small", server, (90.0, 80.0)),
        Timed("large", light, (2.0, 2.1)),
        Timed("large", server, (70.0, 75.0)),
        Timed("noisy", light, (0.9, 1.2)),
        Timed("noisy", server, (60.0, 60.0)),
    ]
    assert turned(timed, light, server) == [("small", "large")]
    assert timed[1].rate == pytest.approx(64e3 / 85)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["study=main"], "which experiment? expected one of compound, "),
        (["mixupp", "study=main"], "did you mean 'mixup'"),
        (["mixup", "seeds=0"], "seeds=0 is not a whole number from 1 to 100"),
        (["mixup", "seeds=two"], "seeds=two"),
        (["mixup", "seeds="], "seeds= has no value"),
        (["mixup", "sedes=2"], "unknown setting 'sedes' (did you mean 'seeds'?)"),
        (["mixup", "size=2"], "unknown setting 'size'"),
        (["mixup", "name=x"], "name=, compare= and rivals= are not of"),
        (["mixup", "recipe.epoch=1"], "unknown setting 'recipe.epoch'"),
        (["ensemble", "size=1"], "size=1 is not a whole number from 2 to 32"),
        (["ensemble", "rule=wide"], "rule=wide is unknown"),
        (["resolution_sampling", "percents=[100]"], "expected two or more different ones"),
        (["resolution_sampling", "percents=[1,100]"], "percents=1: "),
        (["device_throughput", "batches=[]"], "expected whole numbers from 1"),
        (["device_throughput", "runtime=tflite"], "unknown runtime 'tflite'"),
    ],
)
def test_what_cannot_be_run_is_refused(arguments: list[str], message: str, refuse: Refuse) -> None:
    assert message in refuse("scaling", "experiment", *arguments)


def test_help_lists_experiments_and_settings(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["experiment", "--help"])
    said = capsys.readouterr().out
    for name in experiment_names():
        assert f"\n  {name} " in said
    for setting in ("seeds", "int8", "size", "images_per_class", "percents", "batches"):
        assert f"    {setting}=" in said
