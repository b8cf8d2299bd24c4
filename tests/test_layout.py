"""The house keeps its shape: imports run one way and never in a circle, and files stay small."""

import ast
import graphlib
import importlib
import pkgutil
import re
import statistics
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Final

import pytest

ROOT = Path(__file__).resolve().parent.parent
FORBIDDEN: Final = {"blocks": {"search", "scaling"}, "search": {"scaling"}, "scaling": set()}
"""Package → what it may not know of: blocks ← search ← scaling."""

MOST_LINES: Final = 450
MOST_MEDIAN_LINES: Final = 140
MOST_FUNCTION_LINES: Final = 80
REASON: Final = "Long:"
"""In the docstring of a longer function, before the reason why it is one."""

PRINTING: Final = {
    Path("blocks/console.py"),
    Path("blocks/messages.py"),
    Path("search/config/arguments.py"),
}
"""Where command lines print but in their commands: mistakes, progress, usage."""

HEAVY: Final = ("torch", "numpy", "hydra", "omegaconf", "pandas", "matplotlib", "optuna")


def files_of(package: str) -> list[Path]:
    found = sorted((ROOT / package).rglob("*.py"))
    assert found
    return found


@cache
def parsed(path: Path) -> ast.Module:
    return ast.parse(path.read_text(encoding="utf-8"))


def module_of(path: Path) -> str:
    parts = path.relative_to(ROOT).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


MODULES: Final = {module_of(path): path for package in FORBIDDEN for path in files_of(package)}


def imported(node: ast.AST) -> Iterator[str]:
    """The modules that one statement imports, by their whole names."""
    if isinstance(node, ast.Import):
        yield from (alias.name for alias in node.names)
    elif isinstance(node, ast.ImportFrom):
        assert node.level == 0, "relative import"
        for alias in node.names:
            inner = f"{node.module}.{alias.name}"
            yield inner if inner in MODULES else str(node.module)


def imported_packages(path: Path) -> set[str]:
    """Imported anywhere in a file, in functions and for types too."""
    nodes = ast.walk(parsed(path))
    return {name.partition(".")[0] for node in nodes for name in imported(node)}


def imported_at_once(body: list[ast.stmt]) -> Iterator[str]:
    """The modules that importing a file imports: not those in functions, or for types alone."""
    for node in body:
        yield from imported(node)
        if isinstance(node, ast.If) and "TYPE_CHECKING" not in ast.unparse(node.test):
            yield from imported_at_once([*node.body, *node.orelse])
        elif isinstance(node, ast.Try):
            handled = [each for handler in node.handlers for each in handler.body]
            yield from imported_at_once([*node.body, *handled, *node.orelse, *node.finalbody])
        elif isinstance(node, ast.With | ast.ClassDef):
            yield from imported_at_once(node.body)


@pytest.mark.parametrize("package", FORBIDDEN)
def test_nothing_imports_upward(package: str) -> None:
    for path in files_of(package):
        assert not imported_packages(path) & (FORBIDDEN[package] | {"tests"}), path


@pytest.mark.parametrize("package", FORBIDDEN)
def test_nothing_names_an_upper_module(package: str) -> None:
    """Not in a string either, from which it could be imported or started."""
    for path in files_of(package):
        for node in ast.walk(parsed(path)):
            if isinstance(node, ast.Constant) and isinstance(node.value, str):
                for name in re.findall(r"\b[a-z_]+(?:\.[a-z_]+)+", node.value):
                    upward = name.partition(".")[0] in FORBIDDEN[package]
                    assert not (upward and name in MODULES), f"{path}:{node.lineno}: {name}"


def test_imports_make_no_circle() -> None:
    graph = {
        name: {each for each in imported_at_once(parsed(path).body) if each in MODULES}
        for name, path in MODULES.items()
    }
    try:
        graphlib.TopologicalSorter(graph).prepare()
    except graphlib.CycleError as error:
        pytest.fail(" ← ".join(error.args[1]))


def test_matplotlib_and_fvcore_have_one_home() -> None:
    homes: dict[str, set[str]] = {"matplotlib": set(), "fvcore": set()}
    for path in MODULES.values():
        for name in imported_packages(path) & homes.keys():
            homes[name].add(str(path.relative_to(ROOT)))
    assert homes == {
        "matplotlib": {
            "blocks/figure.py",
            "blocks/plot.py",
            "blocks/drawing/raster.py",
            "search/plot.py",
            "search/report/paper.py",
            "scaling/plot.py",
        },
        "fvcore": {"blocks/cost/fvcore_referee.py"},
    }


@pytest.mark.parametrize("package", FORBIDDEN)
def test_files_are_small(package: str) -> None:
    lines = {path: len(path.read_text("utf-8").splitlines()) for path in files_of(package)}
    assert {path: count for path, count in lines.items() if count > MOST_LINES} == {}
    assert statistics.median(lines.values()) <= MOST_MEDIAN_LINES


@pytest.mark.parametrize("package", FORBIDDEN)
def test_long_functions_say_why(package: str) -> None:
    unexplained = [
        f"{path.relative_to(ROOT)}:{node.lineno} {node.name}"
        for path in files_of(package)
        for node in ast.walk(parsed(path))
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
        and (node.end_lineno or node.lineno) - node.lineno >= MOST_FUNCTION_LINES
        and REASON not in (ast.get_docstring(node) or "")
    ]
    assert unexplained == []


def test_only_commands_print() -> None:
    """Functions return values, and commands print them."""
    for path in MODULES.values():
        _, *within = path.relative_to(ROOT).parts
        if within[0] in ("commands", "__main__.py") or path.relative_to(ROOT) in PRINTING:
            continue
        for node in ast.walk(parsed(path)):
            if isinstance(node, ast.Call):
                assert ast.unparse(node.func) not in ("print", "console.print"), path


def test_importing_a_package_imports_nothing_heavy() -> None:
    code = (
        "import sys, blocks, search, scaling; "
        f"print(*[name for name in {HEAVY} if name in sys.modules])"
    )
    command = [sys.executable, "-c", code]
    out = subprocess.run(command, capture_output=True, text=True, check=True, cwd=ROOT)
    assert out.stdout.split() == []


def test_no_submodule_hides_a_name_of_a_face() -> None:
    """Once imported, a submodule is the package's attribute, and what is lazy is not asked."""
    for name in ("blocks", "blocks.cost", "search", "scaling"):
        package = importlib.import_module(name)
        modules = {each.name for each in pkgutil.iter_modules(package.__path__)}
        assert package._HOMES
        assert not modules & set(package._HOMES), name


def test_what_is_no_code_is_packed_too() -> None:
    settings = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["setuptools"]
    packed = {
        path
        for package, patterns in settings["package-data"].items()
        for pattern in patterns
        for path in ROOT.joinpath(*package.split(".")).glob(pattern)
    }
    rooms = [*FORBIDDEN, "conf"]
    known = subprocess.run(
        ["git", "ls-files", "-z", *rooms], cwd=ROOT, capture_output=True, text=True, check=False
    ).stdout.split("\0")
    paths = [ROOT / name for name in known if name]  # no editor's copies
    paths = paths or [path for room in rooms for path in (ROOT / room).rglob("*")]
    files = {path for path in paths if path.is_file() and path.suffix not in (".py", ".pyc")}
    assert files
    assert files <= packed
