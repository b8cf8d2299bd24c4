"""A search that is judged by what counts classes alike, of images of which one class has most."""

import json
from pathlib import Path

import numpy as np
import pytest
import yaml

from tests.conftest import Cli, Refuse

REFERENCE = "r8-s8-[ds_r1_k3_s1_e1_c8|ir_r1_k3_s2_e3_c16]-h16"


@pytest.fixture(scope="module")
def unequal(digits: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The digits 0, 1 and 2: all of the first, few of the last."""
    with np.load(digits) as content:
        arrays = dict(content)
    found = {}
    for part in ("train", "test"):
        labels = arrays[f"y_{part}"]
        rows = np.concatenate(
            [np.flatnonzero(labels == n)[:most] for n, most in enumerate((None, 14, 8))]
        )
        found |= {f"x_{part}": arrays[f"x_{part}"][rows], f"y_{part}": labels[rows]}
    path = tmp_path_factory.mktemp("unequal") / "unequal.npz"
    np.savez(path, **found)
    return path


@pytest.mark.slow
def test_a_search_by_balanced_accuracy(
    cli: Cli, tmp_path: Path, unequal: Path, digits_settings: list[str]
) -> None:
    settings = [
        *[each for each in digits_settings if not each.startswith("budget.")],
        *("study=fair", f"dataset.root={unequal}", "budget.target=60k", "search.trials=2"),
        *("search.metric=balanced_accuracy", "proxy.class_weights=balanced"),
        *("proxy.epochs=2", "proxy.batch_size=16", "search.pruner=none", "search.controls=1"),
        *("search.finalists=2", "search.final_seeds=1"),
    ]
    done = cli("search", "run", *settings)
    said = done.stdout + done.stderr
    study = tmp_path / "results" / "fair"
    for words in (
        "(2) to ",
        "objective balanced accuracy",
        "; best balanced accuracy 0.",
        "  val balanced accuracy 0.",
        "always '0' would reach a test balanced accuracy of 0.3333; B0 is",
        "same proxy: val balanced accuracy",
        "val balanced loss",
    ):
        assert words in said, said
    records = [json.loads(line) for line in (study / "trials.jsonl").read_text().splitlines()]
    reached = [record["metrics"]["val_balanced_accuracy"] for record in records]
    journal = [json.loads(line) for line in (study / "optuna.journal").read_text().splitlines()]
    told = [line["values"][0] for line in journal if line.get("values")]
    assert sorted(told) == sorted(reached)
    b0 = yaml.safe_load((study / "b0.yaml").read_text())
    finalist = b0["finalists"][0]
    assert {"val_balanced_accuracy", "val_balanced_loss", "val_accuracy"} <= finalist.keys()
    assert {"test_balanced_accuracy", "test_macro_f1", "test_accuracy"} <= b0["final"].keys()
    assert "val_balanced_accuracy_best" in b0["controls"]


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ("search.metric=loss objective=accuracy", "search.metric=loss is objective=loss"),
        (
            "proxy.class_weights=balanced proxy.balanced_batches=true",
            "would count rare classes twice",
        ),
    ],
)
def test_what_does_not_go_together_is_refused(refuse: Refuse, settings: str, message: str) -> None:
    assert message in refuse("search", "run", *settings.split())


@pytest.mark.slow
def test_what_follows_a_search_is_judged_alike(
    cli: Cli, tmp_path: Path, unequal: Path, digits_settings: list[str]
) -> None:
    # Commands that read the study alone: see the same of several labels.
    metric, words = "macro_f1", "macro F1"
    settings = [
        *(*digits_settings, "study=fair", f"dataset.root={unequal}", f"search.metric={metric}"),
        *("proxy.balanced_batches=true", "search.trials=6", "proxy.batch_size=16"),
        *("search.finalists=2", "search.final_seeds=1", f"search.references=['{REFERENCE}']"),
        "workers.count=1",
    ]
    cli("search", "run", *settings)
    study = tmp_path / "results" / "fair"
    grid = ["method=grid", "grid.step=0.5", "grid.tolerance=1"]
    assert f"  val {words} " in cli("scaling", "fit", "study=fair", *grid).stdout
    compare = ["compare.ratios=[4]", "compare.seeds=2", "compare.random=0"]
    assert f"test {words}" in cli("scaling", "compare", "study=fair", *compare).stdout
    assert f"{metric}_mean" in (study / "scaling" / "compare.csv").read_text()
    sizes = ["resolution.percents=[100,150]", "resolution.train=true"]
    said = cli("scaling", "resolution", "study=fair", *sizes).stdout
    assert f"test {words}" in said
    b0 = yaml.safe_load((study / "b0.yaml").read_text())
    rows = json.loads((study / "scaling" / "resolution.json").read_text())["sizes"]
    [own] = [row for row in rows if row["percent"] == 100]
    assert own[f"test_{metric}"] == pytest.approx(b0["final"][f"test_{metric}"])
    assert own["low"] < own[f"test_{metric}"] < own["high"]
