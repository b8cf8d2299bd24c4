"""What zero-cost scores tell a search before its first trial: where to begin, and features.

They never are the objective. Random members of the space are scored once per study; the best of
them are evaluated first, and a regression from choices and costs to each score tells the surrogate
sampler of members that nobody has scored.
"""

import io
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import pandas as pd
from scipy.stats import rankdata
from sklearn.linear_model import RidgeCV

from blocks.arch import format_arch
from blocks.errors import DAMAGED, one_line
from blocks.messages import say
from search.config.settled import SettledConfig
from search.data.splits import ImageData
from search.errors import StudyError
from search.evaluators.batch import run_jobs
from search.evaluators.train import make_job
from search.evaluators.zero_cost import ZeroCostEvaluator
from search.record.folder import StudyFolder
from search.record.trials import TrialRecord, derive_seed
from search.samplers.candidates import Codes, Features
from search.space.members import SpaceCandidates
from search.study.study import OpenStudy
from search.training.zero_cost import BASELINES, SCORES

FILE: Final = "zero_cost.csv"
"""In a study's folder: the scored members, as they were when the study began."""
LEAST: Final = 5
"""Scored members below which there is nothing to learn."""
SHARE: Final = 0.25
"""Of the scored members the best, among which starting points are chosen far apart."""
PENALTIES: Final = tuple(10.0**power for power in range(-2, 5))


@dataclass(frozen=True)
class Prior:
    """The scored members of a study: codes (members, parameters), scores (members, scores)."""

    codes: Codes
    scores: Features

    def starting_points(self, candidates: SpaceCandidates, number: int) -> list[dict[str, Any]]:
        """The best by mean rank, and then by turns the one of the best quarter that is farthest
        from those taken, in standardised features."""
        ranks = np.mean([rankdata(column) for column in self.scores.T], axis=0)
        among = max(number, round(SHARE * len(ranks)))
        best = np.argsort(-ranks, kind="stable")[:among]
        features = candidates.features(self.codes[best])
        scale = features.std(0)
        standard = features[:, scale > 0] / scale[scale > 0]
        chosen: list[int] = []
        apart = np.full(len(best), np.inf)
        while len(chosen) < min(number, len(best)):
            chosen.append(int(np.argmax(apart)))
            apart = np.minimum(apart, ((standard - standard[chosen[-1]]) ** 2).sum(1))
        return [candidates.decode(self.codes[best[member]]) for member in chosen]


class RidgeScores:
    """A quadratic ridge regression of each score on a candidate's features (a `ScoreModel`).

    The penalty of each score is that of the least leave-one-out error.
    """

    def __init__(self, features: Features, scores: Features) -> None:
        scale = features.std(0)
        self._used = scale > 1e-9
        self._centre, self._scale = features.mean(0), scale
        self._mean, self._std = scores.mean(0), np.where(scores.std(0) > 0, scores.std(0), 1.0)
        self._ridge = RidgeCV(PENALTIES, alpha_per_target=True)
        self._ridge.fit(self._terms(features), (scores - self._mean) / self._std)
        self.explained: tuple[float, ...] = tuple(
            (1 + np.atleast_1d(self._ridge.best_score_)).tolist()
        )
        """Leave-one-out R² of each score."""

    def predict(self, features: Features) -> Features:
        """(candidates, scores)."""
        found: Features = self._mean + self._std * self._ridge.predict(self._terms(features))
        return found

    def _terms(self, features: Features) -> Features:
        inputs = ((features - self._centre) / np.where(self._used, self._scale, 1.0))[:, self._used]
        first, second = np.triu_indices(inputs.shape[1])
        products = inputs[:, first] * inputs[:, second]
        # So many that at their own size they would outweigh the line, of which most is made.
        return np.concatenate([inputs, products / max(1, inputs.shape[1])], 1)


def zero_cost_prior(study: OpenStudy) -> Prior:
    """Score `search.zero_cost` random members, or read what the study began with; the candidates
    have the predicted scores among their features from here on.

    Raises:
        StudyError: too few members can be scored, or the file is damaged.
    """
    config, folder, candidates = study.config, study.folder, study.members
    members = _members(candidates, config.search.zero_cost, derive_seed(config.seed, "zero_cost"))
    if not (folder / FILE).exists():
        table = _score(config, study.data, folder, list(members))
        folder.write(FILE, table.to_csv(index=False))
    # Read back even when just written: a resumed study sees the same digits.
    table = _read(folder)
    unknown = [arch for arch in table["arch"] if arch not in members]
    if unknown:
        raise StudyError(f"{folder / FILE} holds {unknown[0]}, which this study never drew")
    codes = np.array([members[arch] for arch in table["arch"]])
    scores = table[[*SCORES, *BASELINES]].to_numpy(dtype=float)
    model = RidgeScores(candidates.features(codes), scores[:, : len(SCORES)])
    known = ", ".join(
        f"{name} {share:.2f}" for name, share in zip(SCORES, model.explained, strict=True)
    )
    prior = Prior(codes, scores)
    say(f"{len(codes)} members have zero-cost scores; leave-one-out R² of them: {known}")
    candidates.read_scores(model)
    return prior


def _members(candidates: SpaceCandidates, number: int, seed: int) -> dict[str, Codes]:
    """At most `number` distinct random feasible members: spelling → code."""
    found: dict[str, Codes] = {}
    for code in candidates.sample(4 * number, np.random.default_rng(seed)):
        found.setdefault(format_arch(candidates.network(candidates.decode(code))[0]), code)
        if len(found) == number:
            break
    return found


def _score(
    config: SettledConfig, data: ImageData, folder: StudyFolder, archs: list[str]
) -> pd.DataFrame:
    """A row per member whose scores are finite numbers."""
    say(f"zero-cost scores of {len(archs)} random members, before the first trial")
    work = [(make_job(arch, 0, config.seed), folder / "scores.jsonl") for arch in archs]
    with ZeroCostEvaluator(data, config.workers, config.seed) as evaluator:
        outcomes = run_jobs(evaluator, work)
    scored = [record for record in outcomes if isinstance(record, TrialRecord)]
    if len(scored) < LEAST:
        raise StudyError(
            f"{len(scored)} random members have finite zero-cost scores; expected {LEAST} or more"
        )
    names = (*SCORES, *BASELINES)
    rows: list[Mapping[str, Any]] = [
        {**{name: record.metrics[name] for name in names}, "arch": record.arch} for record in scored
    ]
    return pd.DataFrame(rows)


def _read(folder: StudyFolder) -> pd.DataFrame:
    path = folder / FILE
    try:
        text = path.read_text(encoding="utf-8")
        # By way of text: only from pandas 3 on does it read a number to the last bit by itself.
        table = pd.read_csv(io.StringIO(text), dtype=str)
        table = table.astype(dict.fromkeys((*SCORES, *BASELINES), float))
        scores = table[[*SCORES, *BASELINES]].to_numpy()
        if len(table) < LEAST or not np.isfinite(scores).all() or table["arch"].isna().any():
            raise ValueError(f"fewer than {LEAST} rows, or one that is not a row of numbers")
    except (OSError, *DAMAGED) as error:
        raise StudyError(f"{path} is damaged: {one_line(error)}") from None
    return table
