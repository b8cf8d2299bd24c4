"""How much of what a space holds a search finds, by epochs trained: replayed on the banks.

    python results/benchmarks/search_efficiency.py

A bank's members were all trained by every schedule (`results/banks`). A replay draws members at
random, looks at the validation numbers that a strategy would have looked at, and chooses one.
Efficiency is (truth of the chosen − mean truth) / (best truth − mean truth), truth being the test
accuracy after long trainings of other seeds. Of the best, the part of its lead that is luck is
taken away: its lead is multiplied by the reliability of the truth, the share of its variance that
is the networks' (unknown, and taken as 1, where no member has two long trainings).

The final round chooses by the validation loss of a member's first long training, and is judged by
the others' test accuracy; where there is no other yet, by that training's own.

Intervals are of the members: replays are repeated on resampled banks. Epochs are counted in those
of the bank's proxy; `halving` compares all candidates at once.
"""

import argparse
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

import numpy as np
from harness import check, check_finite, make_parser, parse, print_foot
from numpy.typing import NDArray

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "banks"))

from banks import BANKS, FOLDS, shipped
from table import Curves, Table, read_lines, table_of

HALF: Final = (1 / 2) / (1 - 1 / FOLDS)
"""Of the images that all but one fold are, those of a half."""
LEAST: Final = 20
"""Members below which nothing is replayed."""

Array = NDArray[np.float64]
Rows = NDArray[np.intp]


@dataclass(frozen=True)
class Replay:
    """A bank, its rows in the order in which they are drawn, a bound on epochs, and which half
    validates where halves do."""

    table: Table
    rows: Rows
    epochs: float
    half: int = 0

    @property
    def proxy(self) -> int:
        """Epochs of the bank's proxy."""
        return int(self.table.schedules["full"].epochs[-1])

    def take(self, each: float) -> Rows:
        """As many members as may cost so many epochs each."""
        return self.rows[: max(1, int(self.epochs / each))]

    def curves(self, schedule: str) -> Curves:
        """The curves of a schedule."""
        return self.table.schedules[schedule]


Strategy = Callable[[Replay], int]
Ranking = Callable[[Replay], Rows]


def best(rows: Rows, values: Array) -> int:
    """The row of the greatest value."""
    return int(rows[np.argmax(values)])


def whole(schedule: str, metric: str) -> Strategy:
    """Train all to the end, take the best."""

    def choose(replay: Replay) -> int:
        curves = replay.curves(schedule)
        rows = replay.take(curves.epochs[-1])
        values = -curves.loss if metric == "loss" else curves.accuracy
        return best(rows, values[rows, 0, -1])

    return choose


def first_of(ranked: Ranking) -> Strategy:
    """The best of them."""
    return lambda replay: int(ranked(replay)[0])


def halved(
    schedule: str, first: Callable[[Replay], float], factor: int = 3, on_half: bool = False
) -> Ranking:
    """Train all to the first rung; of each rung the best third goes on to the next, by loss. Those
    that are trained to the end, the best first. `on_half`: by a training on one half."""

    def rank(replay: Replay) -> Rows:
        curves = replay.curves(schedule)
        seed, share = (replay.half, HALF) if on_half else (0, 1.0)
        last = int(curves.epochs[-1])
        rungs = [first(replay)]
        while rungs[-1] * factor < last:
            rungs.append(rungs[-1] * factor)
        rungs.append(last)
        pieces = np.diff([0.0, *rungs])
        rows = replay.take(float((share * pieces / factor ** np.arange(len(rungs))).sum()))
        for rung in rungs:
            look = int(np.searchsorted(curves.epochs, rung))
            order = np.argsort(curves.loss[rows, seed, look], kind="stable")
            rows = rows[order]
            if rung < last:
                rows = rows[: max(1, round(len(rows) / factor))]
        return rows

    return rank


def third(replay: Replay) -> float:
    """Epochs of the first rung, of trainings three times as long as the proxy."""
    return replay.proxy


LONGER: Final = halved("mid", third)
ON_HALF: Final = halved("half60", third, on_half=True)


