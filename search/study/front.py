"""The Pareto front of a study, and of several: tables and pictures."""

from collections.abc import Sequence

import pandas as pd

from search.config.quality import ACCURACY, Quality
from search.config.schema import RunConfig
from search.errors import StudyError
from search.pareto import non_dominated
from search.plot import plot_pareto
from search.record.folder import StudyFolder
from search.record.trials import TrialRecord, read_records
from search.space.budget import budget_macs, cost_budget, front_metric
from search.space.latency_budget import PREDICTED_MS
from search.study.baseline import read_baseline
from search.study.objective import Objective
from search.study.reference import read_reference_names


def front_table(
    records: Sequence[TrialRecord], objective: Objective, metric: str = "macs"
) -> pd.DataFrame:
    """A row per candidate, the cheapest first; `on_front` marks those that no other one dominates
    in the objective's quality and the cost `metric`."""
    table = pd.DataFrame(
        {
            "trial": [record.number for record in records],
            **_reached(records, objective.quality),
            "macs": [record.cost.macs for record in records],
            "params": [record.cost.params for record in records],
            "flops_fvcore": [record.cost.flops_fvcore for record in records],
            "activations": [record.cost.activations for record in records],
            **_predicted(records),
            "reward": [objective.reward(record) for record in records],
            "arch": [record.arch for record in records],
        }
    )
    return _marked(table, objective.quality, metric)


def write_front(config: RunConfig, folder: StudyFolder) -> pd.DataFrame:
    """Write pareto.csv (every candidate, the front marked) and pareto.png; returns the table.

    Raises:
        StudyError: nothing was trained to the end.
    """
    records = folder.completed()
    if not records:
        raise StudyError(f"{folder.path} has no completed trial to plot")
    objective = Objective.of(config)
    metric = front_metric(config)
    table = front_table(records, objective, metric)
    folder.write("pareto.csv", table.to_csv(index=False))
    names = read_reference_names(folder)
    references = {
        names[record.arch]: record
        for record in read_records(folder / "reference.jsonl")
        if isinstance(record, TrialRecord) and record.arch in names
    }
    title = f"{config.study}: {config.dataset.name} at {config.proxy.size} px, "
    title += judged_by(config)
    # At an exact budget of macs all have the same: what they cost besides is drawn.
    if metric != "macs":
        title += f", all at {cost_budget(config)}"
    png = plot_pareto(
        records,
        budget_macs(config) if metric == "macs" else None,
        references,
        _chosen(folder, records, objective),
        title,
        metric,
        objective.quality,
    )
    folder.write("pareto.png", png)
    return table


def _chosen(
    folder: StudyFolder, records: Sequence[TrialRecord], objective: Objective
) -> TrialRecord | None:
    """B0, where it has been chosen, unless it is none of the candidates; else the best so far."""
    if not (folder / "b0.yaml").exists():
        return objective.best(records)
    trial = read_baseline(folder).trial
    return next((record for record in records if record.number == trial), None)


def write_sweep_front(folders: Sequence[StudyFolder], sweep: StudyFolder) -> pd.DataFrame:
    """Write front.csv and front.png of several studies together; returns the table.

    A list of budgets gives a study each; what is best over all of them is the front: in what all
    are judged by, or in accuracy, where they are not judged alike.
    """
    records = [(folder.study, record) for folder in folders for record in folder.completed()]
    quality = shared_quality([folder.read_config() for folder in folders])
    table = _marked(
        pd.DataFrame(
            {
                "study": [study for study, _ in records],
                "trial": [record.number for _, record in records],
                **_reached([record for _, record in records], quality),
                "macs": [record.cost.macs for _, record in records],
                "params": [record.cost.params for _, record in records],
                "arch": [record.arch for _, record in records],
            }
        ),
        quality,
    )
    sweep.write("front.csv", table.to_csv(index=False))
    title = f"{sweep.study}: {len(folders)} studies"
    png = plot_pareto([record for _, record in records], None, {}, None, title, quality=quality)
    sweep.write("front.png", png)
    return table


def judged_by(config: RunConfig, before: str = "") -> str:
    """How candidates were judged, for people."""
    if config.evaluator == "supernet":
        return "by the supernet"
    return f"{before}{config.proxy.epochs} epochs"


def shared_quality(configs: Sequence[RunConfig]) -> Quality:
    """What all of these studies are judged by; accuracy where they differ."""
    found = {config.quality for config in configs}
    return found.pop() if len(found) == 1 else ACCURACY


def _reached(records: Sequence[TrialRecord], quality: Quality) -> dict[str, list[float]]:
    """The column of accuracy, and before it that of what else the records are judged by."""
    return {
        each.val: [each.of(record.metrics) for record in records] for each in (quality, ACCURACY)
    }


def _marked(table: pd.DataFrame, quality: Quality, metric: str = "macs") -> pd.DataFrame:
    table["on_front"] = non_dominated(table[quality.val], table[metric])
    return table.sort_values([metric, quality.val], ascending=[True, False], ignore_index=True)


def _predicted(records: Sequence[TrialRecord]) -> dict[str, list[float]]:
    """The column of predicted milliseconds, of a study that has them."""
    if not all(PREDICTED_MS in record.metrics for record in records):
        return {}
    return {PREDICTED_MS: [record.metrics[PREDICTED_MS] for record in records]}
