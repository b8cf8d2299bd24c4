"""From which resolutions a member's is chosen: B0's, the best of all, the best of the lowest.

The members are B0 by the published table's widths and depths (EfficientNet's B0 to B3), its
resolutions left open. Each is trained at every resolution with every seed. `fixed` takes B0's own
resolution for all members, as scaling by width and depth alone would. `optimal` takes for each
member the one with the best mean on the validation images: a search over all resolutions. `lowest`
is the same search among the lowest two fifths of them, which is cheaper to train and to use. What
was chosen on validation images is judged on the test images.
"""

import math
from dataclasses import dataclass, replace
from typing import Final

import numpy as np
import pandas as pd

from blocks.arch import format_arch
from blocks.console import millions
from blocks.errors import ArchError
from blocks.names import counted
from scaling.compound import ScalingError
from scaling.differences import Difference, difference, mean_difference, pooled_noise
from scaling.experiments.bench import Bench
from scaling.experiments.config import Variant
from scaling.experiments.table import (
    ALONE,
    NO_LEAD,
    Finding,
    Lead,
    lead_of,
    reached,
    seconds_an_epoch,
    write_table,
)
from scaling.training.result import Trained

FIXED, OPTIMAL, LOWEST = WAYS = ("fixed", "optimal", "lowest")


@dataclass(frozen=True)
class Cell:
    """A member at a resolution, and its trainings."""

    member: str
    pixels: int
    trained: tuple[Trained, ...]

    @property
    def values(self) -> list[float]:
        """Of the test images, by seed."""
        return [reached(each) for each in self.trained]

    @property
    def val(self) -> float:
        """Mean on the validation images, by which resolutions are chosen."""
        how = [each.content["metrics"]["val"][each.measure] for each in self.trained]
        return float(np.mean(how))

    @property
    def macs(self) -> int:
        """Of an image."""
        return int(self.trained[0].content["cost"]["macs"])


def run_resolution_sampling(bench: Bench) -> Finding:
    """Train all members at all resolutions, and compare the ways of choosing.

    Raises:
        ScalingError, StudyError, ConfigError, DataError, TrainingError: as `scaling train`.
        ArchError: a resolution that is too small for the network's strides.
    """
    sides = resolutions(bench)
    cells = {
        (variant.name, pixels): _cell(bench, variant, pixels)
        for variant in bench.experiment.variants
        for pixels in sides
    }
    few = sides[: max(1, math.floor(bench.options.lowest * len(sides) + 1e-9))]
    chosen = {
        (variant.name, way): _choose(cells, variant.name, some)
        for variant in bench.experiment.variants
        for way, some in zip(WAYS, ([bench.arch.image.height], sides, few), strict=True)
    }
    return _finding(bench, cells, chosen, few)


def resolutions(bench: Bench) -> list[int]:
    """Pixels, from small to large; B0's own is always one of them.

    Raises:
        ScalingError: one is too small for the network.
    """
    own = bench.arch.image.height
    sides = {max(1, round(own * percent / 100)): percent for percent in bench.options.percents}
    for side, percent in sides.items():
        try:
            bench.arch.resized(side)
        except ArchError as error:
            raise ScalingError(f"percents={percent:g}: {error}") from None
    return sorted({own, *sides})


def _cell(bench: Bench, variant: Variant, pixels: int) -> Cell:
    arch = bench.made(variant.make).resized(pixels)
    label = f"{variant.name}-{pixels}"
    trained = tuple(bench.train(variant, label, seed, arch) for seed in bench.seeds)
    return Cell(variant.name, pixels, trained)


def _choose(cells: dict[tuple[str, int], Cell], member: str, sides: list[int]) -> Cell:
    """The best on the validation images; of equals the smallest."""
    return max((cells[member, pixels] for pixels in sides), key=lambda cell: cell.val)


def _finding(
    bench: Bench,
    cells: dict[tuple[str, int], Cell],
    chosen: dict[tuple[str, str], Cell],
    few: list[int],
) -> Finding:
    members = [variant.name for variant in bench.experiment.variants]
    noise = None
    if bench.options.seeds > 1:
        noise = pooled_noise([cell.values for cell in cells.values()])

    def against(member: str, way: str) -> Difference | Lead:
        ours, theirs = chosen[member, way].values, chosen[member, FIXED].values
        if noise is None:
            return Lead(float(np.mean(ours) - np.mean(theirs)))
        if chosen[member, way] is chosen[member, FIXED]:
            ours = theirs
            return replace(difference(ours, theirs, noise), **_NOTHING)
        return difference(ours, theirs, noise)

    rows, shown, said = [], [], []
    for member in members:
        for way in WAYS:
            cell = chosen[member, way]
            lead = None if way == FIXED else _as_lead(against(member, way))
            same = lead is not None and cell is chosen[member, FIXED]
            rows.append(_row(member, way, cell, lead))
            shown.append(
                (
                    member if way == FIXED else "",
                    way,
                    f"{cell.pixels}",
                    millions(cell.macs),
                    f"{100 * cell.val:.2f}",
                    f"{100 * float(np.mean(cell.values)):.2f}",
                    "the same" if same else "" if lead is None else str(lead),
                )
            )
    for way in (OPTIMAL, LOWEST):
        parts = [against(member, way) for member in members]
        differences = [part for part in parts if isinstance(part, Difference)]
        mean = Lead(float(np.mean([part.value for part in parts])))
        if differences:
            mean = lead_of(mean_difference(differences))
        macs = np.exp(
            np.mean(
                [math.log(chosen[each, way].macs / chosen[each, FIXED].macs) for each in members]
            )
        )
        said.append(
            f"{way} less fixed, mean of {len(members)} members: {mean} points, {macs:.2f} times "
            "the macs"
        )
    if noise is None:
        said.append(ALONE)
    said.append(
        f"optimal is chosen of {len({pixels for _, pixels in cells})} resolutions on the "
        f"validation images, lowest of {', '.join(map(str, few))} pixels"
    )
    any_trained = next(iter(cells.values())).trained[0]
    images = any_trained.content["dataset"]["test"]
    grid = pd.DataFrame([_row(cell.member, "", cell, None) for cell in cells.values()])
    return Finding(
        f"{bench.experiment.name}: {counted(images, 'test image')}, "
        f"{counted(bench.options.seeds, 'seed')}; "
        "differences in points with 95%",
        ("", "resolution", "pixels", "macs", "val", "test", "less fixed's"),
        tuple(shown),
        tuple(said),
        (
            write_table(bench.path(), pd.DataFrame(rows)),
            write_table(bench.path("-grid.csv"), grid.drop(columns=["way", *NO_LEAD])),
        ),
    )


_NOTHING: Final = {"value": 0.0, "low": 0.0, "high": 0.0, "error": 0.0}
"""The difference of a network from itself."""


def _as_lead(found: Difference | Lead) -> Lead:
    return lead_of(found) if isinstance(found, Difference) else found


def _row(member: str, way: str, cell: Cell, lead: Lead | None) -> dict[str, object]:
    arch = cell.trained[0].content["arch"]
    return {
        "variant": member,
        "way": way,
        "pixels": cell.pixels,
        "macs": cell.macs,
        "params": cell.trained[0].content["cost"]["params"],
        "val": round(cell.val, 5),
        "mean": round(float(np.mean(cell.values)), 5),
        **{f"seed_{place}": round(value, 5) for place, value in enumerate(cell.values)},
        **(NO_LEAD if lead is None else lead.columns()),
        "seconds_an_epoch": round(seconds_an_epoch(cell.trained), 3),
        "arch": arch if isinstance(arch, str) else format_arch(arch),
    }