def final_round(
    finalists: int,
    part: int,
    cost: Callable[[Replay], float],
    losses: Callable[[Replay, Rows], Array],
    ranked: Ranking = LONGER,
) -> Strategy:
    """Halving, by default of the longer trainings from their third, then a closer look at the best,
    of so many epochs each: one `part`th of all epochs at most is for these."""

    def choose(replay: Replay) -> int:
        each = cost(replay)
        number = max(1, min(finalists, int(replay.epochs / part / each)))
        left = replay.epochs - (number * each if number > 1 else 0)
        rows = ranked(replace(replay, epochs=left))[:number]
        return best(rows, -losses(replay, rows))

    return choose


def long_cost(replay: Replay) -> float:
    """Epochs of one long training."""
    return float(replay.curves("long").epochs[-1])


def long_losses(replay: Replay, rows: Rows) -> Array:
    """(rows,): after the first long training."""
    return np.asarray(replay.curves("long").loss[rows, 0, -1])


def both_losses(replay: Replay, rows: Rows) -> Array:
    """(rows,): after the first long training and after the one before it, as products."""
    return np.asarray(long_losses(replay, rows) * replay.curves("mid").loss[rows, 0, -1])


def folds_cost(replay: Replay) -> float:
    """Epochs of a longer training for each fold."""
    return float(replay.curves("mid").epochs[-1]) * FOLDS


def folds_losses(replay: Replay, rows: Rows) -> Array:
    """(rows,): the mean of the longer trainings', of which each held out another fold."""
    first, others = (replay.curves(schedule).loss for schedule in ("mid", "folds"))
    return np.asarray(np.hstack([first[rows, :1, -1], others[rows, :, -1]]).mean(1))


def halves_cost(replay: Replay) -> float:
    """Epochs of a training on each half, of as many steps as one on four fifths."""
    return float(replay.curves("half120").epochs[-1]) * 2 * HALF


def halves_losses(replay: Replay, rows: Rows) -> Array:
    """(rows,): the mean of the trainings on both halves."""
    return np.asarray(replay.curves("half120").loss[rows, :, -1].mean(1))


def all_on_folds(replay: Replay) -> int:
    """Longer trainings of all, one for each fold."""
    rows = replay.take(folds_cost(replay))
    return best(rows, -folds_losses(replay, rows))


def two_stages(finalists: int) -> Strategy:
    """The proxy of all, then a training three times as long of the best few, from the start."""

    def choose(replay: Replay) -> int:
        short, long = replay.curves("full"), replay.curves("mid")
        left = replay.epochs - finalists * long.epochs[-1]
        rows = replay.rows[: max(finalists, int(left / short.epochs[-1]))]
        rows = rows[np.argsort(short.loss[rows, 0, -1], kind="stable")[:finalists]]
        return best(rows, -long.loss[rows, 0, -1])

    return choose


STRATEGIES: Final[Mapping[str, Strategy]] = {
    "one at random": lambda replay: int(replay.rows[0]),
    "proxies, growing images, accuracy": whole("grown", "accuracy"),
    "proxies, growing images, loss": whole("grown", "loss"),
    "proxies, full size, accuracy": whole("full", "accuracy"),
    "proxies, full size, loss": whole("full", "loss"),
    "halving from the first epoch, growing": first_of(halved("grown", lambda _: 1.0)),
    "proxies, then the best 4 for longer": two_stages(4),
    "trainings three times as long": whole("mid", "loss"),
    "halving of these from their third": first_of(LONGER),
    "the same, then the best for long": final_round(4, 3, long_cost, long_losses),
}
"""In the order in which they are shown; the last is how a search works by default."""
WITH_FOLDS: Final[Mapping[str, Strategy]] = {
    "the same, then the best on five folds": final_round(4, 2, folds_cost, folds_losses),
    "all on five folds": all_on_folds,
}
"""Of banks whose members were trained on folds."""
WITH_HALVES: Final[Mapping[str, Strategy]] = {
    "halving on one half": first_of(ON_HALF),
    "that, then the best on both halves": final_round(4, 2, halves_cost, halves_losses, ON_HALF),
}
"""Of banks whose members were trained on halves."""
TRIED: Final[Mapping[str, Strategy]] = {
    "the same, by both of their losses": final_round(4, 3, long_cost, both_losses),
}
"""Final rounds that are not the default."""
SEEN: Final = ("the same, then the best for long", *TRIED)
"""Those that look at the first long training, whose test accuracy is then no judge where there is
another."""


