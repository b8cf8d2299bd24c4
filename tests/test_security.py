"""No file of somebody else's runs code here: read from the source of the three packages."""

import ast
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import pytest

from tests.test_layout import MODULES, ROOT, parsed

EXCHANGE: Final = {
    Path("search/evaluators/executors") / name
    for name in ("packing.py", "on_ray.py", "on_slurm.py")
}
"""Where pickles are read: those that a process and its own workers exchange, and no user's file."""


def calls(tree: ast.AST) -> Iterator[tuple[str, ast.Call]]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Call):
            yield ast.unparse(node.func), node


def said(call: ast.Call, name: str) -> object:
    found = [each.value for each in call.keywords if each.arg == name]
    return found[0].value if found and isinstance(found[0], ast.Constant) else None


RUNNING: Final = {
    "eval", "exec", "compile", "__import__", "os.system", "os.popen", "pd.read_pickle",
    "pandas.read_pickle", "joblib.load", "shelve.open", "marshal.loads", "dill.loads", "yaml.load",
    "yaml.unsafe_load", "yaml.full_load", "yaml.load_all", "yaml.safe_load",
}  # fmt: skip
"""Calls that have no harmless form; `blocks.yaml_text.load_yaml` bounds what aliases stand for."""
UNPICKLING: Final = {
    f"{module}.{name}"
    for module in ("pickle", "cloudpickle")
    for name in ("load", "loads", "Unpickler")
}
NEEDED: Final = {
    "torch.load": ("weights_only", True),
    "np.load": ("allow_pickle", False),
    "numpy.load": ("allow_pickle", False),
}
"""Calls that have one: the argument that makes them so."""


def faults(tree: ast.AST, may_unpickle: bool = False) -> list[str]:
    """What in a file could run code that is in another file."""
    found = []
    for name, call in calls(tree):
        argument, value = NEEDED.get(name, ("", None))
        unpacks = name.rpartition(".")[2] in ("extractall", "extract")
        if (
            name in RUNNING
            or (name in UNPICKLING and not may_unpickle)
            or (name in NEEDED and said(call, argument) is not value)
            or said(call, "shell") is True
            or (unpacks and all(each.arg != "filter" for each in call.keywords))
        ):
            found.append(ast.unparse(call))
    return found


def test_nothing_that_is_read_runs() -> None:
    found = {}
    for path in MODULES.values():
        own = path.relative_to(ROOT)
        if said_of := faults(parsed(path), own in EXCHANGE):
            found[str(own)] = said_of
    assert found == {}


@pytest.mark.parametrize(
    "source",
    [
        "eval(text)",
        "torch.load(path)",
        "torch.load(path, weights_only=False)",
        "np.load(path)",
        "np.load(path, allow_pickle=True)",
        "pickle.loads(data)",
        "yaml.load(text)",
        "subprocess.run(line, shell=True)",
        "tar.extractall(path)",
    ],
)
def test_the_search_for_faults_finds_them(source: str) -> None:
    assert faults(ast.parse(source))


def test_pickles_are_read_where_workers_exchange_them_alone() -> None:
    unpickling = {
        path.relative_to(ROOT)
        for path in MODULES.values()
        if any(name in ("pickle.loads", "pickle.load") or name.endswith("_Unpickler")
               for name, _ in calls(parsed(path)))
    }  # fmt: skip
    assert unpickling == EXCHANGE
