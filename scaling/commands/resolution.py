"""`python -m scaling resolution [NETWORK]`."""

from rich.table import Table

from blocks.console import console, millions
from blocks.names import counted
from scaling.resolution.run import ResolutionPlan, Resolutions, resolution
from scaling.resolution.sizes import own_size
from scaling.resolution.verdict import gain_in_points
from scaling.settings import read_settings
from search.commands.progress import TrialProgress
from search.config.arguments import quote
from search.config.quality import ACCURACY
from search.study.objective import Objective


def run(arguments: list[str]) -> None:
    """Show what a network costs and reaches at other resolutions."""
    if arguments and "=" not in arguments[0]:
        arguments = [f"baseline={quote(arguments[0])}", *arguments[1:]]
    found = resolution(read_settings(arguments), _Screen())
    console.print(_table(found))
    _stairs(found)
    for line in found.said:
        console.print(line)
    if found.costs_alone:
        _costs_alone(found)
    else:
        console.print(f"wrote {found.path}, .json, .png")


class _Screen:
    """Says what will be trained, and shows how far it is."""

    def begin(self, plan: ResolutionPlan) -> TrialProgress:
        console.print(
            f"training the network at {counted(plan.sizes, 'size')}, "
            f"{counted(plan.seeds, 'seed')} each: "
            f"{plan.trainings} trainings of {plan.epochs} "
            f"{'epoch' if plan.epochs == 1 else 'epochs'}"
        )
        return TrialProgress("resolution", plan.trainings, objective=Objective.by(plan.quality))


def _table(found: Resolutions) -> Table:
    known = found.quality != ACCURACY and not found.costs_alone
    of = f": {found.quality.words}" if known else ""
    screen = Table(
        title=f"{found.name} at other resolutions than its {found.arch.image} px{of}",
        title_justify="left",
    )
    for heading in (
        "", "pixels", "macs", "macs / own", "macs over area", "last map",
        *(("val", "test (95%)", "test less own's (95%)") if found.scores else ()),
        *(("trained: val", "trained: test") if found.trained else ()),
    ):  # fmt: skip
        screen.add_column(heading, justify="right")
    screen.add_column("note")
    for number, size in enumerate(found.sizes):
        over = found.budget is not None and size.cost.macs > found.budget
        notes = [*size.notes, *(["over the budget"] if over else [])]
        screen.add_row(*_cells(found, number), "; ".join(notes), style="dim" if over else None)
    return screen


def _cells(found: Resolutions, number: int) -> list[str]:
    size = found.sizes[number]
    own = found.sizes[own_size(found.sizes)]
    cells = [
        f"{size.percent:g}%",
        str(size.arch.image),
        millions(size.cost.macs),
        f"{size.cost.macs / own.cost.macs:.2f}×",
        f"{size.stairs:+.0%}",
        f"{size.last_map}×{size.last_map}",
    ]
    if found.scores is not None:
        score = found.scores[number]
        cells += [
            f"{100 * score.val:.2f}",
            f"{100 * score.test:.2f} ({100 * score.low:.2f} to {100 * score.high:.2f})",
            "" if size.percent == 100 else gain_in_points(score),
        ]
    if found.trained is not None:
        trained = found.trained[number]
        cells += [f"{100 * trained.val:.2f}", f"{100 * trained.test:.2f}"]
    return cells


def _stairs(found: Resolutions) -> None:
    """What the notes in the table mean."""
    stride = found.arch.total_stride
    if any(size.last_map == (1, 1) for size in found.sizes):
        console.print("last map 1×1: it is a single pixel, so there is nothing to pool")
    if any(side % stride for size in found.sizes for side in size.arch.image):
        console.print(
            f"off {stride}: the size is no multiple of {stride}, and strides round maps up, so its "
            "last map costs as much as that of the next multiple"
        )


def _costs_alone(found: Resolutions) -> None:
    if found.budget is not None:
        within = [size for size in found.sizes if size.cost.macs <= found.budget]
        said = f"{within[-1].arch.image} px is the largest" if within else "no size is"
        console.print(f"{said} within {millions(found.budget)} macs")
    console.print(
        "costs alone: accuracy needs weights, resolution.weights=FILE, and the images of a study"
    )
    console.print(f"wrote {found.path}")
