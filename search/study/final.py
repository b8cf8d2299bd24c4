"""The final round: the best candidates and the networks one would have used are trained for longer,
and B0 is chosen among them.

The proxy's number of a candidate is noisy, of few images and one seed: the best of many is the best
by luck as much as by merit (the winner's curse). The few that are left are measured better.
"""

import hashlib
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

import numpy as np

from blocks.arch import format_arch
from blocks.files import write_durably
from blocks.messages import say
from search.config.quality import ACCURACY, Quality
from search.config.settled import SettledConfig
from search.data.splits import ImageData, labels_by_fold
from search.errors import StudyError
from search.evaluators.batch import run_jobs
from search.evaluators.train import Job, TrainEvaluator, make_job
from search.pareto import reward
from search.record.folder import StudyFolder
from search.record.trials import FailureRecord, TrialRecord, read_records
from search.space.references import Reference
from search.study.contender import RIVALS, Contender, proxy_rank
from search.study.final_time import most_trainings, repeats, within
from search.study.fold_standing import standing_by_folds
from search.study.lead import Lead, may_tell
from search.study.objective import Objective
from search.study.progress import Show, silent
from search.study.race import (
    Array,
    Labels,
    Standing,
    class_weighted,
    quality_values,
    standing,
)
from search.study.reference import references_of, write_reference_names
from search.training.outcomes import read_outcomes

FINALS: Final = "finals"
"""In a study's folder: weights and single images' outcomes of the final trainings."""
GIVEN_UP: Final = 0.05
"""P(best) below which a network is not trained with a further seed."""
OF_EVEN: Final = 0.3
"""Or this part of what each has where all are level, if that is less: of 30 each has 0.033."""
FEW_IMAGES: Final = 100
"""Validation images below which a final round says little."""


@dataclass(frozen=True)
class Gain:
    """What B0 is ahead of the best reference by, in `quality` on so many test images. `own` and
    `reached` are what B0 and the reference have in the mean of their trainings."""

    reference: Reference
    own: float
    reached: float
    lead: Lead
    images: int
    quality: Quality = ACCURACY

    @property
    def told_apart(self) -> bool:
        """Whether the interval excludes 0, and may be believed."""
        return may_tell(self.images, self.lead.low, self.lead.high) and self.lead.told_apart


@dataclass(frozen=True)
class FinalRound:
    """`contenders`, the best first, and how they stand; `final`: B0's first long training.
    `references`: published networks by the proxy. `by_proxy`: B0 by the proxy, where only the
    supernet has judged it. `gain` is over the best reference, where one was trained for as long."""

    contenders: list[Contender]
    standing: Standing | None
    references: list[tuple[Reference, TrialRecord]]
    by_proxy: TrialRecord | None
    gain: Gain | None

    @property
    def chosen(self) -> Contender:
        """B0."""
        return self.contenders[0]

    @property
    def final(self) -> TrialRecord:
        """B0's first long training, the one whose weights are kept."""
        return self.chosen.trainings[0]


def train_final(
    config: SettledConfig,
    data: ImageData,
    folder: StudyFolder,
    evaluator: TrainEvaluator,
    candidates: Sequence[TrialRecord],
    until: float | None = None,
    show: Show = silent,
) -> FinalRound:
    """Choose B0 of candidates that were trained to the end, and read the test split for it.

    The round is made so small that it is expected to end `until` then, by `time.monotonic`.

    Raises:
        StudyError: all long trainings failed.
    """
    objective = Objective.of(config)
    references = _by_proxy(config, data, folder, evaluator, show)
    contenders = _entrants(candidates, references, objective, config.search.finalists)
    seeds = most_trainings(config) if len(contenders) > 1 else 1
    if until is not None:
        # The references have been trained meanwhile.
        left = until - time.monotonic()
        contenders, seeds = within(contenders, seeds, config, objective, candidates, left)
    labels = [each.numpy() for each in labels_by_fold(data)]
    _announce(config, contenders, seeds, sum(map(len, labels[:seeds])))
    contenders, stand = _race(config, folder, evaluator, contenders, seeds, objective, labels, show)
    folder.write("b0.pt", _file(folder, contenders[0].trainings[0], ".pt").read_bytes())
    by_proxy = None
    if config.evaluator == "supernet":
        by_proxy = _train_by_proxy(config, folder, evaluator, contenders[0])
    gain = _gain(contenders, config.quality, data.test.labels.numpy())
    return FinalRound(contenders, stand, references, by_proxy, gain)


