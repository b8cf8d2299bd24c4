"""A study's trials as a model reads them: codes and values, of stopped trials the likely ones."""

import math
from collections.abc import Sequence
from typing import Final

import numpy as np
from numpy.typing import NDArray
from optuna.study import Study
from optuna.trial import FrozenTrial, TrialState

from search.pareto import dominators
from search.samplers.base import signs
from search.samplers.candidates import Candidates, Codes
from search.samplers.gaussian import Array

PRIOR: Final = 0.5
"""Correlation of a value on the way and the last one, before any trial has both."""
PRIOR_TRIALS: Final = 4


class History:
    """A study's trials as arrays: finished ones first, then those that are running.

    `values` (finished, objectives) are all to be maximised; `asked` are all codes ever proposed.
    A trial that a pruner stopped counts as finished, at the value that it was likely to reach.
    Of trials that are the same network and have the same value, the first counts: a search repeats
    what it knows of a network that is proposed again, which is no new knowledge.
    """

    def __init__(self, study: Study, trial: FrozenTrial, candidates: Candidates) -> None:
        upward = signs(study)
        trials = study.get_trials(deepcopy=False)
        expected = _expected_values(trials)
        others = [
            (other, code)
            for other in trials
            if other.number != trial.number
            and (code := candidates.encode(other.params)) is not None
        ]
        width = len(candidates.distributions)
        self.asked = np.array([code for _, code in others]).reshape(-1, width)
        networks = candidates.identities(self.asked)
        finished: dict[tuple[float, bytes], tuple[Array, Array]] = {}
        running: list[Array] = []
        for (other, code), network in zip(others, networks, strict=True):
            if other.state == TrialState.COMPLETE:
                value = upward * np.asarray(other.values, dtype=float)
            elif other.number in expected:
                value = upward * expected[other.number]
            else:
                if other.state == TrialState.RUNNING:
                    running.append(code)
                continue
            finished.setdefault((float(network), value.tobytes()), (code, value))
        codes = [code for code, _ in finished.values()]
        values = [value for _, value in finished.values()]
        self.values = _finite(np.array(values).reshape(-1, len(upward)))
        self.codes = np.array(codes + running).reshape(-1, width)
        self._candidates = candidates
        self._known = set(networks.tolist())

    def with_lies(self) -> Array:
        """`values`, and for every running trial the mean of them."""
        lies = np.repeat(
            self.values.mean(0, keepdims=True), len(self.codes) - len(self.values), axis=0
        )
        return np.concatenate([self.values, lies])

    def order(self) -> NDArray[np.intp]:
        """Finished trials, best first: by objective, or by how many others dominate them."""
        if self.values.shape[1] == 1:
            return np.argsort(-self.values[:, 0], kind="stable")
        return np.argsort(dominators(self.values), kind="stable")

    def new(self, codes: Codes) -> Codes:
        """One code of each network that was not asked before."""
        seen = set(self._known)
        keep = []
        for position, network in enumerate(self._candidates.identities(codes).tolist()):
            if network not in seen:
                seen.add(network)
                keep.append(position)
        return codes[keep]


def _expected_values(trials: Sequence[FrozenTrial]) -> dict[int, Array]:
    """By its number, what each stopped trial was likely to reach.

    A line of the last value in that of the same step (which may be another metric), over trials
    that went to the end. Few say little of its slope: the correlation is drawn towards `PRIOR` as
    by `PRIOR_TRIALS` more of them, and taken to be no less than 0.
    """
    stopped = [
        t
        for t in trials
        if t.state == TrialState.PRUNED
        and t.intermediate_values
        and not any(excess > 0 for excess in t.constraints.values())  # failed later on
    ]
    lines = {step: _line(trials, step) for step in {max(t.intermediate_values) for t in stopped}}
    expected = {}
    for trial in stopped:
        step = max(trial.intermediate_values)
        value = trial.intermediate_values[step]
        if math.isfinite(value):
            centre, slope, level = lines[step]
            expected[trial.number] = np.array([level + slope * (value - centre)])
    return expected


def _line(trials: Sequence[FrozenTrial], step: int) -> tuple[float, float, float]:
    """Centre, slope and level of the last value as a line in the value at `step`."""
    pairs = np.array(
        [
            (trial.intermediate_values[step], trial.values[0])
            for trial in trials
            if trial.state == TrialState.COMPLETE and step in trial.intermediate_values
        ]
    ).reshape(-1, 2)
    pairs = pairs[np.isfinite(pairs).all(1)]
    if not len(pairs):
        return 0.0, 1.0, 0.0
    centre, level = pairs.mean(0)
    apart = pairs - pairs.mean(0)
    here, last = np.sqrt((apart**2).mean(0))
    if not (here > 0 and last > 0):
        return float(centre), 1.0, float(level)
    correlation = float((apart[:, 0] * apart[:, 1]).mean() / (here * last))
    drawn = (len(pairs) * correlation + PRIOR_TRIALS * PRIOR) / (len(pairs) + PRIOR_TRIALS)
    return float(centre), max(0.0, drawn) * float(last / here), float(level)


def _finite(values: Array) -> Array:
    """Infinite objectives, which no regression survives, as the worst or best finite one."""
    if np.isfinite(values).all():
        return values
    finite = np.where(np.isfinite(values), values, np.nan)
    low = np.array([np.nanmin(c) if np.isfinite(c).any() else 0.0 for c in finite.T])
    high = np.array([np.nanmax(c) if np.isfinite(c).any() else 0.0 for c in finite.T])
    return np.where(np.isneginf(values), low, np.where(np.isposinf(values), high, values))
