"""`SurrogateSampler`: models the objective, evolves candidates under the model, asks for the best.

The scheme is that of NeuralPredictor and BANANAS (arXiv 1912.00848, 1910.11858) with the exact
costs of a network among its features: they are known before training, and carry most of what
can be known of its accuracy beforehand.
"""

import math
from collections.abc import Callable, Sequence
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray
from optuna.distributions import BaseDistribution
from optuna.study import Study
from optuna.trial import FrozenTrial, TrialState
from scipy.stats import norm

from search.pareto import dominators, hypervolume_added
from search.samplers.base import SharedSpaceSampler, signs
from search.samplers.candidates import Box, Candidates, Code, Codes
from search.samplers.gaussian import Array
from search.samplers.model import Ensemble

GENERATIONS: Final = 4
CHILDREN: Final = 4000
"""Candidates per generation; the first has as many at random besides."""
PARENTS: Final = 100
EXHAUSTIVE: Final = 20_000
"""Up to so many candidates are all looked at, and nothing is evolved."""
STARTUP_DRAWS: Final = 200
"""Random candidates of which a start-up trial takes the one farthest from all before it."""
OPTIMISM: Final = 0.5
"""Standard deviations added to a candidate before its hypervolume is compared."""
PRIOR: Final = 0.5
"""Correlation of a value on the way and the last one, before any trial has both."""
PRIOR_TRIALS: Final = 4
_Score = Callable[[Array, Array], Array]


class SurrogateSampler(SharedSpaceSampler):
    """Bayesian optimisation of architectures with an ensemble of regressors.

    Args:
        seed: of everything random; None takes one from the system.
        candidates: what may be proposed and its features; None is the box of the parameters that
            all trials share, as for TPE. With candidates every proposal is one of them.
        n_startup_trials: trials spread over the space before the first model.

    Running trials are taken to end at the mean of the finished ones (constant liar, Ginsbourger et
    al. 2010), so that parallel asks differ. With one objective the acquisition is expected
    improvement over the best *expected* value so far, which noise does not inflate; with two the
    hypervolume that an optimistic estimate adds (SMS-EGO, Ponweiser et al. 2008); with more a
    Chebyshev scalarisation of random weights (ParEGO, Knowles 2006).

    Example:
        >>> import optuna
        >>> study = optuna.create_study(sampler=SurrogateSampler(seed=0))
        >>> study.optimize(lambda trial: trial.suggest_float("x", -1, 1) ** 2, n_trials=20)
    """

    def __init__(
        self,
        seed: int | None = None,
        candidates: Candidates | None = None,
        n_startup_trials: int = 8,
    ) -> None:
        super().__init__(seed)
        self._candidates = candidates
        self._n_startup_trials = n_startup_trials

    def infer_relative_search_space(
        self, study: Study, trial: FrozenTrial
    ) -> dict[str, BaseDistribution]:
        """The parameters of the candidates, or those that all trials share."""
        if self._candidates is not None:
            return dict(self._candidates.distributions)
        return super().infer_relative_search_space(study, trial)

    def sample_relative(
        self, study: Study, trial: FrozenTrial, search_space: dict[str, BaseDistribution]
    ) -> dict[str, Any]:
        """The most promising candidate, by its parameters."""
        if not search_space:
            return {}
        candidates = self._candidates if self._candidates is not None else Box(search_space)
        history = _History(study, trial, candidates)
        if len(history.values) < self._n_startup_trials:
            code = self._spread(candidates, history)
        else:
            code = self._best(candidates, history, trial.number)
        return candidates.decode(code) if code is not None else {}

    def _spread(self, candidates: Candidates, history: "_History") -> Code | None:
        """A candidate far from all that were asked before."""
        drawn = history.new(candidates.sample(STARTUP_DRAWS, self._generator))
        if not len(drawn):
            return None
        if not len(history.asked):
            return _row(drawn, 0)
        features = candidates.features(np.concatenate([drawn, history.asked]))
        scale = features.std(0)
        standard = features[:, scale > 0] / scale[scale > 0]
        here, before = standard[: len(drawn)], standard[len(drawn) :]
        apart = ((here[:, None] - before[None]) ** 2).sum(2).min(1)
        return _row(drawn, int(np.argmax(apart)))

    def _best(self, candidates: Candidates, history: "_History", number: int) -> Code | None:
        features = candidates.features(history.codes)
        models = [Ensemble(seed=number).fit(features, values) for values in history.with_lies().T]
        finished = len(history.values)
        score = (
            _improvement(float(models[0].mean(features[:finished]).max()))
            if len(models) == 1
            else self._compromise(history.values)
        )

        def rate(codes: Codes) -> Array:
            read = candidates.features(codes)
            estimates = [model.predict(read) for model in models]
            return score(
                np.stack([mean for mean, _ in estimates], 1),
                np.stack([deviation for _, deviation in estimates], 1),
            )

        if len(candidates) <= EXHAUSTIVE:
            pool = history.new(candidates.sample(EXHAUSTIVE, self._generator))
            return _row(pool, int(np.argmax(rate(pool)))) if len(pool) else None
        return self._evolve(candidates, history, rate)

    def _evolve(
        self,
        candidates: Candidates,
        history: "_History",
        rate: Callable[[Codes], Array],
    ) -> Code | None:
        best_first = history.codes[: len(history.values)][history.order()]
        codes = np.concatenate(
            [
                candidates.sample(CHILDREN, self._generator),
                candidates.vary(best_first[:PARENTS], CHILDREN, self._generator),
            ]
        )
        codes = history.new(codes)
        if not len(codes):
            return None
        scores = rate(codes)
        for _ in range(GENERATIONS - 1):
            order = np.argsort(-scores, kind="stable")[:PARENTS]
            codes, scores = codes[order], scores[order]
            children = history.new(candidates.vary(codes, CHILDREN, self._generator))
            if len(children):
                codes = np.concatenate([codes, children])
                scores = np.concatenate([scores, rate(children)])
        return _row(codes, int(np.argmax(scores)))

    def _compromise(self, values: Array) -> _Score:
        """The acquisition of several objectives, of which `values` were observed."""
        objectives = values.shape[1]
        low, high = values.min(0), values.max(0)
        span = np.where(high > low, high - low, 1.0)
        weights = self._generator.dirichlet(np.ones(objectives))

        def chebyshev(mean: Array, deviation: Array) -> Array:
            scaled = (mean + OPTIMISM * deviation - low) / span
            score: Array = (weights * scaled).min(1) + 0.05 * (weights * scaled).sum(1)
            return score

        if objectives > 2:
            return chebyshev
        front = (values - low) / span

        def added(mean: Array, deviation: Array) -> Array:
            gain = hypervolume_added((mean + OPTIMISM * deviation - low) / span, front)
            # Where nothing adds any, the scalarisation still tells near from far.
            return gain if gain.max(initial=0.0) > 0 else chebyshev(mean, deviation)

        return added


