"""Everything that is to be known of a data set before a search, and the files that show it."""

import csv
import io
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from blocks.files import write_whole
from blocks.images.walk import passed_csv
from blocks.messages import say
from blocks.network import Network
from blocks.subject import Subject
from search.config.schema import RunConfig
from search.data.batches import normalisation
from search.data.classes import UNEQUAL
from search.data.splits import ImageData
from search.look.augmented import augmented_sheet
from search.look.counts import class_counts, imbalance, largest_class
from search.look.duplicates import Duplicates, find_duplicates
from search.look.features import probe_network
from search.look.linear_probe import Probe, probe_pixels
from search.look.sheets import class_sheets
from search.look.sizes import Sizes
from search.look.source import image_sizes, read_all, row_names
from search.record.folder import StudyFolder

FOLDER = "look"
"""In a study's folder, which is none of a study before a search has been there."""


@dataclass(frozen=True)
class Look:
    """`counts`: a row per class, a column per split. `refused`: whether a search with these
    settings stops at a file that cannot be read. `probes`: on the pixels, and on
    the features of a trained network, where one was given. `mean` and `std` per channel, of
    pixels in 0…1, as training normalises."""

    config: RunConfig
    data: ImageData
    counts: pd.DataFrame
    refused: bool
    sizes: Sizes | None
    duplicates: Duplicates
    mean: tuple[float, ...]
    std: tuple[float, ...]
    probes: tuple[Probe, ...]

    @property
    def folder(self) -> Path:
        """Where its files are written."""
        return StudyFolder(self.config.results_dir, self.config.study) / FOLDER

    @property
    def imbalance(self) -> float:
        """The largest class over the smallest, in training images."""
        return imbalance(self.counts)

    @property
    def largest_class(self) -> tuple[str, dict[str, float]]:
        """Its name, and what always answering it reaches, by split."""
        return largest_class(self.counts)

    @property
    def suggestions(self) -> dict[str, str]:
        """Settings that these images ask for."""
        found = {}
        if self.refused:
            found["dataset.on_corrupt"] = "skip"
        if self.imbalance > UNEQUAL and self.data.several:
            found["proxy.class_weights"] = "balanced"
        elif self.imbalance > UNEQUAL:
            found |= {"search.metric": "balanced_accuracy", "proxy.class_weights": "balanced"}
        return found


def look(config: RunConfig, trained: tuple[Subject, Network] | None = None) -> Look:
    """Look at the images that a search with these settings would train on, with the features of a
    trained network too if there is one. Nothing is written.

    Raises:
        DataError: the images are missing, or too few.
        ExportError: see `probe_network`.
    """
    source = read_all(config)
    data = source.data
    say("comparing the images of the splits")
    duplicates = find_duplicates(data)
    probes = []
    if config.search.probe:
        say("fitting a linear probe on the pixels")
        probes.append(probe_pixels(data, config.proxy.size))
    if trained is not None:
        probes.append(probe_network(data, *trained))
    mean, std = normalisation(data, config.proxy.size)
    return Look(
        config,
        data,
        class_counts(data),
        source.refused,
        image_sizes(config, data),
        duplicates,
        tuple(mean),
        tuple(std),
        tuple(probes),
    )


def write_look(found: Look) -> list[Path]:
    """Write the contact sheets and tables, in the place of those of an earlier look; the paths."""
    contents: dict[str, bytes] = {}
    for number, page in enumerate(class_sheets(found.data), 1):
        contents["data.png" if number == 1 else f"data-{number}.png"] = page
    contents["augment.png"] = augmented_sheet(found.data, found.config.proxy)
    contents["classes.csv"] = found.counts.to_csv().encode()
    contents["duplicates.csv"] = _duplicates_csv(found)
    contents["skipped.csv"] = passed_csv(found.data.passed).encode()
    folder = found.folder
    folder.mkdir(parents=True, exist_ok=True)
    for stale in folder.glob("data-*.png"):
        if stale.name not in contents:
            stale.unlink()
    for name, content in contents.items():
        write_whole(folder / name, content)
    return [folder / name for name in contents]


def _duplicates_csv(found: Look) -> bytes:
    columns = ["kind", "similarity", "split", "image", "class"]
    columns += ["other_split", "other_image", "other_class"]
    twins = found.duplicates.twins
    names = row_names(found.config, found.data) if twins else {}

    def place(split: str, row: int) -> list[str]:
        label = getattr(found.data, split).labels[row]
        own = label.nonzero().flatten() if found.data.several else label.view(1)
        given = ";".join(found.data.classes[number] for number in own.tolist())
        return [split, names[split][row], given]

    rows: list[list[Any]] = [
        [
            *(twin.kind, twin.similarity),
            *place(twin.split, twin.row),
            *place(twin.other_split, twin.other_row),
        ]
        for twin in twins
    ]
    return _csv(columns, rows)


def _csv(columns: list[str], rows: list[list[Any]]) -> bytes:
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerows([columns, *rows])
    return text.getvalue().encode(errors="surrogateescape")
