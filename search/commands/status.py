"""`python -m search status`: how far a study is."""

from blocks.console import console, millions, network
from search.commands.which import which_study
from search.record.folder import StudyFolder
from search.record.trials import FailureRecord, read_records
from search.space.budget import cost_budget


def run(arguments: list[str]) -> None:
    """Print trials, the best of them, and which files are written."""
    describe(which_study("status", arguments))


def describe(folder: StudyFolder) -> None:
    """Print what is on disk of a study."""
    stored = folder.read_config()
    records = read_records(folder.trials)
    completed = folder.completed()
    failed = [record for record in records if isinstance(record, FailureRecord)]
    trained = len(records) - len(failed)
    judged = "judged by the supernet" if stored.evaluator == "supernet" else "trained"
    console.print(
        f"{folder.path}: {trained} of {stored.search.trials} trials {judged}, "
        f"{trained - len(completed)} of them stopped early, {len(failed)} failed; sampler "
        f"{stored.sampler}, objective {stored.steered_by}, budget {cost_budget(stored)}"
    )
    for failure in failed[-3:]:
        console.print(f"  trial {failure.number} {failure.kind}: {failure.error}")
    if completed:
        from search.study.objective import Objective

        best = Objective.of(stored).best(completed)
        console.print(
            f"  best candidate: val {stored.quality.words} "
            f"{stored.quality.of(best.metrics):.4f}, macs {millions(best.cost.macs)}, trial "
            f"{best.number}"
            f"{network(f': {best.arch}', ', its spelling in trials.jsonl')}"
        )
    if (folder / "b0.yaml").exists():
        from search.study.baseline import read_baseline

        found = read_baseline(folder)
        # What was done to a published network, after its name, is in b0.yaml.
        name = (found.reference or f"trial {found.trial}").partition(":")[0]
        reached = found.metrics.get(stored.quality.test)
        test = "" if reached is None else f"test {stored.quality.words} {reached:.4f}, "
        console.print(f"  B0: {name}, {test}macs {millions(found.cost.macs)}; b0.yaml")
    console.print(f"  written: {', '.join(folder.written) or 'nothing yet'}")
