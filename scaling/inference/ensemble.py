"""Several networks, or several looks at an image, asked together: is that worth its macs?

Probabilities are averaged. What it costs are the macs of all that is run, so that a larger network
of the same cost is what it has to beat.
"""

import itertools
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Final

import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray
from torch import Tensor

from scaling.compound import ScalingError
from scaling.inference.evaluate import Labelled, answers_to
from scaling.inference.model import Model
from scaling.inference.views import VIEWS, View, views_of
from scaling.judging import Figure, bootstrapped, paired_difference

MOST: Final = 4
"""Networks of which every combination is asked."""


@dataclass(frozen=True)
class Asked:
    """Who is asked: `members` of one look each, or one with `views`. `probabilities` are (images,
    classes), `macs` of all that is run for an image; `figures` what it reaches."""

    name: str
    members: tuple[str, ...]
    view: str
    macs: int
    probabilities: Tensor = field(repr=False)
    figures: dict[str, Figure] = field(repr=False)
    right: NDArray[np.float64] = field(repr=False)

    @property
    def single(self) -> bool:
        """Whether it is one network that looks once."""
        return len(self.members) == 1 and self.view == "plain"


@dataclass(frozen=True)
class Compared:
    """One that is asked, and the single network that costs as much or the next more: how far ahead
    of it, with the 95% interval over the same images. None: no single network is that large."""

    asked: Asked
    rival: Asked | None
    lead: Figure | None


@dataclass(frozen=True)
class Ensembles:
    """All that were compared, by macs, the measure that `right` is of, and the images."""

    compared: tuple[Compared, ...]
    measure: str
    labelled: Labelled
    unread: tuple[tuple[Path, str], ...]

    def table(self) -> pd.DataFrame:
        """A row for each."""
        rows = []
        for each in self.compared:
            asked, lead = each.asked, each.lead
            row: dict[str, object] = {
                "name": asked.name,
                "members": " ".join(asked.members),
                "view": asked.view,
                "macs": asked.macs,
            }
            for name, figure in asked.figures.items():
                row |= {name: figure.value, f"{name}_low": figure.low, f"{name}_high": figure.high}
            row["rival"] = None if each.rival is None else each.rival.name
            row["rival_macs"] = None if each.rival is None else each.rival.macs
            for end in ("value", "low", "high"):
                row[f"lead_{end}"] = None if lead is None else getattr(lead, end)
            rows.append(row)
        return pd.DataFrame(rows)


def ensembles(
    models: Sequence[Model],
    labelled: Sequence[Labelled],
    views: Sequence[str] = ("flip", "crops"),
    *,
    batch: int | None = None,
    on_corrupt: str = "refuse",
    draws: int = 1000,
) -> Ensembles:
    """Each network alone, with each of `views`, and any of them together; of more than `MOST`, from
    the cheapest on, the first two, three, …. `labelled`: the same images as each network reads
    them.

    Raises:
        ScalingError: fewer than one network, networks of other classes, or images that differ.
    """
    _check(models, labelled)
    order = sorted(range(len(models)), key=lambda number: models[number].macs)
    found: list[Asked] = []
    unread: tuple[tuple[Path, str], ...] = ()
    kept: Labelled | None = None
    plain: list[Asked] = []
    names = _names(models)
    for number in order:
        model = models[number]
        for view in views_of(views):
            looked, these, unread = answers_to(
                model,
                labelled[number],
                batch=batch,
                on_corrupt=on_corrupt,
                look=partial(_averaged, model, VIEWS[view]),
            )
            if kept is not None and not _same(kept, these):
                raise ScalingError(
                    f"{model.source or model.name} can read other files than "
                    f"{models[order[0]].source or models[order[0]].name}; expected images that all "
                    "can read"
                )
            kept = these
            title = names[number] if view == "plain" else f"{names[number]}, {view}"
            macs = len(VIEWS[view]) * model.macs
            asked = _asked(model, title, (names[number],), view, macs, looked, kept.labels, draws)
            found.append(asked)
            if view == "plain":
                plain.append(asked)
    assert kept is not None
    for some in _together(plain):
        mean = torch.stack([each.probabilities for each in some]).mean(0)
        members = tuple(name for each in some for name in each.members)
        macs = sum(each.macs for each in some)
        found.append(
            _asked(models[0], " + ".join(members), members, "plain", macs, mean, kept.labels, draws)
        )
    found.sort(key=lambda each: each.macs)
    compared = tuple(_compared(each, plain) for each in found)
    return Ensembles(compared, _measure(models[0]), kept, unread)


def _together(plain: Sequence[Asked]) -> list[tuple[Asked, ...]]:
    counts = range(2, len(plain) + 1)
    if len(plain) > MOST:
        return [tuple(plain[:count]) for count in counts]
    return [some for count in counts for some in itertools.combinations(plain, count)]


def _averaged(model: Model, views: Sequence[View], images: Tensor) -> Tensor:
    """The mean of the probabilities of all looks at images (N, C, H, W)."""
    return torch.stack([model.probabilities(view(images)) for view in views]).mean(0)


def _check(models: Sequence[Model], labelled: Sequence[Labelled]) -> None:
    if not models:
        raise ScalingError("there is no network; expected two or more, or one with views")
    first = models[0]
    for model in models[1:]:
        if model.classes != first.classes or model.subject.task != first.subject.task:
            raise ScalingError(
                f"{model.source or model.name} has other classes than "
                f"{first.source or first.name}; expected the same, in the same order"
            )
    if len({len(each) for each in labelled}) > 1:
        raise ScalingError("the networks see different numbers of images")


def _same(one: Labelled, other: Labelled) -> bool:
    return one.paths == other.paths and torch.equal(one.labels, other.labels)


def _names(models: Sequence[Model]) -> list[str]:
    """Of each, and where two are called alike with the folder before it."""
    names = [model.name for model in models]
    return [
        name
        if names.count(name) == 1 or model.source is None
        else f"{model.source.parent.name}/{name}"
        for name, model in zip(names, models, strict=True)
    ]


def _measure(model: Model) -> str:
    return "labels_right" if model.subject.several else "accuracy"


def _asked(
    model: Model,
    name: str,
    members: tuple[str, ...],
    view: str,
    macs: int,
    probabilities: Tensor,
    labels: Tensor,
    draws: int,
) -> Asked:
    if labels.ndim == 2:
        right = ((probabilities >= model.threshold) == (labels > 0)).double().mean(1)
        losses = torch.nn.functional.binary_cross_entropy(
            probabilities.clamp(1e-7, 1 - 1e-7), labels.float(), reduction="none"
        ).mean(1)
    else:
        right = (probabilities.argmax(1) == labels).double()
        losses = -probabilities.gather(1, labels[:, None]).flatten().clamp_min(1e-12).log()

    def measure(rows: Tensor) -> dict[str, float]:
        return {
            _measure(model): float(right[rows].mean()),
            "loss": float(losses[rows].double().mean()),
        }

    figures = bootstrapped(measure, len(labels), draws, 0)
    return Asked(name, members, view, macs, probabilities, figures, right.numpy())


def _compared(asked: Asked, plain: Sequence[Asked]) -> Compared:
    """With the cheapest single network that costs as much or more, and is no part of it."""
    if asked.single:
        return Compared(asked, None, None)
    larger = [each for each in plain if each.macs >= asked.macs]
    if not larger:
        return Compared(asked, None, None)
    rival = min(larger, key=lambda each: each.macs)
    return Compared(asked, rival, paired_difference(asked.right, rival.right))