def _entrants(
    candidates: Sequence[TrialRecord],
    references: Sequence[tuple[Reference, TrialRecord]],
    objective: Objective,
    finalists: int,
) -> list[Contender]:
    """The best candidates, and the best references; of one candidate alone, that.

    A candidate that is a reference to the letter enters as it.
    """
    if finalists == 1:
        return [Contender(objective.best(candidates))]

    best = sorted(candidates, key=lambda each: proxy_rank(each, objective))[:finalists]
    published = {record.arch: reference for reference, record in references}
    entered = {record.arch for record in best}
    others = [each for each in references if each[1].arch not in entered]
    rivals = sorted(others, key=lambda each: proxy_rank(each[1], objective))[:RIVALS]
    return [
        *(Contender(record, published.get(record.arch)) for record in best),
        *(Contender(record, reference) for reference, record in rivals),
    ]


def _by_proxy(
    config: SettledConfig,
    data: ImageData,
    folder: StudyFolder,
    evaluator: TrainEvaluator,
    show: Show,
) -> list[tuple[Reference, TrialRecord]]:
    """The references that can be brought to the budget, trained by the proxy."""
    references = references_of(config, data.in_channels, data.num_classes)
    write_reference_names(folder, references)
    if not references:
        return []
    say(f"training {len(references)} published networks by the proxy")
    jobs = [
        make_job(format_arch(each.arch), config.proxy.epochs, config.seed) for each in references
    ]
    with show("reference", len(jobs), objective=Objective.of(config)) as progress:
        work = [(job, folder / "reference.jsonl") for job in jobs]
        found = _said(run_jobs(evaluator, work, progress), [each.name for each in references])
    return [
        (reference, record)
        for reference, record in zip(references, found, strict=True)
        if record is not None
    ]


def _train_by_proxy(
    config: SettledConfig, folder: StudyFolder, evaluator: TrainEvaluator, chosen: Contender
) -> TrialRecord | None:
    """B0 by the proxy, which the supernet's judgement stood for."""
    if chosen.reference is not None:
        return chosen.by_proxy
    job = make_job(chosen.by_proxy.arch, config.proxy.epochs, config.seed)
    job = replace(job, inherit=config.inherits)
    records = run_jobs(evaluator, [(job, folder / "reference.jsonl")])
    return _said(records, [chosen.name])[0]


def _race(
    config: SettledConfig,
    folder: StudyFolder,
    evaluator: TrainEvaluator,
    contenders: list[Contender],
    seeds: int,
    objective: Objective,
    labels: Sequence[Labels],
    show: Show,
) -> tuple[list[Contender], Standing | None]:
    """Train all, then those that may still be the best with a further seed, on the next fold if
    there are any; the best first.

    `labels` are those of the validation images, of each fold.
    """
    alive = list(contenders)
    stand: Standing | None = None
    for replicate in range(1, seeds + 1):
        jobs = []
        for contender in alive:
            arch = contender.by_proxy.arch
            job = make_job(arch, config.final_epochs, config.seed, replicate)
            # The first holds out the images that steered the search, as its weights are B0's.
            job = replace(job, fold=(replicate - 1) % len(labels))
            job = replace(job, test=True, long=True, save=str(_file(folder, job, ".pt")))
            if len(contenders) > 1:
                path = str(_file(folder, job, ".npz"))
                job = replace(job, outcomes=path, balanced=config.quality.balanced)
            jobs.append((job, folder / "final.jsonl"))
        _adopt(folder, jobs[0][0])
        what = "final" if seeds == 1 else f"{repeats(config)[:-1]} {replicate}:"
        with show(what, len(jobs), objective=objective) as progress:
            records = _said(run_jobs(evaluator, jobs, progress), [each.name for each in alive])
        for contender, (job, _), record in zip(alive, jobs, records, strict=True):
            if record is not None:
                contender.trainings.append(record)
                if job.outcomes is not None:
                    contender.outcomes.append(read_outcomes(Path(job.outcomes)))
        contenders = [contender for contender in contenders if contender.trainings]
        if not contenders:
            raise StudyError("the final training of B0 failed")
        if len(contenders) == 1:
            return contenders, None
        stand = _stand(contenders, objective, labels)
        alive = _still_in(contenders, stand, replicate)
        if len(alive) < 2:
            break
    assert stand is not None
    order = stand.order
    return [contenders[place] for place in order], Standing(
        stand.means[order], stand.covariance[np.ix_(order, order)], stand.p_best[order]
    )


