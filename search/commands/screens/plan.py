"""What `plan` shows."""

from typing import Final

from rich.table import Table

from blocks.console import console, duration
from search.assess.plan import Plan
from search.assess.power import (
    POWER,
    architectures_for,
    least_difference,
    least_tau,
    null_band,
    standard_error,
)

ACCURACIES: Final = (0.5, 0.9)
TAUS: Final = (0.3, 0.5, 0.7)


def show_plan(found: Plan) -> None:
    """Print hours, memory, and what the numbers will be able to tell."""
    console.print(f"  took {duration(found.timing_seconds)}")
    if found.config.search.scale:
        console.print("this plan leaves out the scaling fit that follows the search")
    console.print(_hours(found))
    if found.part is not None:
        console.print(found.part.describe())
    console.print(
        f"memory: about {found.worker_bytes / 2**30:.2f} GiB a worker, "
        f"{found.whole_bytes / 2**30:.2f} GiB in all (measured on a part of the images, the "
        "others added; what is shared is counted in each)"
    )
    console.print(_resolution(found))


def _hours(found: Plan) -> Table:
    table = Table(
        title="Time for random members of the space (a sampler may settle on cheaper or dearer "
        "ones)",
        title_justify="left",
    )
    table.add_column("step")
    table.add_column("predicted", justify="right")
    for name, seconds in found.steps:
        table.add_row(name, duration(seconds))
    table.add_row("in all", duration(found.seconds), style="bold")
    if found.pieces > 1:
        table.caption = (
            f"with {found.config.pruner} a mean candidate takes {found.epochs:.1f} of "
            f"{found.config.proxy.epochs} epochs"
        )
    return table


def _resolution(found: Plan) -> Table:
    """What this validation split and this number of architectures can tell."""
    quality, architectures = found.config.quality, found.config.fidelity.architectures
    images = f"{found.val_images} images"
    if found.worth < found.val_images:
        of = "a plain share" if found.config.several else "equal classes"
        images += f", worth {found.worth} of {of}"
    table = Table(title="What the numbers can tell", title_justify="left")
    table.add_column("question")
    table.add_column("answer", justify="right")
    article = "an" if quality.words.startswith("a") else "a"
    for accuracy in ACCURACIES:
        table.add_row(
            f"standard error of {article} {quality.words} of {accuracy:.0%} on {images}",
            f"{100 * standard_error(accuracy, found.worth):.2f} points",
        )
        table.add_row(
            "  least difference of two networks that counts (95%, unpaired, one training each)",
            f"{100 * least_difference(accuracy, found.worth):.2f} points",
        )
    if found.judging > found.val_images:
        table.add_row("in the final round: images that judge, over all folds", f"{found.judging}")
        worth = found.worth * found.judging // found.val_images
        for accuracy in ACCURACIES:
            table.add_row(
                f"  least difference at {accuracy:.0%}, likewise",
                f"{100 * least_difference(accuracy, worth):.2f} points",
            )
    table.add_row(
        f"Kendall's tau of no relation at n={architectures} (95%)",
        f"±{null_band(architectures):.2f}",
    )
    table.add_row(
        f"  least tau that n={architectures} separates from 0 with {POWER:.0%} power",
        f"{least_tau(architectures):.2f}",
    )
    for tau in TAUS:
        table.add_row(
            f"  architectures that separate tau={tau} from 0", f"n={architectures_for(tau)}"
        )
    table.caption = "tau: normal approximation with the deviation of no relation, on the safe side"
    return table
