"""`python -m scaling fit`."""

from typing import Final

from rich.table import Table

from blocks.console import console, duration, millions
from blocks.console import network as spelled
from blocks.names import counted
from scaling.compound import PAPER
from scaling.differences import in_points
from scaling.fitting.further import Further
from scaling.fitting.grid import GridFit, GridPlan
from scaling.fitting.lattice import AXES
from scaling.fitting.plan import SurfacePlan
from scaling.fitting.record import RUNS
from scaling.fitting.result import NAMES, SAYS, Fit
from scaling.fitting.run import fit
from scaling.fitting.surface_fit import SurfaceFit
from scaling.rules import RIVALS
from scaling.settings import read_settings
from search.commands.progress import TrialProgress
from search.commands.screens.search import time_table
from search.study.objective import Objective

_NAMED: Final = 8
"""Networks, above which their number is said and not the names of their trainings."""


def run(arguments: list[str]) -> None:
    """Fit the coefficients of a study, and say what was found."""
    found = fit(read_settings(arguments), _Screen())
    if isinstance(found, GridFit):
        _grid(found)
    _coefficients(found)
    if isinstance(found, SurfaceFit):
        _surface(found)
    _rivals(found)
    if isinstance(found, GridFit):
        console.print(
            "  the best point was chosen by the accuracies that it is compared by, and points "
            "differ in cost, so P(better) is too high; method=surface avoids both"
        )
    else:
        _schedules(found)
    console.print(found.verdict)
    console.print(time_table("Where the time went (scaling fit)", dict(found.seconds)))


class _Screen:
    """Says what will be trained, and shows how far it is."""

    def begin(self, plan: SurfacePlan | GridPlan) -> TrialProgress:
        if isinstance(plan, GridPlan):
            console.print(
                f"scaling grid: {plan.coefficients} coefficients make {plan.trainings} different "
                f"networks of {plan.study}'s B0, each trained for {plan.epochs} epochs"
            )
            return TrialProgress("grid", plan.trainings, objective=Objective.by(plan.quality))
        _announce(plan)
        return TrialProgress("surface", plan.trainings, objective=Objective.by(plan.quality))


def _announce(plan: SurfacePlan) -> None:
    if plan.cut:
        console.print(
            f"fit.minutes leaves {plan.networks} networks of {plan.asked}: the verdict is that of "
            f"{plan.networks}"
        )
    elif plan.asked is not None:
        console.print(f"scaling makes only {plan.networks} different networks of this B0")
    low, high = plan.ratios
    console.print(
        f"response surface: {plan.networks} networks of {low:.2f} to {high:.2f} times the macs of "
        f"{plan.study}'s B0, {plan.repeated} of them with {counted(plan.seeds, 'seed')}: "
        f"{plan.trainings} "
        "trainings"
    )
    if plan.seconds is None:
        console.print("  how long they take is not known: the study has trained nothing by itself")
    else:
        console.print(
            f"  about {duration(plan.seconds)} in {plan.workers} processes, by the time that the "
            f"search's trainings took, and less where {RUNS} has some of them already"
        )
    if plan.enlarged is not None:
        console.print(
            f"  the images have {plan.own} px: resolutions above (up to {plan.enlarged}) are the "
            "same images enlarged"
        )


def _grid(found: GridFit) -> None:
    if found.failed:
        console.print(
            f"{counted(found.failed, 'network failed and is', 'networks failed and are')} left out"
        )
    console.print(
        f"  val {found.quality.words} {found.reached:.4f} at macs {millions(found.macs)}: "
        f"{found.macs_ratio:.2f}× B0's, nominally {found.coefficients.nominal_cost:.2f}× (channels "
        "and repeats round)"
    )
    equal = " of equal classes" if found.quality.balanced else ""
    console.print(
        f"  {found.tied} of {found.networks} networks are within the sampling error of "
        f"{found.val_images} validation images{equal} of the best (95%, one seed each)"
    )


