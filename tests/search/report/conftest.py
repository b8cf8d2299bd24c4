"""Studies to report on."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import yaml
from PIL import Image

from search.record.folder import StudyFolder
from tests.conftest import ROOT

EVIL = "<script>alert(1)</script>"

Make = Callable[..., StudyFolder]


@pytest.fixture(scope="module")
def make(tmp_path_factory: pytest.TempPathFactory) -> Make:
    """A study of random networks of which kernels of 5 at the first stage alone are better."""
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(ROOT / "results" / "benchmarks"))
        from made_study import make_study

    def made(trials: int, failures: int = 0) -> StudyFolder:
        results = tmp_path_factory.mktemp("results")
        folder: StudyFolder = make_study(results, "made", trials, failures)
        return folder

    return made


@pytest.fixture(scope="module")
def searching(make: Make) -> StudyFolder:
    """60 candidates, 2 failures, no B0 yet."""
    return make(60, 2)


@pytest.fixture
def chosen(searching: StudyFolder, tmp_path: Path) -> StudyFolder:
    """A copy with a B0, a family, a fit, and a network that was trained."""
    folder = StudyFolder(str(tmp_path), "made")
    shutil.copytree(searching.path, folder.path)
    (folder / "report.html").unlink(missing_ok=True)
    best = max(folder.completed(), key=lambda record: record.metrics["val_accuracy"])
    content = {
        "arch": best.arch, "num_classes": 10, "trial": best.number,
        "cost": {"params": best.cost.params, "macs": best.cost.macs},
        "final": {"epochs": 16, "test_accuracy": 0.9012},
        "finalists": [
            {"name": EVIL, "trainings": 2, "val_accuracy": 0.9, "val_loss": 0.3, "p_best": 0.7,
             "arch": best.arch},
        ],
        "gain": {"reference": EVIL, "test_accuracy": 0.021, "interval_95": [0.004, 0.038]},
        "dataset": {"test": 2000},
    }  # fmt: skip
    folder.write("b0.yaml", yaml.safe_dump(content, width=10_000))
    (folder / "family").mkdir()
    row = f'{best.cost.params},{best.cost.macs},28,"{best.arch}"'
    folder.write("family/family.csv", f"name,params,macs,resolution,arch\nb0,{row}\n{EVIL},{row}\n")
    fitted = {"alpha": 1.3, "beta": 1.1, "gamma": 1.2, "intervals": {"alpha": [1.0, 1.9]}}
    folder.write("coefficients.yaml", yaml.safe_dump(fitted))
    (folder / "scaling").mkdir()
    report = {
        "region": {"triples": [[1.2, 1.1, 1.1], [1.0, 1.0, 1.4]]},
        "versus": {"paper": {"difference": 0.01, "interval": [-0.01, 0.03], "probability": 0.7}},
    }
    folder.write("scaling/fit.json", json.dumps(report))
    for name, reached in (("b0", 0.9), ("b1", 0.92)):
        home = folder / "trained" / name
        home.mkdir(parents=True)
        test = {"accuracy": {"value": reached, "low": reached - 0.01, "high": reached + 0.01}}
        model = {
            "cost": {"macs": best.cost.macs * (1 + (name == "b1")), "params": best.cost.params},
            "metrics": {"test": test}, "trained": {"epochs": 3, "seconds": 60.0},
        }  # fmt: skip
        (home / "model.yaml").write_text(yaml.safe_dump(model))
        (home / "log.csv").write_text("epoch,val_accuracy\n1,0.7\n2,0.8\n")
        (home / "confused.csv").write_text(f"class,other,times\n{EVIL},cat,7\n")
        Image.fromarray(np.zeros((40, 60, 3), np.uint8)).save(home / "confusion.png")
    return folder
