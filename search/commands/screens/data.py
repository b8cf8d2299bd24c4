"""What `data` shows."""

import shlex
import textwrap
from collections.abc import Sequence
from typing import Final

from rich.table import Table

from blocks.arch import Size
from blocks.console import console
from blocks.images.walk import reason_counts
from blocks.names import counted
from search.assess.power import least_difference
from search.commands.screens.plan import ACCURACIES
from search.data.classes import UNEQUAL, describe_absent, worth
from search.data.splits import PARTS
from search.look.counts import extremes, labels_an_image, prevalence
from search.look.look import Look
from search.look.sizes import Sizes

EXTREMES: Final = 5
"""Of the largest classes, and of the smallest, that are shown."""
LISTED: Final = 30
"""Files that are named on the screen."""
_WIDTH, _INDENT = 80, 14
_CLASS_WIDTH: Final = 40


def show_look(found: Look, arguments: Sequence[str]) -> None:
    """Print what a look found, and the command to go on with."""
    images = sum(len(getattr(found.data, part)) for part in PARTS)
    what = "labels" if found.data.several else "classes"
    console.print(f"{found.data.name}: {counted(images, 'image')}, {found.data.num_classes} {what}")
    console.print(_counts(found))
    for label, lines in (
        (what, _classes(found)),
        ("sizes", _sizes(found.sizes, found.config.proxy.size)),
        ("files", _files(found)),
        ("duplicates", _duplicates(found)),
        *([("mind", found.data.notes)] if found.data.notes else []),
        ("pixels", _pixels(found)),
        ("validation", _validation(found)),
        ("to beat", _to_beat(found)),
        ("written", [f"{found.folder}: data.png, augment.png, classes.csv, …"]),
    ):
        for number, line in enumerate(lines):
            _say("" if number else label, line)
    console.print()
    for line in _go_on(found, arguments):
        console.print(line, whole=True)


def _say(label: str, text: str) -> None:
    """A line with its label, broken at the width of a page; long paths stay whole."""
    lines = textwrap.wrap(
        text, _WIDTH - _INDENT, break_long_words=False, break_on_hyphens=False
    ) or [""]
    for number, line in enumerate(lines):
        console.print(f"{'' if number else label:<{_INDENT}}{line}")


def _counts(found: Look) -> Table:
    """Images by class and split; of many classes the largest and the smallest."""
    table = Table(box=None, pad_edge=False)
    several = found.data.several
    table.add_column("label" if several else "class", max_width=_CLASS_WIDTH, overflow="ellipsis")
    for column in found.counts.columns:
        table.add_column(column, justify="right")

    def add(name: str, values: Sequence[int]) -> None:
        table.add_row(name, *(f"{value:,}" for value in values))

    largest, smallest = extremes(found.counts, EXTREMES)
    for place in largest:
        add(str(found.counts.index[place]), found.counts.iloc[place].tolist())
    if smallest:
        shown = found.counts.iloc[[*largest, *smallest]].sum()
        rest = len(found.counts) - len(largest) - len(smallest)
        add(f"({rest} more: classes.csv)", (found.counts.sum() - shown).tolist())
        for place in smallest:
            add(str(found.counts.index[place]), found.counts.iloc[place].tolist())
    if several:
        splits = [len(getattr(found.data, part)) for part in PARTS]
        add("images", [*splits, sum(splits)])
    else:
        add("in all", found.counts.sum().tolist())
    return table


def _classes(found: Look) -> list[str]:
    train = found.counts["train"]
    place = int(train.to_numpy().argmin())
    name, least = found.counts.index[place], int(train.iloc[place])
    lines = [
        f"the smallest in train is {name} with {counted(least, 'image')}; the largest has "
        f"{found.imbalance:.3g} times as many"
    ]
    lines += describe_absent(found.data)
    if found.data.several:
        numbers = ", ".join(
            f"{images:,} have {number or 'none'}"
            for number, images in labels_an_image(found.data).items()
        )
        lines.append(f"labels an image: {numbers}")
    return lines


def _sizes(sizes: Sizes | None, seen: Size) -> list[str]:
    if sizes is None:
        return ["no header could be read"]
    modes = ", ".join(f"{count:,} {mode}" for mode, count in sizes.modes.items())
    if sizes.smallest == sizes.largest:
        lines = [f"all {_by(sizes.largest)}; {modes}"]
    else:
        least, median, most = sizes.aspects
        lines = [
            f"{_by(sizes.smallest)} to {_by(sizes.largest)}, median {_by(sizes.median)} (width × "
            f"height, by area); {modes}",
            f"width over height {least:.2f} to {most:.2f}, median {median:.2f}",
        ]
    share = sizes.smaller_than(seen)
    if share <= 0.5:
        lines.append(f"networks see them at proxy.resolution={seen}")
    else:
        lines.append(
            f"warning: {share:.0%} are smaller than proxy.resolution={seen} and are "
            "enlarged, which costs macs and adds nothing"
        )
    return lines