def _coefficients(found: Fit) -> None:
    said = []
    for letter, name, what in zip("αβγ", NAMES, AXES, strict=True):
        low, high = found.intervals[name]
        value = getattr(found.coefficients, name)
        said.append(f"{letter}={value:.4g} ({low:.2f} to {high:.2f}) {what}")
    console.print(
        f"fitted {', '.join(said)}; the paper's are {PAPER.alpha:g}, {PAPER.beta:g}, "
        f"{PAPER.gamma:g}"
    )


def _surface(found: SurfaceFit) -> None:
    known = found.posterior
    equal = " of equal classes" if found.quality.balanced else ""
    console.print(
        f"  of {found.networks} networks, each is predicted by the others to "
        f"{100 * known.leave_one_out:.2f} points (rms); one network's seeds differ by "
        f"{100 * known.noise:.2f} ({counted(found.repeated, 'network')} repeated, "
        f"{found.observations.images} images{equal})"
    )
    if known.noise > found.span:
        console.print(
            f"  that is more than the networks are apart ({100 * found.span:.2f} points): no way "
            "to scale can be told from another; more validation images or longer trainings "
            "(fit.epochs) would help"
        )
    _further(found.further)
    if found.stuck:
        console.print(
            f"  the {found.stuck[0]} of this B0 cannot grow within "
            f"fit.cost={found.settings.cost:g}: its coefficient stays 1, and the two others are "
            "compared"
        )
    network = found.network
    of = "the only" if network.networks == 1 else f"of {network.networks} the best"
    console.print(
        f"  {of} real network of {network.cost_ratio:.2f} × {found.settings.metric} "
        f"(macs {millions(network.macs)}) has depth × {network.depth:.2f}, width × "
        f"{network.width:.2f}, resolution × {network.resolution:.2f}"
        f"{spelled(f': {network.arch}', '; it is in scaling/fit.json')}",
        markup=False,
    )


def _further(further: Further) -> None:
    """What was taken in that the fit did not train, and what was not."""
    for number, (_, how) in enumerate(further.schedules, 1):
        own = [point for point in further.points if point.schedule == number]
        names = [name for point in own for name in point.names]
        these = ", ".join(names) if len(own) <= _NAMED else counted(len(own), "network")
        console.print(
            f"  taken in as trained by {how}: {these}; the largest costs "
            f"{max(point.ratio for point in own):.2f} times B0's macs"
        )
    if further.left_out:
        said = "; ".join(further.left_out[:_NAMED])
        more = len(further.left_out) - _NAMED
        console.print(f"  not taken in: {said}{f'; and {more} more' if more > 0 else ''}")


def _rivals(found: Fit) -> None:
    table = Table(title="The fitted triple against others, 95% intervals", title_justify="left")
    for name in ("against", f"points of {found.quality.words}", "P(better)"):
        table.add_column(name, justify="left" if name == "against" else "right")
    for name, each in found.versus.items():
        table.add_row(
            SAYS[name], in_points(each.difference, *each.interval), f"{each.probability:.2f}"
        )
    console.print(table)
    lost = [SAYS[name] for name in RIVALS if name not in found.versus]
    if lost:
        console.print(
            f"  not compared, as they reach this cost nowhere in the design: {', '.join(lost)}"
        )
    ways = "points of the grid" if isinstance(found, GridFit) else "ways to spend that cost"
    console.print(f"  {found.alike:.0%} of all {ways} are not told from the best")


def _schedules(found: Fit) -> None:
    if not isinstance(found, SurfaceFit) or len(found.optima) == 1:
        return
    for level in found.optima:
        epochs, fraction = found.schedules.at(level)
        triple, intervals = found.at(level)
        console.print(
            f"  at {counted(epochs, 'epoch')} and {fraction:g} of the images: "
            + ", ".join(
                f"{letter}={value:.2f} ({intervals[name][0]:.2f} to {intervals[name][1]:.2f})"
                for letter, name, value in zip("αβγ", NAMES, triple, strict=True)
            )
        )
