"""How many trainings a final round is, and how many the time that is left allows."""

from collections.abc import Sequence

import numpy as np

from blocks.console import duration
from blocks.messages import say
from search.config.schema import RunConfig
from search.config.settled import SettledConfig
from search.record.trials import TrialRecord
from search.study.contender import RIVALS, Contender, proxy_rank
from search.study.objective import Objective


def trainings_expected(config: SettledConfig, references: int) -> float:
    """Long trainings of a final round: half of the networks are expected to be worth a further
    seed."""
    if config.search.finalists == 1:
        return 1.0
    networks = min(config.search.finalists, config.search.trials) + min(references, RIVALS)
    return networks * _of_each(most_trainings(config))


def most_trainings(config: RunConfig) -> int:
    """Of a network of the final round: one for each fold, or for each seed."""
    return config.dataset.folds or config.search.final_seeds


def repeats(config: RunConfig) -> str:
    """What the trainings of a network differ by."""
    return "folds" if config.dataset.folds else "seeds"


def _of_each(seeds: int) -> float:
    return 1 + 0.5 * (seeds - 1)


def _expected_seconds(
    config: SettledConfig,
    contenders: Sequence[Contender],
    seeds: int,
    candidates: Sequence[TrialRecord],
) -> float:
    """As long as the candidates took per multiply-add and epoch."""
    pace = [
        sum(record.seconds.values()) / (record.cost.macs * max(1, record.fidelity["epochs"]))
        for record in candidates
    ]
    macs = sum(contender.by_proxy.cost.macs for contender in contenders)
    work = macs * config.final_epochs * _of_each(seeds)
    return float(np.median(pace)) * work / config.workers.count


def within(
    contenders: list[Contender],
    seeds: int,
    config: SettledConfig,
    objective: Objective,
    candidates: Sequence[TrialRecord],
    seconds_left: float,
) -> tuple[list[Contender], int]:
    """As many contenders and seeds as the time that is left is expected to allow: first with one
    seed, then without the worst by the proxy. The best candidate and the best reference are the
    last to go, and one of them stays."""
    ranked, least = _by_promise(contenders, config, objective), seeds
    while least > 1 and _expected_seconds(config, ranked, least, candidates) > seconds_left:
        least -= 1
    while len(ranked) > 1 and _expected_seconds(config, ranked, least, candidates) > seconds_left:
        ranked.pop()
    kept = [each for each in contenders if each in ranked]
    if (len(kept), least) != (len(contenders), seeds):
        say(
            f"search.minutes={config.search.minutes:g} leaves {duration(max(0.0, seconds_left))} "
            f"for the final round: {len(kept)} of {len(contenders)} networks with {least} of "
            f"{seeds} {repeats(config)}; more minutes make it surer"
        )
    return kept, least


def _by_promise(
    contenders: Sequence[Contender], config: SettledConfig, objective: Objective
) -> list[Contender]:
    """The best candidate and the best reference, then the others, those that are better by the
    proxy first; contenders of one kind come best first."""
    order = list(contenders)
    if config.evaluator == "train":  # a supernet judges candidates by another measure
        order.sort(key=lambda each: proxy_rank(each.by_proxy, objective))
    best = {each.reference is None: each for each in reversed(order)}.values()
    return sorted(order, key=lambda each: each not in best)
