"""The final round: the chosen B0 is trained for longer, the references beside it."""

from dataclasses import dataclass, replace
from pathlib import Path

from blocks.arch import format_arch
from blocks.messages import say
from search.config.settled import SettledConfig
from search.data.splits import ImageData
from search.errors import StudyError
from search.evaluators.batch import run_jobs
from search.evaluators.train import Job, TrainEvaluator, make_job
from search.record.folder import StudyFolder
from search.record.trials import FailureRecord, TrialRecord
from search.space.references import Reference
from search.study.reference import references_of, write_reference_names


@dataclass(frozen=True)
class FinalRound:
    """`final`: B0 trained for longer. `references`: published networks by the proxy. `by_proxy`: B0
    by the proxy, where only the supernet has judged it."""

    final: TrialRecord
    references: list[tuple[Reference, TrialRecord]]
    by_proxy: TrialRecord | None


def train_final(
    config: SettledConfig,
    data: ImageData,
    folder: StudyFolder,
    evaluator: TrainEvaluator,
    chosen: TrialRecord,
) -> FinalRound:
    """Train the chosen B0 for longer, and read the test split once.

    Raises:
        StudyError: B0's training failed.
    """
    final_job = make_job(chosen.arch, config.search.final_epochs, config.seed, replicate=1)
    final_job = replace(final_job, test=True, long=True, save=str(folder / "b0.pt"))
    references = references_of(config, data.in_channels, data.num_classes)
    write_reference_names(folder, references)
    jobs: list[tuple[Job, Path]] = [(final_job, folder / "final.jsonl")]
    for reference in references:
        job = make_job(format_arch(reference.arch), config.proxy.epochs, config.seed)
        jobs.append((job, folder / "reference.jsonl"))
    say(
        f"training the chosen B0 (trial {chosen.number}) for {config.search.final_epochs} epochs"
        + (f", and {len(references)} published networks by the proxy" if references else "")
        + (", and B0 by the proxy" if config.evaluator == "supernet" else "")
    )
    if config.evaluator == "supernet":
        job = make_job(chosen.arch, config.proxy.epochs, config.seed)
        jobs.append((replace(job, inherit=config.inherits), folder / "reference.jsonl"))
    final, *others = run_jobs(evaluator, jobs)
    if isinstance(final, FailureRecord):
        raise StudyError(f"the final training of B0 failed ({final.kind}): {final.error}")
    for failure in others:
        if isinstance(failure, FailureRecord):
            say(f"the training of {failure.arch} failed ({failure.kind}): {failure.error}")
    trained = {record.arch: record for record in others if isinstance(record, TrialRecord)}
    return FinalRound(
        final,
        [
            (reference, trained[spelling])
            for reference in references
            if (spelling := format_arch(reference.arch)) in trained
        ],
        trained.get(chosen.arch) if config.evaluator == "supernet" else None,
    )