def _by(size: tuple[int, int]) -> str:
    return f"{size[0]}×{size[1]}"


def _files(found: Look) -> list[str]:
    if not found.data.passed:
        return ["all are read"]
    lines = [f"{len(found.data.passed):,} are in no split"]
    if found.refused:
        lines[0] += "; a search stops at the first that cannot be read"
    lines += [f"{count:,}: {reason}" for reason, count in reason_counts(found.data.passed).items()]
    lines += [f"  {each.path}" for each in found.data.passed[:LISTED]]
    if len(found.data.passed) > LISTED:
        lines.append(f"and {len(found.data.passed) - LISTED:,} more: skipped.csv")
    return lines


def _duplicates(found: Look) -> list[str]:
    duplicates = found.duplicates
    lines = []
    for part, others in (("val", "train"), ("test", "train or val")):
        equal, near = (duplicates.count(kind, part) for kind in ("equal", "near"))
        images = len(getattr(found.data, part))
        lines.append(f"{part}: {equal:,} of {images:,} are also in {others}, {near:,} nearly so")
    if duplicates.looked_at < 1:
        lines.append(f"near ones looked for among {duplicates.looked_at:.0%} of val and test")
    if duplicates.twins:
        lines.append(
            "accuracy on them is memory: take them out of val and test, keep what belongs together "
            "(a series, a person) in one split by dataset.group, or these by "
            "dataset.near_duplicates=group; duplicates.csv names them"
        )
    if duplicates.conflicts:
        other = "with other labels" if found.data.several else "in another class"
        lines.append(
            f"warning: {counted(duplicates.conflicts, 'image has', 'images have')} an equal one "
            f"{other}; a label is wrong"
        )
    return lines


def _pixels(found: Look) -> list[str]:
    mean, std = (" ".join(f"{value:.3f}" for value in each) for each in (found.mean, found.std))
    return [f"by channel in 0…1: mean {mean}; deviation {std}"]


def _validation(found: Look) -> list[str]:
    if found.data.several:
        images = worth(found.config.quality, found.data.val)
        points = 100 * least_difference(ACCURACIES[0], images)
        return [
            f"{len(found.data.val):,} images, with these labels worth about {images:,} of a plain "
            f"share, tell two networks apart that differ by {points:.1f} points of mAP at "
            f"{ACCURACIES[0]:.0%} (95%, unpaired, one training each)"
        ]
    lines = []
    for images in sorted({len(found.data.val), found.data.judging}):
        least = [
            f"{100 * least_difference(accuracy, images):.1f} points at {accuracy:.0%}"
            for accuracy in ACCURACIES
        ]
        said = f"{images:,} images tell two networks apart that differ by {' or '.join(least)}"
        lines.append(f"{said} (95%, unpaired, one training each)")
    if len(lines) > 1:
        lines[1] = f"in the final round, over all folds: {lines[1]}"
    return lines


def _to_beat(found: Look) -> list[str]:
    several = found.data.several
    if several:
        shares = prevalence(found.data)
        lines = [f"answers at random: mAP {shares['val']:.3f} on val, {shares['test']:.3f} on test"]
    else:
        name, shares = found.largest_class
        lines = [
            f"always answering {name}: {shares['val']:.3f} of val, {shares['test']:.3f} of test "
            "are right"
        ]
    for probe in found.probes:
        line = f"linear probe on {probe.on}: "
        if several:
            line += f"mAP {probe.val_accuracy:.3f} on val, {probe.test_accuracy:.3f} on test"
        else:
            line += f"{probe.val_accuracy:.3f} of val, {probe.test_accuracy:.3f} of test"
        if found.imbalance > UNEQUAL and not several:
            line += f" (mean of classes {probe.balanced:.3f})"
        if probe.images < len(found.data.train):
            line += f"; fitted on {counted(probe.images, 'image')}"
        lines.append(line)
    return lines


def _go_on(found: Look, arguments: Sequence[str]) -> list[str]:
    """The command that searches on these images, with what they ask for."""
    given = {argument.lstrip("+").partition("=")[0] for argument in arguments}
    asked = {name: value for name, value in found.suggestions.items() if name not in given}
    if found.refused:  # given as it is
        asked["dataset.on_corrupt"] = "skip"
        arguments = [each for each in arguments if not each.startswith("dataset.on_corrupt=")]
    words = [*arguments, *(f"{name}={value}" for name, value in asked.items())]
    return ["go on with", "  " + shlex.join(["python", "-m", "search", "run", *words])]
