"""The jobs of `python -m search run -m`, and what they found, side by side."""

from collections.abc import Sequence
from pathlib import Path

from rich.table import Table

from blocks.console import console, millions
from search.commands.job import job_study
from search.config.compose import compose_config
from search.config.schema import RunConfig
from search.pareto import hypervolume
from search.record.folder import StudyFolder
from search.space.budget import budget_macs


def compose_job(job: Sequence[str]) -> RunConfig:
    """The settings of one job, Hydra's own set aside."""
    plain = [override for override in job if not override.lstrip("+~").startswith("hydra")]
    config: RunConfig = compose_config("config", plain, RunConfig)
    return config


def summarise(jobs: Sequence[Sequence[str]], fixed: Sequence[str]) -> None:
    """Print a table of the studies; write the front of all of them."""
    table = Table(title="All studies of this sweep", title_justify="left")
    headings = ("study", "trials", "best val accuracy", "hypervolume", "B0 val accuracy", "B0 macs")
    for name in headings:
        table.add_column(name, justify="left" if name == "study" else "right", overflow="fold")
    from search.study.front import write_sweep_front
    from search.study.objective import Objective

    folders = []
    for job in jobs:
        config = compose_job(job)
        swept = sorted(o for o in job if o.partition("=")[0] not in {*fixed, "study"})
        study = job_study(config.study, "_".join(swept).replace("=", "-"))
        folders.append(StudyFolder(config.results_dir, study))
        records = folders[-1].completed()
        if not records:
            table.add_row(study, "0", "", "", "", "")
            continue
        chosen = Objective.of(config).best(records)
        accuracy = [record.metrics["val_accuracy"] for record in records]
        macs = [record.cost.macs for record in records]
        # The share of the box from accuracy 0 to 1 and from no macs to the budget.
        most = budget_macs(config) or max(macs)
        # At a target they all cost the same.
        volume = hypervolume(accuracy, macs, 0.0, most) / most
        share = "" if config.budget.target is not None else f"{volume:.4f}"
        table.add_row(
            study,
            str(len(records)),
            f"{max(accuracy):.4f}",
            share,
            f"{chosen.metrics['val_accuracy']:.4f}",
            millions(chosen.cost.macs),
        )
    console.print(table)
    if any(folder.completed() for folder in folders):
        sweep = StudyFolder(str(Path(config.results_dir, "sweeps")), config.study)
        front = write_sweep_front(folders, sweep)
        console.print(
            f"the front of all: {front['on_front'].sum()} of {len(front)} candidates, in "
            f"{sweep / 'front.csv'} and front.png"
        )
