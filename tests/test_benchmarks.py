"""The scripts of results/benchmarks: that none is forgotten, and what they share."""

import math
from pathlib import Path

import pytest

from tests.conftest import ROOT

FOLDER = ROOT / "results" / "benchmarks"


@pytest.fixture(autouse=True)
def scripts_import_each_other(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(FOLDER))


def test_all_are_run_by_ci_and_are_in_the_readme() -> None:
    import all_quick

    names = all_quick.scripts()
    assert "count_many" in names
    table = (ROOT / "results" / "README.md").read_text(encoding="utf-8")
    assert [name for name in names if f"| `{name}.py" not in table] == []
    others = {path.stem for path in FOLDER.glob("*.py")} - {*names, "all_quick", "gpu"}
    for name in others:
        said = (FOLDER / f"{name}.py").read_text(encoding="utf-8")
        assert "No benchmark itself." in said.split('"""')[1], name


def test_quick_changes_defaults_and_not_what_is_given() -> None:
    from harness import make_parser, parse

    def parsed(*given: str) -> int:
        parser = make_parser("What it does.\n\nMore.", seed=0)
        parser.add_argument("--repeats", type=int, default=9)
        repeats: int = parse(parser, list(given), repeats=1).repeats
        return repeats

    assert parsed() == 9
    assert parsed("--quick") == 1
    assert parsed("--quick", "--repeats", "4") == 4


def test_what_makes_no_sense_ends_a_script() -> None:
    from harness import check_finite

    check_finite("seconds", [[0.0, 1.0], [2.0, 3.0]], low=0, high=3)
    for wrong in ([], [1.0, math.nan], [math.inf], [-1.0], [4.0]):
        with pytest.raises(SystemExit, match="error: seconds: "):
            check_finite("seconds", wrong, low=0, high=3)


def test_an_interval_by_hand() -> None:
    from harness import mean_interval

    # Mean 2, deviation 1, t of 2 degrees of freedom 4.303: 2 ± 4.303/√3.
    assert mean_interval([1, 2, 3]) == pytest.approx((-0.484, 4.484), abs=1e-3)
    assert all(math.isnan(bound) for bound in mean_interval([1]))


def test_a_failed_training_is_said() -> None:
    from opening import trained

    from search.record.trials import FailureRecord

    failure = FailureRecord(3, "r28-…", "nan", "the loss became nan")
    with pytest.raises(SystemExit, match=r"error: r28-… failed \(nan\): the loss became nan"):
        trained([failure])


def test_a_script_that_fails_or_hangs_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import all_quick

    monkeypatch.setattr(all_quick, "FOLDER", tmp_path)
    (tmp_path / "good.py").write_text("print('done')")
    (tmp_path / "mute.py").write_text("")
    (tmp_path / "bad.py").write_text("raise ValueError('what it was')")
    (tmp_path / "slow.py").write_text("import time; time.sleep(60)")
    assert all_quick.run("good", 60) is None
    assert all_quick.run("mute", 60) == "printed nothing"
    error = all_quick.run("bad", 60)
    assert error is not None
    assert "what it was" in error
    assert error.endswith("ended with 1")
    assert all_quick.run("slow", 0.5) == "not done in 0.5 s"


def test_a_moved_name_is_found_where_it_was() -> None:
    from version_side import find

    assert find("sqrt", "math.moved", "math") is math.sqrt
    with pytest.raises(LookupError, match="no cube in math or cmath"):
        find("cube", "math", "cmath")
