"""`from scaling import …`: light to import, silent, and the same as the command line."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

import scaling
from blocks.arch import parse_arch
from blocks.cost import count
from blocks.errors import CompoundNasError
from blocks.zoo import EFFICIENTNET_B0, ZOO
from scaling import PAPER, RULES, ScalingError, compare, emit, fit, scale, solve_family
from scaling.compound import scale_compound
from search.study.study import Study
from tests.conftest import environment
from tests.scaling.conftest import B0

HEAVY = ("torch", "numpy", "pandas", "scipy", "sklearn", "hydra", "omegaconf", "optuna", "rich")
SMALL = parse_arch("r16-s8-[ds_r1_k3_s1_e1_c8|ir_r2_k3_s2_e4_c16_se0.25]-h32")


def imported_by(code: str) -> set[str]:
    """The heavy packages that a new process has after this code."""
    script = f"{code}\nimport sys\nprint([n for n in {HEAVY!r} if n in sys.modules])"
    done = subprocess.run(
        [sys.executable, "-c", script],
        env=environment(),
        capture_output=True,
        text=True,
        check=True,
    )
    return set(json.loads(done.stdout.splitlines()[-1].replace("'", '"')))


def test_the_package_is_light_until_it_is_used() -> None:
    assert imported_by("import scaling; dir(scaling)") == set()
    # rich: where commands print.
    assert imported_by("import scaling.__main__") <= {"rich"}
    assert "torch" not in imported_by("from scaling import RULES, scale")


def test_every_name_is_there_and_no_other() -> None:
    for name in scaling.__all__:
        assert getattr(scaling, name) is not None
        assert name in dir(scaling)
    assert set(scaling.__all__) == set(scaling._HOMES)
    with pytest.raises(AttributeError, match="no attribute 'scael'"):
        _ = scaling.scael  # type: ignore[attr-defined]


def test_scale() -> None:
    assert scale(EFFICIENTNET_B0) == EFFICIENTNET_B0
    assert scale(EFFICIENTNET_B0, 1.1, 1.0, 240) == ZOO["efficientnet_b1"]
    assert scale(EFFICIENTNET_B0, width=1.4, rounding="floor").stem == 44
    with pytest.raises(ScalingError, match=r"resolution=1\.15 is not a number of pixels"):
        scale(EFFICIENTNET_B0, 1.2, 1.1, 1.15)  # type: ignore[arg-type]
    for depth in (0, -1, float("nan")):
        with pytest.raises(ScalingError, match="depth="):
            scale(EFFICIENTNET_B0, depth)
    with pytest.raises(ScalingError, match="rounding=up is unknown"):
        scale(EFFICIENTNET_B0, rounding="up")


def test_a_family_as_values(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    members = solve_family(SMALL, coefficients=PAPER, phis=[0.5, 1, 2], num_classes=4)
    assert [member.name for member in members] == ["b0", "b0.5", "b1", "b2"]
    own = count(SMALL, 4)
    assert (members[0].arch, members[0].cost) == (SMALL, own)
    for member in members:
        assert member.phi is not None
        assert member.cost == count(member.arch, 4)
        assert member.cost.macs == pytest.approx(own.macs * 2**member.phi, rel=0.02)
        assert member.realised.resolution == member.arch.resolution / 16
        again = scale(
            SMALL, member.depth_multiplier, member.width_multiplier, member.arch.resolution,
            repeats=member.repeats,
        )  # fmt: skip
        assert again == member.arch
    assert not list(tmp_path.iterdir())  # nothing is written


def test_a_family_by_other_rules_and_roundings() -> None:
    published = solve_family("efficientnet_b0", rule="published", members=3)
    assert [member.arch for member in published] == [ZOO[f"efficientnet_b{k}"] for k in range(3)]
    rounded = solve_family(SMALL, coefficients=(1.2, 1.1, 1.15), exact=False, members=2)
    assert rounded[1].arch == scale_compound(SMALL, PAPER, 1)
    (small, b0) = solve_family(EFFICIENTNET_B0, "tinynet", budgets=["200M"])
    assert small.cost.macs == pytest.approx(200e6, rel=0.02)
    assert b0.arch == EFFICIENTNET_B0
    blocks = [sum(stage.repeats for stage in arch.stages) for arch in (small.arch, b0.arch)]
    assert small.realised.depth == blocks[0] / blocks[1]
    assert "tinynet" in RULES


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({}, "expected coefficients="),
        ({"coefficients": (1.2, 1.1)}, "is not a triple"),
        ({"coefficients": (0.9, 1, 1)}, "alpha=0.9"),
        ({"rule": "dwrr"}, "did you mean 'dwr'"),
        ({"rule": "dwr", "coefficients": PAPER}, "belong to rule=compound"),
        ({"coefficients": PAPER, "phis": [-1]}, "only grows"),
        ({"coefficients": PAPER, "budgets": ["1X"]}, "is not a quantity"),
        ({"coefficients": PAPER, "phi": [1]}, "did you mean 'phis'"),
    ],
)
def test_what_the_command_line_refuses_is_refused(
    settings: dict[str, object], message: str
) -> None:
    with pytest.raises(CompoundNasError, match=message):
        solve_family(EFFICIENTNET_B0, **settings)  # type: ignore[arg-type]


def test_a_studys_family_and_its_files_without_a_word(
    study: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    solved = solve_family(Study.load(study), phis=[1])
    assert [member.coefficients for member in solved] == [
        scaling.ScalingCoefficients(1.2, 1.1, 1.3)
    ] * 2
    assert solved[0].arch == parse_arch(B0)
    written = emit(baseline="efficientnet_b0", coefficients=PAPER, members=2, results_dir=tmp_path)
    assert written.path == tmp_path / "efficientnet_b0" / "family"
    content = yaml.safe_load((written.path / "b1.yaml").read_text())
    assert parse_arch(content["arch"]) == written.members[1].arch
    said = capsys.readouterr()
    assert (said.out, said.err) == ("", "")


def test_a_fit_and_a_comparison_without_a_word(
    study: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    results = tmp_path / "results"
    folder = results / "main"
    folder.mkdir(parents=True)
    for name in ("config.yaml", "environment.json", "b0.yaml", "trials.jsonl"):
        (folder / name).write_bytes((study / name).read_bytes())
    capfd.readouterr()
    found = fit("main", results, points=14, repeated=0, draws=100)
    record = json.loads((folder / "scaling" / "fit.json").read_text())
    triple = found.coefficients
    assert [record[name] for name in ("alpha", "beta", "gamma")] == [
        triple.alpha, triple.beta, triple.gamma,
    ]  # fmt: skip
    assert record["intervals"] == {name: list(pair) for name, pair in found.intervals.items()}
    assert record["versus"]["width"]["difference"] == found.versus["width"].difference
    assert found.verdict
    assert (found.method, record["settings"]["points"]) == ("surface", 14)
    compared = compare("main", results, ratios=[4], rules=["paper", "width"], random=0, seeds=2)
    written = json.loads((folder / "scaling" / "compare.json").read_text())
    assert written["verdicts"] == compared.verdicts
    said = capfd.readouterr()
    assert (said.out, said.err) == ("", "")
