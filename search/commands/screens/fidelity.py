"""What `fidelity` shows."""

from collections.abc import Mapping

from rich.table import Table

from blocks.console import console
from search.assess.fidelity import Fidelity
from search.assess.statistics import Correlation
from search.assess.trust import Trust
from search.commands.screens.cells import estimate
from search.config.quality import ACCURACY


def show_fidelity(found: Fidelity) -> None:
    """Print how far the proxy, and the supernet where it was asked about, can be trusted."""
    config, trust, number = found.config, found.trust, len(found.table)
    screen = Table(
        title=f"{config.proxy.epochs} epochs against {config.long_epochs}, {number} architectures, "
        "95% bootstrap intervals",
        title_justify="left",
    )
    for name in ("what ranks", "Kendall tau", "Spearman rho"):
        screen.add_column(name, justify="left" if name == "what ranks" else "right")
    rows = {"the proxy": trust.correlation, **trust.baselines}
    _print_orders(screen, rows, "  after params and macs", trust)
    of = "" if config.quality == ACCURACY else f" of {config.quality.words}"
    console.print(
        f"of the best {trust.top_k} the proxy finds {trust.top_recall:.0%}; its first is "
        f"{100 * trust.regret:.2f} points{of} below the best; share of the spread that is not "
        f"noise: {trust.reliability[0]:.0%} of the proxy's, {trust.reliability[1]:.0%} of the long "
        "schedule's"
    )
    console.print(trust.verdict)
    if found.supernet is not None:
        _show_supernet(found, found.supernet)
    first, *others = found.files
    console.print(f"wrote {first}, {', '.join(path.name for path in others)}")


def _print_orders(
    screen: Table, rows: Mapping[str, Correlation], partial: str, trust: Trust
) -> None:
    """The correlations, what is left of the first after params and macs, and the ceiling."""
    for name, found in rows.items():
        screen.add_row(
            name, estimate(found.tau, found.tau_interval), estimate(found.rho, found.rho_interval)
        )
    left = trust.partial
    screen.add_row(partial, "", estimate(left.value, left.interval))
    screen.add_row(
        "  at best, for the noise of seeds", f"{trust.ceiling_tau:.2f}", f"{trust.ceiling_rho:.2f}"
    )
    console.print(screen)


def _show_supernet(found: Fidelity, trust: Trust) -> None:
    screen = Table(
        title="The supernet's order against stand-alone training, "
        f"{len(found.table)} architectures",
        title_justify="left",
    )
    for name in ("what ranks, against what", "Kendall tau", "Spearman rho"):
        screen.add_column(name, justify="left" if name.startswith("what") else "right")
    words = found.config.quality.words
    rows = {
        f"its {words}, the long schedule": trust.correlation,
        f"its {words}, the proxy": found.supernet_with_proxy,
        "its loss, the long schedule": found.supernet_by_loss,
        **{f"{name}, the long schedule": found for name, found in trust.baselines.items()},
    }
    _print_orders(screen, rows, f"its {words} after params and macs", trust)
    console.print(f"the supernet: {trust.verdict}")
