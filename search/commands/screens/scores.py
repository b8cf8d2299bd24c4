"""What `scores` shows."""

from rich.table import Table

from blocks.console import console
from search.assess.scores import Scores
from search.assess.statistics import partial_spearman, rank_correlation
from search.commands.screens.cells import estimate
from search.training.zero_cost import BASELINES, SCORES


def show_scores(found: Scores) -> None:
    """Print how each score ranks the study's architectures."""
    console.print(
        f"{found.study.name}'s {len(found.table)} architectures: ranks by score against val "
        f"{found.quality.words}, with 95% bootstrap intervals; partial: after params and macs"
    )
    console.print(_correlations(found))
    console.print(found.verdict)
    console.print(f"wrote {found.file}")


def _correlations(found: Scores) -> Table:
    table = found.table
    screen = Table()
    for name in ("score", "Spearman rho", "Kendall tau", "partial rho"):
        screen.add_column(name, justify="left" if name == "score" else "right", overflow="fold")
    accuracy = table[found.quality.val]
    for name in (*SCORES, *BASELINES):
        found_rank = rank_correlation(table[name], accuracy)
        partial = partial_spearman(table[name], accuracy, [table[each] for each in BASELINES])
        screen.add_row(
            name,
            estimate(found_rank.rho, found_rank.rho_interval),
            estimate(found_rank.tau, found_rank.tau_interval),
            estimate(partial.value, partial.interval),
        )
    return screen
