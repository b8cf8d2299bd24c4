"""Imports run one way: blocks ← search ← scaling."""

import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
FORBIDDEN = {"blocks": {"search", "scaling"}, "search": {"scaling"}, "scaling": set()}


def imported_packages(path: Path) -> set[str]:
    names = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            names |= {alias.name.partition(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: relative import"
            names.add(str(node.module).partition(".")[0])
    return names


@pytest.mark.parametrize("package", FORBIDDEN)
def test_nothing_imports_upward(package: str) -> None:
    files = list((ROOT / package).rglob("*.py"))
    assert files
    for path in files:
        assert not imported_packages(path) & (FORBIDDEN[package] | {"tests"}), path


def test_matplotlib_and_fvcore_have_one_home() -> None:
    homes: dict[str, set[str]] = {"matplotlib": set(), "fvcore": set()}
    for package in FORBIDDEN:
        for path in (ROOT / package).rglob("*.py"):
            for name in imported_packages(path) & homes.keys():
                homes[name].add(str(path.relative_to(ROOT)))
    assert homes == {
        "matplotlib": {"blocks/figure.py", "blocks/plot.py", "search/plot.py", "scaling/plot.py"},
        "fvcore": {"blocks/cost/referee.py"},
    }
