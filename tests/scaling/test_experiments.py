"""Experiments: one network trained in several ways."""

import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import yaml

from blocks.arch import parse_arch
from scaling.__main__ import main
from scaling.differences import difference, pooled_noise
from scaling.experiments.config import CHANGES, experiment_names, read_experiment
from scaling.training.settings import read_train
from tests.conftest import ROOT, Refuse
from tests.scaling.conftest import B0


@pytest.mark.parametrize("name", experiment_names())
def test_every_file_is_an_experiment_that_can_be_run(name: str) -> None:
    found = read_experiment(name)
    assert f"python -m scaling experiment {name} study=main" in found.about
    assert len(found.variants) >= 2
    for variant in found.variants:
        read_train(["study=main", *variant.settings])
        if variant.change is not None:
            assert CHANGES[variant.change](parse_arch(B0)) != parse_arch(B0)


SHORT = ["recipe.epochs=1", "kernels=torch", "device=cpu", "precision=fp32", "threads=1"]


def test_variants_are_trained_with_seeds_and_compared(
    study: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / "results" / "main"
    shutil.copytree(study, folder)
    monkeypatch.chdir(tmp_path)
    main(["experiment", "lite", "study=main", "seeds=2", *SHORT])
    said = capsys.readouterr().out
    assert "lite: test accuracy of 2 seeds" in said
    table = pd.read_csv(folder / "experiments" / "lite.csv").set_index("variant")
    assert list(table.index) == ["full", "lite"]
    reached = []
    for variant in table.index:
        for seed in (0, 1):
            path = folder / "trained" / f"lite-{variant}-{seed}" / "model.yaml"
            content = yaml.safe_load(path.read_text())
            assert content["seed"] == seed
            assert content["arch"] == table.loc[variant, "arch"]
            assert (content["arch"] == B0) == (variant == "full")
            reached.append(content["metrics"]["test"]["accuracy"]["value"])
            assert table.loc[variant, f"seed_{seed}"] == pytest.approx(reached[-1], abs=1e-5)
    values = np.array(reached).reshape(2, 2)
    lead = difference(values[1], values[0], pooled_noise(values))
    assert table.loc["lite", "lead"] == pytest.approx(lead.value, abs=2e-5)
    assert table.loc["lite", "low"] == pytest.approx(lead.low, abs=2e-5)
    assert pd.isna(table.loc["full", "lead"])
    # Again: nothing is trained twice.
    times = {path: path.stat().st_mtime_ns for path in folder.rglob("model.safetensors")}
    main(["experiment", "lite", "study=main", "seeds=2", *SHORT])
    assert {path: path.stat().st_mtime_ns for path in folder.rglob("model.safetensors")} == times


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["study=main"], "which experiment? expected one of drop_block, "),
        (["mixupp", "study=main"], "did you mean 'mixup'"),
        (["mixup", "seeds=1"], "seeds=1 is not a whole number from 2 to 100"),
        (["mixup", "name=x"], "name=, compare= and rivals= are not of"),
        (["mixup", "recipe.epoch=1"], "unknown setting 'recipe.epoch'"),
    ],
)
def test_what_cannot_be_run_is_refused(arguments: list[str], message: str, refuse: Refuse) -> None:
    assert message in refuse("scaling", "experiment", *arguments)


def test_files_open_with_what_they_are() -> None:
    for path in (ROOT / "conf" / "experiment").glob("*.yaml"):
        assert path.read_text().startswith("# "), path.name