def strategies(table: Table) -> dict[str, Strategy]:
    """Those that can be replayed."""
    found = {**STRATEGIES, **TRIED}
    for schedule, more in (("folds", WITH_FOLDS), ("half60", WITH_HALVES)):
        found |= more if schedule in table.schedules else {}
    return found


def efficiencies(
    table: Table, proxies: float, resamples: int, replays: int, seed: int
) -> dict[str, Array]:
    """(resamples,) of each strategy, with epochs as many as so many proxies cost."""
    generator = np.random.default_rng(seed)
    members = len(table.archs)
    reliability = table.reliability if np.isfinite(table.truth_noise) else 1.0
    epochs = proxies * int(table.schedules["full"].epochs[-1])
    unseen = table.truth_without(0)
    known = strategies(table)
    found: dict[str, list[float]] = {name: [] for name in known}
    for resample in range(resamples):
        own = np.arange(members) if not resample else generator.integers(members, size=members)
        truth = table.truth[own]
        span = reliability * (truth.max() - truth.mean())
        chosen: dict[str, list[float]] = {name: [] for name in known}
        for number in range(replays):
            # A member that was resampled twice is drawn once.
            rows = np.array(list(dict.fromkeys(own[generator.permutation(members)].tolist())))
            replay = Replay(table, rows, epochs, number % 2)
            for name, strategy in known.items():
                judged = unseen if name in SEEN else table.truth
                chosen[name].append(float(judged[strategy(replay)]))
        for name, values in chosen.items():
            found[name].append(float((np.mean(values) - truth.mean()) / span))
    return {name: np.array(values) for name, values in found.items()}


def complete(table: Table) -> Table:
    """The members that have a first training by every schedule, and one on every fold."""
    needed = [
        table.schedules[each.name].loss[:, : None if each.folds else 1, -1]
        for each in table.bank.schedules
        if each.name in table.schedules
    ]
    whole = np.all(np.isfinite(np.hstack(needed)), axis=1)
    lines = read_lines(shipped(table.bank.name))
    kept = {arch for arch, here in zip(table.archs, whole, strict=True) if here}
    return table_of(table.bank.name, lines, kept)


def show(name: str, table: Table, arguments: argparse.Namespace) -> None:
    """Print the table of one bank."""
    noise = "unknown" if np.isnan(table.truth_noise) else f"{table.reliability:.2f}"
    print(
        f"{name}: {len(table.archs)} members, truth {100 * table.truth.mean():.2f}% ± "
        f"{100 * table.truth.std(ddof=1):.2f}, best {100 * table.truth.max():.2f}%, "
        f"reliability {noise}"
    )
    columns = {
        proxies: efficiencies(
            table, proxies, arguments.resamples, arguments.replays, arguments.seed
        )
        for proxies in arguments.proxies
    }
    print(f"  {'efficiency at the epochs of … proxies':42s}" + "".join(
        f"{proxies:>23g}" for proxies in arguments.proxies
    ))  # fmt: skip
    for strategy in strategies(table):
        cells = []
        for found in columns.values():
            values = found[strategy]
            check_finite(strategy, values)
            low, high = np.percentile(values, [2.5, 97.5])
            cells.append(f"{values[0]:.2f} ({low:.2f} to {high:.2f})")
        print(f"  {strategy:42s}" + "".join(f"{cell:>23s}" for cell in cells))


def main() -> None:
    parser = make_parser(__doc__, seed=0)
    searched = [name for name, bank in BANKS.items() if bank.baseline is None]
    parser.add_argument("--banks", nargs="+", default=searched, choices=searched)
    parser.add_argument("--proxies", nargs="+", type=float, default=[20.0, 40.0, 80.0])
    parser.add_argument("--resamples", type=int, default=100)
    parser.add_argument("--replays", type=int, default=200)
    arguments = parse(parser, resamples=4, replays=10, proxies=[40.0])
    shown = 0
    for name in arguments.banks:
        if not shipped(name).exists():
            continue
        table = complete(table_of(name, read_lines(shipped(name))))
        if len(table.archs) < LEAST:
            print(
                f"{name}: {len(table.archs)} members by every schedule so far, of {LEAST} at least"
            )
            continue
        show(name, table, arguments)
        shown += 1
    check(shown > 0, "no bank is shipped")
    print_foot(arguments, "numpy")


if __name__ == "__main__":
    main()
