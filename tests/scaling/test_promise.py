"""What a trained family has reached, beside what was expected of it."""

import json
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import yaml
from PIL import Image

from blocks.arch import parse_arch
from blocks.cost import count
from scaling.__main__ import main
from scaling.compound import ScalingError, scale
from scaling.fitting.polynomials import Polynomials
from scaling.fitting.saved import SavedSurface, read_surface
from scaling.judging import Figure
from scaling.promise.rows import Row, read_promise
from search.errors import StudyError
from search.record.folder import StudyFolder
from tests.conftest import Refuse
from tests.scaling.conftest import B0

ARCH = parse_arch(B0)


def surface_of_cost(slope: float) -> SavedSurface:
    """Two surfaces on which the logit rises by `slope` and `slope` + 0.1 a doubling of cost."""
    logs = np.log([[0.5, 0.7, 0.7], [2.0, 1.5, 1.5]])
    polynomials = Polynomials.over(logs)
    # A first degree of each axis: of doublings over the reach, and of a norm of √3.
    first = (polynomials.total == 1) * polynomials.reach[0] / np.sqrt(3)
    return SavedSurface(
        np.stack([slope * first, (slope + 0.1) * first]), polynomials, np.array([]), 2.6, "accuracy"
    )


def test_gains_are_of_what_a_network_is() -> None:
    """Twice as deep and, at the same width, at √2 of the resolution: two doublings."""
    grown = scale(ARCH, depth=2, width=1, resolution=11, repeats="nearest")
    doublings = 1 + 2 * np.log2(11 / 8)
    gains = surface_of_cost(0.3).gains(ARCH, [ARCH, grown], 10)
    assert gains[:, 0] == pytest.approx([0, 0], abs=1e-12)
    assert gains[:, 1] == pytest.approx([0.3 * doublings, 0.4 * doublings], rel=1e-6)
    # By a schedule whose members were taken in a doubling buys more.
    longer = replace(surface_of_cost(0.3), steeper={"long": np.array([0.05, 0.0])})
    assert longer.gains(ARCH, [grown], 10)[:, 0] == pytest.approx(gains[:, 1])
    steeper = longer.gains(ARCH, [grown], 10, "long")[:, 0]
    assert steeper == pytest.approx([0.35 * doublings, 0.4 * doublings], rel=1e-6)


def keep(surface: SavedSurface, folder: Path) -> None:
    own = surface.polynomials
    (folder / "scaling").mkdir(exist_ok=True)
    np.savez(
        folder / "scaling" / "surface.npz", coefficients=surface.coefficients, powers=own.powers,
        centre=own.centre, reach=own.reach, degrees=own.degrees, level=surface.level,
        trained=np.array(surface.trained), baseline=np.array(B0),
        quality=np.array("accuracy"),
    )  # fmt: skip


