"""`SurrogateSampler`: models the objective, evolves candidates under the model, asks for the best.

The scheme is that of NeuralPredictor and BANANAS (arXiv 1912.00848, 1910.11858) with the exact
costs of a network among its features: they are known before training, and carry most of what
can be known of its accuracy beforehand.
"""

from collections.abc import Callable
from typing import Any, Final

import numpy as np
from optuna.distributions import BaseDistribution
from optuna.study import Study
from optuna.trial import FrozenTrial

from search.samplers.acquisition import compromise, improvement_over
from search.samplers.base import SharedSpaceSampler
from search.samplers.box import Box
from search.samplers.candidates import Candidates, Code, Codes
from search.samplers.gaussian import Array
from search.samplers.history import History
from search.samplers.model import Ensemble

GENERATIONS: Final = 4
CHILDREN: Final = 300
"""Candidates per generation; the first has as many at random besides."""
PARENTS: Final = 30
EXHAUSTIVE: Final = 20_000
"""Up to so many candidates are all looked at, and nothing is evolved."""
PATIENCE: Final = 20
"""Trials without a new best, after which every `LOCAL`-th ask changes a single choice of the best,
whatever the model thinks."""
LOCAL: Final = 3
STARTUP_DRAWS: Final = 200
"""Random candidates of which a start-up trial takes the one farthest from all before it."""


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
        history = History(study, trial, candidates)
        if len(history.values) < self._n_startup_trials:
            code = self._spread(candidates, history)
        else:
            code = self._best(candidates, history, trial.number)
        return candidates.decode(code) if code is not None else {}

    def _spread(self, candidates: Candidates, history: History) -> Code | None:
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

    def _best(self, candidates: Candidates, history: History, number: int) -> Code | None:
        features = candidates.features(history.codes)
        models = [Ensemble(seed=number).fit(features, values) for values in history.with_lies().T]
        finished = len(history.values)
        score = (
            improvement_over(float(models[0].mean(features[:finished]).max()))
            if len(models) == 1
            else compromise(history.values, self._generator)
        )

        near = self._near(candidates, history, number, models)
        if near is not None:
            return near

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

    def _near(
        self, candidates: Candidates, history: History, number: int, models: list[Ensemble]
    ) -> Code | None:
        """With one objective, at every `LOCAL`-th ask of a search that is stuck, the neighbour of
        the best, the next best, … that is expected to be the best of its like; else None.

        A model that is sure of itself stops looking around; on a small space the optimum is then
        often one choice away. Done from the beginning, this costs more than it brings.
        """
        since = len(history.values) - 1 - int(np.argmax(history.values[:, 0]))
        if len(models) > 1 or number % LOCAL or since < PATIENCE:
            return None
        means = models[0].mean(candidates.features(history.codes[: len(history.values)]))
        for row in np.argsort(-means, kind="stable"):
            codes = history.new(candidates.near(history.codes[row]))
            if len(codes):
                return _row(codes, int(np.argmax(models[0].mean(candidates.features(codes)))))
        return None

    def _evolve(
        self,
        candidates: Candidates,
        history: History,
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


def _row(codes: Codes, position: int) -> Code:
    code: Code = codes[position]
    return code
