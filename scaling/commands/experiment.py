"""`python -m scaling experiment NAME`: one network, trained in several ways."""

import numpy as np
from rich.table import Table

from blocks.console import console, millions
from blocks.names import counted
from scaling.commands.train import Screen
from scaling.differences import in_points
from scaling.experiments.config import experiment_names, read_experiment, split_arguments
from scaling.experiments.run import Finding, run_experiment


def run(arguments: list[str]) -> None:
    """Train the variants of an experiment, and show how they stand."""
    from search.evaluators.process import keep_memory

    name, seeds, settings = split_arguments(arguments)
    experiment = read_experiment(name)
    keep_memory()
    console.print(experiment.about)
    show(run_experiment(experiment, seeds, settings, Screen()))


def show(found: Finding) -> None:
    """The table, and where it lies."""
    first = found.outcomes[0]
    images = first.trained[0].content["dataset"]["test"]
    measure = "mAP" if first.trained[0].several else "accuracy"
    screen = Table(
        title=f"{found.experiment.name}: test {measure} of "
        f"{counted(len(first.trained), 'seed')}, {counted(images, 'image')}; "
        "differences in points with 95%",
        title_justify="left",
    )
    for heading in (
        "",
        "macs",
        measure,
        f"less {first.variant.name}'s",
        "s an epoch",
    ):
        screen.add_column(heading, justify="right" if heading else "left")
    for each in found.outcomes:
        lead = each.lead
        screen.add_row(
            each.variant.name,
            millions(each.trained[0].content["cost"]["macs"]),
            f"{100 * float(np.mean(each.values)):.2f}",
            "" if lead is None else in_points(lead.value, lead.low, lead.high),
            f"{each.seconds_an_epoch:.2f}",
        )
    console.print(screen)
    told = [each for each in found.outcomes if each.lead is not None and each.lead.distinguishable]
    for each in told:
        assert each.lead is not None
        word = "better" if each.lead.value > 0 else "worse"
        console.print(f"{each.variant.name} is {word} than {first.variant.name}")
    if not told:
        console.print("no variant is told apart from the first")
    console.print(f"wrote {found.path}")


def help_text() -> str:
    """What there is."""
    lines = [
        "usage: python -m scaling experiment NAME [seeds=N] [SETTING=VALUE ...]",
        "",
        "Trains one network in several ways, each with N seeds (3), and says how they differ on",
        "the test images. Settings are those of python -m scaling train, and hold for all ways.",
        "",
        "experiments (files of conf/experiment, which say their time and what to expect)",
    ]
    for name in experiment_names():
        about = read_experiment(name).about.splitlines()
        lines.append(f"  {name:18} {about[0]}")
    lines += ["", "example", "  python -m scaling experiment mixup study=main recipe.epochs=20"]
    return "\n".join(lines) + "\n"