def _still_in(contenders: Sequence[Contender], stand: Standing, replicate: int) -> list[Contender]:
    """Those that may be the best, of the ones with so many trainings.

    After the first training two at least: what seeds make of a network is not known before any has
    two.
    """
    least = min(GIVEN_UP, OF_EVEN / len(contenders))
    here = [place for place in stand.order if len(contenders[place].trainings) == replicate]
    sure = here[:2] if replicate == 1 else []
    return [
        contenders[place] for place in sorted(here) if place in sure or stand.p_best[place] >= least
    ]


def _stand(
    contenders: Sequence[Contender], objective: Objective, labels: Sequence[Labels]
) -> Standing:
    """How they stand by their trainings so far; `labels` of each fold."""
    balanced = objective.quality.balanced
    if len(labels) == 1:
        values = [_values(each, objective, labels[0]) for each in contenders]
        return standing(values, labels[0] if balanced else None)
    by_fold = [
        [
            _values(replace(each, outcomes=[one]), objective, own)[0]
            for one, own in zip(each.outcomes, labels, strict=False)
        ]
        for each in contenders
    ]
    return standing_by_folds(by_fold, labels if balanced else None)


def _values(contender: Contender, objective: Objective, labels: Labels) -> Array:
    """(trainings, validation images): what each image says for it; their mean is what counts.

    It is the loss, with each class counting alike where that is what the search is judged by: of
    balanced accuracy and of macro F1 it is what few images say with the least noise.
    """
    quality = objective.quality
    if objective.aim != "reward":
        losses = -np.stack([each.val_loss for each in contender.outcomes]).astype(float)
        return class_weighted(losses, labels) if quality.balanced else losses
    outcomes = contender.outcomes
    reached = [
        quality_values(quality, one.val_right, one.val_answer, labels, one.val_score)
        for one in outcomes
    ]
    macs = contender.by_proxy.cost.macs
    return np.stack(reached) * reward(1.0, macs, objective.target_macs, objective.exponent)


def _gain(contenders: Sequence[Contender], quality: Quality, labels: Labels) -> Gain | None:
    """What B0 is ahead of the best reference of the round by; None where B0 is one itself, or the
    round had none. `labels` are those of the test images."""
    rivals = [each for each in contenders if each.reference is not None]
    if not rivals or contenders[0].reference is not None:
        return None
    values = [
        np.stack(
            [
                quality_values(quality, each.test_right, each.test_answer, labels, each.test_score)
                for each in contender.outcomes
            ]
        )
        for contender in (contenders[0], rivals[0])
    ]
    assert rivals[0].reference is not None
    lead = standing(values, labels if quality.balanced else None).lead(0, 1)
    own, reached = (float(each.mean()) for each in values)
    return Gain(rivals[0].reference, own, reached, lead, len(labels), quality)


def _announce(
    config: SettledConfig, contenders: Sequence[Contender], seeds: int, val_images: int
) -> None:
    epochs = config.final_epochs
    if len(contenders) == 1:
        say(f"training the chosen B0 ({contenders[0].name}) for {epochs} epochs")
        return
    of_references = sum(contender.reference is not None for contender in contenders)
    say(
        f"final round: the best {len(contenders) - of_references} candidates"
        + (f" and {of_references} published networks" if of_references else "")
        + f", {epochs} epochs"
        + (
            f", then those that may be the best with up to {seeds} {repeats(config)}"
            if seeds > 1
            else ""
        )
    )
    if val_images < FEW_IMAGES:
        say(
            f"only {val_images} validation images: differences between these networks are mostly "
            "chance; see the intervals"
        )


def _adopt(folder: StudyFolder, job: Job) -> None:
    """Versions before 0.2 trained one network alone, and kept its weights as b0.pt."""
    records = read_records(folder / "final.jsonl")
    known = [(each.arch, each.seed) for each in records if isinstance(each, TrialRecord)]
    old, new = folder / "b0.pt", Path(str(job.save))
    if old.exists() and not new.parent.exists() and known[-1:] == [(job.arch, job.seed)]:
        write_durably(new, old.read_bytes())


def _file(folder: StudyFolder, training: Job | TrialRecord, suffix: str) -> Path:
    """A name that a training shares with no other: of its network, and its seed."""
    text = f"{training.arch} {training.seed}"
    return folder / FINALS / (hashlib.sha256(text.encode()).hexdigest()[:12] + suffix)


def _said(
    records: Sequence[TrialRecord | FailureRecord], names: Sequence[str]
) -> list[TrialRecord | None]:
    """Those that did not fail; failures are said."""
    for name, record in zip(names, records, strict=True):
        if isinstance(record, FailureRecord):
            say(f"the training of {name} failed ({record.kind}): {record.error}")
    return [record if isinstance(record, TrialRecord) else None for record in records]
