"""A real study of the digits with a B0, its weights and coefficients."""

import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from scaling.config import ScalingConfig
from scaling.settings import read_settings
from tests.conftest import environment

B0 = "r8-i1-s16-[ir_r1_k3_s1_e4_c24|ir_r1_k5_s2_e3_c16|ds_r1_k7_s2_e1_c32]-h128"


def scaling_config(*overrides: str) -> ScalingConfig:
    """What the command line makes of settings, checked as it checks them."""
    return read_settings(overrides)


@pytest.fixture(scope="session")
def study(tmp_path_factory: pytest.TempPathFactory, digits: Path) -> Path:
    """The folder of a search that has one candidate; tests write into its scaling/ alone."""
    results = tmp_path_factory.mktemp("scaling") / "results"
    settings = [
        "dataset=npz",
        f"dataset.root={digits}",
        "proxy.resolution=8",
        "proxy.epochs=1",
        "search.trials=1",
        f"search.enqueue=['{B0}']",
        "space=tiny",
        "budget.max_macs=2M",
        "search.finalists=1",
        "search.final_epochs=2",
        "search.references=[]",
        "search.controls=0",
        "search.scale=false",
        "workers.count=1",
        f"results_dir={results}",
    ]
    done = subprocess.run(
        [sys.executable, "-m", "search", "run", *settings],
        env=environment(),
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    folder = results / "main"
    chosen = yaml.safe_load((folder / "b0.yaml").read_text())["arch"]
    assert chosen == B0
    content = {"alpha": 1.2, "beta": 1.1, "gamma": 1.3, "baseline": B0}
    (folder / "coefficients.yaml").write_text(yaml.safe_dump(content, width=10_000))
    return folder
