"""An adapter to copy: digit strings of MBConv networks, as tables of a whole space have them.

    python -m search benchmark table.path=table.json \\
        table.adapter=results/examples/digit_strings.py table.num_classes=10

The file is one JSON object, {"2103100…": {"val_accuracy": 0.91, …}, …}. A string has a digit for
each choice, from the first stage to the last, in every stage in the order of CHOICES: the digit d
is the d-th of the values there, from 0. So "210" is three blocks with 5×5 kernels that expand to
3 times their input. Metrics are whatever numbers the file has, accuracies as fractions.

For a table of your own, write down its skeleton (STAGES, and what `read` gives the ArchSpec) and
what its digits stand for, and compare `params` with those that the table's authors give: the
benchmark counts them for every network. `read(path)` may yield an architecture's spelling in
place of an ArchSpec, and need not hold the file in memory.
"""

import json
from collections.abc import Iterator
from pathlib import Path

from blocks.arch import ArchSpec, StageSpec

STAGES = ((1, 16), (2, 24), (2, 40), (2, 80))  # stride and channels
CHOICES = {"repeats": (1, 2, 3), "kernel": (3, 5, 7), "expand_ratio": (3, 6)}
RESOLUTION = 32


def read(path: Path) -> Iterator[tuple[ArchSpec, dict[str, float]]]:
    """(architecture, metrics) of every record."""
    for digits, metrics in json.loads(path.read_text()).items():
        if len(digits) != len(STAGES) * len(CHOICES):
            raise ValueError(f"{digits!r} is not {len(STAGES) * len(CHOICES)} digits")
        following = iter(digits)
        stages = []
        for stride, channels in STAGES:
            chosen = {name: values[int(next(following))] for name, values in CHOICES.items()}
            stages.append(
                StageSpec(
                    "ir",
                    repeats=chosen["repeats"],
                    kernel=chosen["kernel"],
                    stride=stride,
                    expand_ratio=chosen["expand_ratio"],
                    channels=channels,
                )
            )
        yield ArchSpec(stem=16, stages=tuple(stages), head=320, resolution=RESOLUTION), metrics
