"""`python -m scaling`, through subprocess."""

import csv
import json
from pathlib import Path

import pytest
import yaml

from tests.conftest import ROOT, Cli, Refuse

GOLDEN = json.loads((ROOT / "tests" / "golden" / "efficientnet.json").read_text())


def test_published_table_through_the_command_line(cli: Cli, tmp_path: Path) -> None:
    """All eight networks are built, run once by fvcore at full resolution, and equal the table."""
    cli("scaling", "emit", "baseline=efficientnet_b0", "coefficients=published")
    family = tmp_path / "results" / "efficientnet_b0" / "family"
    with open(family / "family.csv", encoding="utf-8") as rows:
        table = {f"efficientnet_{row['name']}": row for row in csv.DictReader(rows)}
    assert table.keys() == GOLDEN.keys()
    for name, golden in GOLDEN.items():
        for field, value in golden.items():
            assert int(table[name][field]) == value, (name, field)
    b1 = yaml.safe_load((family / "b1.yaml").read_text())
    assert (b1["coefficients"], b1["rounding"]) == ("published", "paper")
    assert b1["ratio_to_b0"]["macs"] == 1.7801


def test_given_coefficients(cli: Cli, tmp_path: Path) -> None:
    spelling = "r16-s8-[ds_r1_k3_s1_e1_c8|ir_r2_k3_s2_e4_c16_se0.25]-h32"
    arguments = [f"baseline='{spelling}'", "coefficients=[1.2,1.1,1.15]", "members=3"]
    cli("scaling", "emit", *arguments, "num_classes=4", "rounding=floor", "exact=false")
    family = tmp_path / "results" / "baseline" / "family"
    assert sorted(path.name for path in family.iterdir()) == [
        "b0.yaml", "b1.yaml", "b2.yaml", "family.csv",
    ]  # fmt: skip
    b2 = yaml.safe_load((family / "b2.yaml").read_text())
    assert (b2["phi"], b2["resolution"], b2["num_classes"]) == (2.0, 21, 4)
    # 32·1.1² = 38.7, down; the paper's rule would make it 40.
    assert (b2["rounding"], b2["fields"]["head"]) == ("floor", 38)


PAPERS = ["emit", "baseline=efficientnet_b0", "coefficients=[1.2,1.1,1.15]"]
LITERAL = ["emit", "baseline=efficientnet_b0", "exact=false"]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["emit", "baseline=efficientnet_b0", "coefficients=[0.9,1,1]"], "alpha=0.9"),
        (["emit", "baseline=efficientnet_b0", "coefficients=[1.2,1.1]"], "is not a triple"),
        (["emit", "coefficients=publishd"], "did you mean 'published'"),
        (["emit", "baseline=efficientnet_b0"], "expected coefficients=[alpha,beta,gamma]"),
        (["emit", "baseline=efficientnet_b0", "coefficients=[true,1,1]"], "alpha=True"),
        (["emit", "baseline=efficientnet_b0", "coefficients=[1,1e200,1]"], "beta=1e+200 is too"),
        ([*PAPERS, "members=3000"], "members=3000 is too large; expected 41 or less"),
        ([*PAPERS, "phis=[1,1.0000001]"], "names a member twice"),
        ([*LITERAL, "rule=resolution", "phis=[-9]"], "rule resolution at phis=-9: resolution"),
        (["emit", "baseline=efficientnet_bo", "coefficients=published"], "unknown network"),
        (["emit", "coefficients=published", "members=9", "baseline=efficientnet_b0"], "members=9"),
        (["emit", "rounding=flor"], "did you mean 'floor'"),
        (["fit"], "no study 'main' in results"),
        (["fit", "grid.stepp=1"], "did you mean 'grid.step'"),
        (["fit", "grid.step=0"], "grid.step=0"),
        (["fit", "grid.cost=nan"], "grid.cost=nan is not a finite number"),
        (["fit", "grid.cost=65"], "grid.cost=65 is too large"),
        (["fit", "grid.epochs=0"], "grid.epochs=0 is too small"),
        (["fit", "fit.minutes=inf"], "fit.minutes=inf is not a finite number"),
        (["fit", "fit.train_fraction=null"], "fit.train_fraction=null"),
        (["compare", "compare.epochs=0"], "compare.epochs=0 is too small"),
        (["resolution", "resolution.epochs=0"], "resolution.epochs=0 is too small"),
        (["fit", "grid.tolerance=9"], "grid.tolerance=9"),
        (["fit", "study=../x"], "study=../x is not a folder name"),
        ([*LITERAL, "coefficients=[900,1,1]"], "beyond any network"),
        ([*LITERAL, "coefficients=[2,1.5,1.5]"], "would have"),
        (["emit", "baseline=efficientnet_b0", "coefficients=[nan,1,1]"], "alpha=nan"),
        (["emit", "baseline=efficientnet_b0", "coefficients=[1,1,1]"], "grows nothing"),
        ([*PAPERS, "budgets=[100M,1G]"], "100M of 1e+08 macs is below B0's 3.858e+08"),
        ([*PAPERS, "phis=[-1]"], "rule compound only grows"),
        ([*PAPERS, "budgets=[1X]"], "budgets=1X is not a quantity"),
        ([*PAPERS, "budgets=[]"], "budgets=[] is empty"),
        ([*PAPERS, "budgets=[1G,1000M]"], "names a member twice"),
        ([*PAPERS, "budgets=[9000G]"], "too large"),
        ([*PAPERS, "budgets=[1G]", "phis=[1]"], "expected one list of members"),
        ([*PAPERS, "budgets=[1G]", "exact=false"], "leave exact=false out"),
        ([*PAPERS, "phis=[nan]"], "phis=nan"),
        ([*PAPERS, "metric=flops"], "metric=flops is unknown"),
        ([*PAPERS, "tolerance=0"], "tolerance=0"),
        ([*PAPERS, "latency_ms=[-1]"], "latency_ms=-1"),
        ([*PAPERS, "latency_ms=[5]", "device=tpu"], "device=tpu is unknown"),
        ([*PAPERS, "latency_ms=[5]", "runtime=x"], "unknown runtime 'x'"),
        ([*PAPERS, "rule=dwr"], "belong to rule=compound"),
        (["emit", "baseline=efficientnet_b0", "rule=dwrr"], "did you mean 'dwr'"),
        (["emit", "baseline=efficientnet_b0", "rule=resolution", "phis=[-9]"], "collapses"),
        (["fit", "baseline=efficientnet_b0"], "belong to scaling emit"),
    ],
)
def test_bad_input(refuse: Refuse, arguments: list[str], message: str) -> None:
    assert message in refuse("scaling", *arguments)
