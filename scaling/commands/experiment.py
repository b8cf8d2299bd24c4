"""`python -m scaling experiment NAME`: the experiments of the EfficientNet story."""

import textwrap

from rich.table import Table

from blocks.console import console
from scaling.commands.train import Screen
from scaling.experiments.config import (
    KINDS,
    TrainedOptions,
    experiment_names,
    read_experiment,
    split_arguments,
)
from scaling.experiments.run import run_experiment
from scaling.experiments.table import Finding
from search.config.listing import list_settings


def run(arguments: list[str]) -> None:
    """Run an experiment, and show how its ways stand."""
    from search.evaluators.process import keep_memory

    experiment, options, settings = split_arguments(arguments)
    keep_memory()
    console.print(experiment.about)
    show(run_experiment(experiment, options, settings, Screen()))


def show(found: Finding) -> None:
    """The table, what it says, and where it lies."""
    screen = Table(title=found.title, title_justify="left")
    words = ("", "resolution")
    for heading in found.headings:
        screen.add_column(heading, justify="left" if heading in words else "right")
    for cells in found.shown:
        screen.add_row(*cells)
    console.print(screen)
    for line in found.said:
        console.print(line)
    console.print(f"wrote {', '.join(map(str, found.paths))}")


def help_text() -> str:
    """What there is."""
    lines = [
        "usage: python -m scaling experiment NAME [SETTING=VALUE ...]",
        "",
        "Trains one network in several ways, each with several seeds, and says how they differ on",
        "the test images; or what its line below says. Without study=NAME it is a small network",
        "and the images that are shipped: minutes. With it, the study's B0 and images. Settings",
        "are those of python -m scaling train, and hold for all ways.",
        "",
        "experiments (files of conf/experiment, which say their time and what was measured)",
    ]
    kinds: dict[str, list[str]] = {kind: [] for kind in KINDS}
    for name in experiment_names():
        found = read_experiment(name)
        kinds[found.kind].append(name)
        first, *rest = textwrap.wrap(found.about.splitlines()[0], 72)
        lines += [f"  {name:20} {first}", *(f"  {'':20} {line}" for line in rest)]
    lines += ["", "settings beside those of python -m scaling train"]
    meaning = list_settings(TrainedOptions())[0].meaning
    for kind, names in kinds.items():
        lines.append(f"  of {', '.join(names)}")
        for setting in list_settings(KINDS[kind]()):
            said = setting.meaning or meaning  # inherited: its comment is in another class
            lines.append(f"    {setting.name}={setting.kind}  [{setting.default}]")
            lines += [f"        {line}" for line in textwrap.wrap(said, 88)]
    lines += [
        "",
        "examples",
        "  python -m scaling experiment mixup",
        "  python -m scaling experiment mixup study=main seeds=5",
        "  python -m scaling experiment pretraining study=main weights=b0.pth",
    ]
    return "\n".join(lines) + "\n"