@pytest.fixture
def folder(study: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> StudyFolder:
    """A copy of the study, the current folder being where its results lie."""
    shutil.copytree(study, tmp_path / "results" / "main")
    monkeypatch.chdir(tmp_path)
    return StudyFolder("results", "main")


SHORT = ["recipe.epochs=1", "kernels=torch", "device=cpu", "precision=fp32", "threads=1"]


def test_a_family_is_trained_beside_its_rivals_and_compared(
    folder: StudyFolder, capsys: pytest.CaptureFixture[str]
) -> None:
    main(["emit", "study=main", "rule=uniform", "members=3"])
    keep(surface_of_cost(0.3), folder.path)
    main(["train", "study=main", "member=b0..b2", "rivals=[mobilenetv2_100]", *SHORT])
    said = capsys.readouterr().out
    assert "the family of main: test accuracy" in said
    table = pd.read_csv(folder / "trained" / "promise.csv").set_index("name")
    names = [f"b{number}{rival}" for number in range(3) for rival in ("", "-mobilenetv2_100")]
    assert list(table.index) == names
    assert table["rival"].tolist() == [False, True] * 3
    for name in names:
        content = yaml.safe_load((folder / "trained" / name / "model.yaml").read_text())
        row = table.loc[name]
        assert row["reached"] == pytest.approx(
            content["metrics"]["test"]["accuracy"]["value"], abs=1e-5
        )
        assert row["macs"] == count(parse_arch(row["arch"]), 10).macs
        assert row["latency_ms"] > 0
        if "-" in name:
            member = name.partition("-")[0]
            assert (row["against"], content["rival_of"]) == (member, member)
            assert row["macs"] / table.loc[member, "macs"] == pytest.approx(1, abs=0.021)
            assert "of its strides" in content["made"] or "of its depth" in content["made"]
            assert pd.isna(row["expected"])
        elif name != "b0":
            assert row["gain"] == pytest.approx(
                row["reached"] - table.loc["b0", "reached"], abs=2e-5
            )
            assert row["gain_low"] <= row["gain"] <= row["gain_high"]
            assert 0 < row["expected_low"] < row["expected"] < row["expected_high"]
    assert table.loc[["b1", "b2"], "extrapolated"].tolist() == [False, True]  # of 2.6 times b0
    with Image.open(folder / "trained" / "promise.png") as picture:
        assert picture.size[0] > 1000
    # Again from what lies there; another schedule is said.
    path = folder / "trained" / "b1" / "model.yaml"
    content = yaml.safe_load(path.read_text())
    content["recipe"] |= {"epochs": 9, "dropout": 0.3}
    path.write_text(yaml.safe_dump(content, width=10_000))
    main(["promise", "study=main"])
    said = capsys.readouterr().out
    assert "b1 was trained otherwise: recipe.epochs=9 (b0: 1)\n" in said
    assert "fit.trained=true takes these members into the surface" in said
    fit = ["points=8", "repeated=1", "seeds=1", "epochs=1", "draws=100", "trained=true"]
    main(["fit", "study=main", *(f"fit.{setting}" for setting in fit)])
    said = " ".join(capsys.readouterr().out.split())
    assert "taken in as trained by recipe small, 1 epoch: b0, b2; the largest costs" in said
    assert "b0-mobilenetv2_100 (not grown from b0)" in said
    assert "b1 (no other network was trained alike)" in said
    fitted = json.loads((folder / "scaling" / "fit.json").read_text())
    assert (fitted["points"], [each["names"] for each in fitted["trained"]]) == (
        8,
        [["b0"], ["b2"]],
    )
    assert 0 < fitted["trained"][1]["predicted_by_the_others"] < 1
    assert "otherwise" in fitted["scales_logit"]
    ratio = table.loc["b2", "macs"] / table.loc["b0", "macs"]
    assert fitted["trained_macs_ratio"] == pytest.approx(ratio, abs=1e-3)
    main(["promise", "study=main"])
    table = pd.read_csv(folder / "trained" / "promise.csv").set_index("name")
    assert table.loc[["b1", "b2"], "taken_in"].tolist() == [False, True]
    assert table.loc[["b1", "b2"], "extrapolated"].tolist() == [False, False]
    assert pd.isna(table.loc["b2", "expected"])
    main(["emit", "study=main", "members=4"])
    family = pd.read_csv(folder / "family" / "family.csv").set_index("name")
    assert family["extrapolated"].tolist() == [False, False, False, True]


def test_what_is_no_family_is_refused(folder: StudyFolder, refuse: Refuse) -> None:
    with pytest.raises(ScalingError, match="has no member trained; expected b0 and one more"):
        read_promise(folder)
    said = refuse("scaling", "fit", "study=main", "fit.trained=true")
    assert "fit.trained=true: " in said
    assert "has no two members that were trained alike; expected b0 and one more" in said
    said = refuse("scaling", "fit", "study=main", "fit.trained=true", "method=grid")
    assert "expected method=surface" in said
    for setting, message in (
        ("rivals=[mobilnetv2_100]", "unknown network 'mobilnetv2_100' (did you mean"),
        ("network=mobilenetv2_100 rivals=[mnasnet_a1]", "rivals= are of a study's members"),
    ):
        assert message in refuse("scaling", "train", "study=main", *setting.split())
    keep(surface_of_cost(0.3), folder.path)
    path = folder / "scaling" / "surface.npz"
    assert read_surface(folder, ARCH) is not None
    assert read_surface(folder, scale(ARCH, depth=2)) is None  # another B0's
    path.write_bytes(path.read_bytes()[:100])
    with pytest.raises(StudyError, match=r"surface\.npz is damaged.*scaling fit writes it again"):
        read_surface(folder, ARCH)


ROW = Row("b1", ARCH, 10, 10, 1.0, Figure(0.9, 0.88, 0.92), "b0")


@pytest.mark.parametrize(
    ("gain", "expected", "verdict"),
    [
        ((0.01, 0.00, 0.02), (0.02, 0.01, 0.03), "as expected"),
        ((0.01, 0.00, 0.02), (0.04, 0.03, 0.05), "less than expected"),
        ((0.09, 0.08, 0.10), (0.04, 0.03, 0.05), "more than expected"),
        ((0.09, 0.08, 0.10), None, "better than b0"),
        ((0.01, -0.01, 0.10), None, "not told from b0"),
    ],
)
def test_verdicts_of_members(
    gain: tuple[float, float, float], expected: tuple[float, float, float] | None, verdict: str
) -> None:
    known = None if expected is None else Figure(*expected)
    assert replace(ROW, gain=Figure(*gain), expected=known).verdict == verdict


@pytest.mark.parametrize(
    ("gain", "verdict"),
    [((-0.02, -0.03, -0.01), "behind b1"), ((0.0, -0.01, 0.01), "not told apart"),
     ((0.02, 0.01, 0.03), "ahead of b1")],
)  # fmt: skip
def test_verdicts_of_rivals(gain: tuple[float, float, float], verdict: str) -> None:
    rival = replace(ROW, name="b1-mnasnet_a1", against="b1", gain=Figure(*gain), is_rival=True)
    assert rival.verdict == verdict
