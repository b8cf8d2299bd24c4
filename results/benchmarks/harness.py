"""What the benchmarks share: arguments, checks, intervals. No benchmark itself."""

import argparse
import resource
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from importlib import resources
from pathlib import Path

import numpy as np
from numpy.typing import ArrayLike
from PIL import Image
from scipy.stats import t

from blocks.machine import machine, versions


def make_parser(doc: str | None, seed: int | None = None) -> argparse.ArgumentParser:
    """A parser that says the first line of `doc`, with `--quick`, and `--seed` where there is
    one."""
    parser = argparse.ArgumentParser(description=(doc or "").splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="the smallest sizes, in seconds")
    if seed is not None:
        parser.add_argument("--seed", type=int, default=seed)
    return parser


def parse(
    parser: argparse.ArgumentParser, given: list[str] | None = None, **quick: object
) -> argparse.Namespace:
    """The arguments; with `--quick` the defaults are those of `quick`."""
    if parser.parse_args(given).quick:
        parser.set_defaults(**quick)
    return parser.parse_args(given)


def print_foot(arguments: argparse.Namespace, *packages: str) -> None:
    """The line under a result: how it was asked for, the machine, the versions."""
    asked = ", ".join(f"{name}={value}" for name, value in sorted(vars(arguments).items()))
    print(f"{asked}; {machine()}, {versions(*packages)}")


def check(holds: bool, message: str) -> None:
    """End the script with `message`, and a code that is not 0, unless it holds."""
    if not holds:
        sys.exit(f"error: {message}")


def check_finite(name: str, values: ArrayLike, low: float = -np.inf, high: float = np.inf) -> None:
    """End the script unless all of `values` are numbers from `low` to `high`."""
    found = np.asarray(values, dtype=np.float64)
    wrong = found[~(np.isfinite(found) & (found >= low) & (found <= high))]
    check(found.size > 0, f"{name}: no values")
    check(not wrong.size, f"{name}: {wrong[:5]}, expected {low:g} to {high:g}")


def spread(values: ArrayLike, digits: int = 2, low: float = 5, high: float = 95) -> str:
    """`median (low–high)`, by percentiles."""
    least, middle, most = np.percentile(np.asarray(values, dtype=np.float64), [low, 50, high])
    return f"{middle:.{digits}f} ({least:.{digits}f}–{most:.{digits}f})"


def mean_interval(values: ArrayLike) -> tuple[float, float]:
    """The 95% interval of a mean, by Student's t; of a single value it is not known (NaN)."""
    found = np.asarray(values, dtype=np.float64)
    if len(found) < 2:
        return np.nan, np.nan
    half = t.ppf(0.975, len(found) - 1) * found.std(ddof=1) / len(found) ** 0.5
    return float(found.mean() - half), float(found.mean() + half)


def deviations(values: ArrayLike) -> tuple[float, float]:
    """Of (members, seeds): the deviation of the members, without what the seeds add to it where
    each has two or more, and that of the seeds (NaN of a single one)."""
    found = np.asarray(values, dtype=np.float64)
    between = float(found.mean(1).var(ddof=1))
    seeds = found.shape[1]
    if seeds < 2:
        return between**0.5, np.nan
    noise = float(found.var(1, ddof=1).mean())
    return max(0.0, between - noise / seeds) ** 0.5, noise**0.5


def cpu_seconds() -> float:
    """Of all processes that were started here and have ended."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def photographs() -> list[Image.Image]:
    """The 20 photographs that foolbox ships, RGB."""
    folder = resources.files("foolbox") / "data"
    names = sorted(each.name for each in folder.iterdir() if each.name.startswith("imagenet"))
    return [Image.open(str(folder / name)).convert("RGB") for name in names]


@contextmanager
def results_folder(given: Path | str, quick: bool) -> Iterator[Path]:
    """`given`, made; with `quick` a temporary folder, so that nothing is kept."""
    if quick:
        with tempfile.TemporaryDirectory() as folder:
            yield Path(folder)
    else:
        Path(given).mkdir(parents=True, exist_ok=True)
        yield Path(given)
