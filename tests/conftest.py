"""Shared fixtures: real small images, and the real command line."""

import contextlib
import importlib
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable, Generator, Iterator
from datetime import timedelta
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import settings
from sklearn.datasets import load_digits

from blocks.console import console
from blocks.latency.device import torch_threads

# The same examples on every machine. One takes a second at most, as `strategies.MOST_MACS` and
# one thread see to, and longer where others hold the cores; a minute is a fault.
settings.register_profile("suite", deadline=timedelta(minutes=1), derandomize=True)
settings.load_profile("suite")

if "PYTEST_XDIST_WORKER_COUNT" in os.environ:
    # Tests that run at once share the cores. What they start inherits the variable.
    at_once = int(os.environ["PYTEST_XDIST_WORKER_COUNT"])
    threads = max(1, (os.cpu_count() or 1) // at_once)
    torch.set_num_threads(threads)
    os.environ["OMP_NUM_THREADS"] = str(threads)

if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    # Tests that were started in the background: what they start would not hear of Ctrl-C either.
    signal.signal(signal.SIGINT, signal.default_int_handler)

ROOT = Path(__file__).resolve().parent.parent

Cli = Callable[..., subprocess.CompletedProcess[str]]
Refuse = Callable[..., str]


@pytest.hookimpl(wrapper=True)
def pytest_runtest_call(item: pytest.Item) -> Generator[None, object, object]:
    """Property tests run on one thread.

    Small networks are thousands of parallel loops, and at the end of each the threads wait for one
    another: on two cores that others use too, 100 seconds for what one thread does in 7.
    """
    if not getattr(getattr(item, "obj", None), "is_hypothesis_test", False):
        return (yield)
    with torch_threads(1):
        return (yield)


def pytest_runtest_setup(item: pytest.Item) -> None:
    """Skip what is marked `cuda` where there is no such device."""
    if item.get_closest_marker("cuda") is not None and not torch.cuda.is_available():
        pytest.skip("there is no CUDA device")


@pytest.fixture(scope="session", autouse=True)
def cache_home(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """Where decoded images are kept while the tests run.

    The compiled operators, a minute of a compiler's work, are taken from the user's own cache and
    left there; their names say what they were built from.
    """
    path = tmp_path_factory.mktemp("cache")
    own = Path(os.environ.get("XDG_CACHE_HOME") or "~/.cache").expanduser() / "compound-nas"
    here = path / "compound-nas"
    here.mkdir()
    for built in own.glob("operators-*.so"):
        shutil.copy2(built, here)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_CACHE_HOME", str(path))
        yield path
    with contextlib.suppress(OSError):
        own.mkdir(parents=True, exist_ok=True)
        for built in here.glob("operators-*.so"):
            if not (own / built.name).exists():
                partial = own / f".{built.name}.{os.getpid()}"
                shutil.copy2(built, partial)
                partial.replace(own / built.name)


@pytest.fixture(scope="session")
def digits(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """scikit-learn's 1,797 real 8×8 digits as a .npz of train and test."""
    bunch = load_digits()
    images = (bunch.images * 15).astype(np.uint8)
    path = tmp_path_factory.mktemp("digits") / "digits.npz"
    np.savez(
        path,
        x_train=images[:1400],
        y_train=bunch.target[:1400],
        x_test=images[1400:],
        y_test=bunch.target[1400:],
    )
    return path


@pytest.fixture(scope="session")
def digits_settings(digits: Path) -> list[str]:
    """A whole search of the digits in seconds; some candidates are over the budget."""
    return [
        "dataset=npz",
        f"dataset.root={digits}",
        "proxy.resolution=8",
        "proxy.epochs=1",
        "budget.max_macs=100k",
        "search.trials=6",
        "space=tiny",
        "search.finalists=1",
        "search.final_epochs=2",
        "search.references=[]",
        "search.controls=0",
        "search.scale=false",
        "workers.count=2",
        "workers.device=cpu",  # which trains to the last bit as the tests' own process does
    ]


def environment() -> dict[str, str]:
    lent = os.environ.get("PYTHONPATH", "")  # packages that are not installed: .ci/gpu
    path = os.pathsep.join([str(ROOT), *filter(None, [lent])])
    return {**os.environ, "PYTHONPATH": path, "COLUMNS": "200"}


@pytest.fixture
def cli(tmp_path: Path) -> Cli:
    """Run `python -m <module> …` in an empty folder, as a user would."""

    def run(
        *arguments: str, check: int | None = 0, **options: object
    ) -> subprocess.CompletedProcess[str]:
        done: subprocess.CompletedProcess[str] = subprocess.run(  # type: ignore[call-overload]
            [sys.executable, "-m", *arguments],
            cwd=tmp_path,
            capture_output=True,
            text=True,
            check=False,
            **{"timeout": 600, "env": environment(), **options},
        )
        if check is not None:
            assert done.returncode == check, done.stdout + done.stderr
        return done

    return run


@pytest.fixture
def refuse(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Refuse:
    """The line that `python -m <module> …` is refused with, in an empty folder.

    In this process: a new one takes seconds to import PyTorch, and there are a hundred mistakes.
    """

    def run(module: str, *arguments: str) -> str:
        main = importlib.import_module(f"{module}.__main__").main
        monkeypatch.chdir(tmp_path)
        monkeypatch.setattr(sys, "argv", [module, *arguments])
        capsys.readouterr()
        with pytest.raises(SystemExit) as stop:
            main(list(arguments))
        said = capsys.readouterr()
        code = stop.value.code
        assert isinstance(code, int)
        return one_line_error(subprocess.CompletedProcess([module], code, said.out, said.err))

    return run


def one_line_error(done: subprocess.CompletedProcess[str]) -> str:
    """The single line of a refused command; fails on a traceback or another exit code."""
    assert done.returncode == 2, done.stdout + done.stderr
    lines = done.stderr.strip().splitlines()
    assert len(lines) == 1, done.stderr
    assert lines[0].startswith("error: ")
    return lines[0]


@pytest.fixture(scope="session", autouse=True)
def wide_lines() -> Iterator[None]:
    """What is printed in this process is folded where it is in those that tests start."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(console, "columns", int(environment()["COLUMNS"]))
        yield