class _History:
    """A study's trials as arrays: finished ones first, then those that are running.

    `values` (finished, objectives) are all to be maximised; `asked` are all codes ever proposed.
    A trial that a pruner stopped counts as finished, at the value that it was likely to reach.
    """

    def __init__(self, study: Study, trial: FrozenTrial, candidates: Candidates) -> None:
        upward = signs(study)
        finished: list[tuple[Array, Array]] = []
        running: list[Array] = []
        asked: list[Array] = []
        trials = study.get_trials(deepcopy=False)
        expected = _expected_values(trials)
        for other in trials:
            code = candidates.encode(other.params) if other.number != trial.number else None
            if code is None:
                continue
            asked.append(code)
            if other.state == TrialState.COMPLETE:
                finished.append((code, upward * np.asarray(other.values, dtype=float)))
            elif other.number in expected:
                finished.append((code, upward * expected[other.number]))
            elif other.state == TrialState.RUNNING:
                running.append(code)
        width = len(candidates.distributions)
        self.values = _finite(np.array([value for _, value in finished]).reshape(-1, len(upward)))
        self.codes = np.array([code for code, _ in finished] + running).reshape(-1, width)
        self.asked = np.array(asked).reshape(-1, width)
        self._known = {code.tobytes() for code in asked}

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
        """`codes` without repetition and without what was asked before."""
        seen = set(self._known)
        keep = []
        for position, code in enumerate(codes):
            key = code.tobytes()
            if key not in seen:
                seen.add(key)
                keep.append(position)
        return codes[keep]


def _expected_values(trials: Sequence[FrozenTrial]) -> dict[int, Array]:
    """By its number, what each stopped trial was likely to reach.

    A line of the last value in that of the same step (which may be another metric), over trials
    that went to the end. Few say little of its slope: the correlation is drawn towards `PRIOR` as
    by `PRIOR_TRIALS` more of them, and taken to be no less than 0.
    """
    stopped = [t for t in trials if t.state == TrialState.PRUNED and t.intermediate_values]
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


def _row(codes: Codes, position: int) -> Code:
    code: Code = codes[position]
    return code


def _improvement(best: float) -> _Score:
    return lambda mean, deviation: expected_improvement(mean[:, 0], deviation[:, 0], best)


def expected_improvement(mean: Array, deviation: Array, best: float) -> Array:
    """E[max(0, y − best)] of y ~ N(mean, deviation²) (Jones et al. 1998, eq. 15)."""
    deviation = np.maximum(deviation, 1e-12)
    ahead = (mean - best) / deviation
    improvement: Array = deviation * (ahead * norm.cdf(ahead) + norm.pdf(ahead))
    # Far behind, the formula underflows to 0: keep the order of the means there.
    return np.where(improvement > 0, improvement, 1e-300 * np.exp(np.clip(ahead, -700, 0)))


def _finite(values: Array) -> Array:
    """Infinite objectives, which no regression survives, as the worst or best finite one."""
    if np.isfinite(values).all():
        return values
    finite = np.where(np.isfinite(values), values, np.nan)
    low = np.array([np.nanmin(c) if np.isfinite(c).any() else 0.0 for c in finite.T])
    high = np.array([np.nanmax(c) if np.isfinite(c).any() else 0.0 for c in finite.T])
    return np.where(np.isneginf(values), low, np.where(np.isposinf(values), high, values))
