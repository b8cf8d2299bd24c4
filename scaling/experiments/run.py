"""Training an experiment's variants, and what their test images tell."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pandas as pd

from blocks.arch import format_arch
from blocks.files import write_whole
from scaling.compound import ScalingError
from scaling.differences import Difference, difference, pooled_noise
from scaling.experiments.config import CHANGES, Experiment, Variant
from scaling.training.images import find_source
from scaling.training.loop import Watcher
from scaling.training.result import Trained
from scaling.training.run import train
from scaling.training.settings import Asked, read_train
from scaling.training.targets import find_targets


@dataclass(frozen=True)
class Outcome:
    """A variant's trainings. `lead` is the mean accuracy (or mAP) of its seeds less that of the
    first variant's, with an interval by the noise of the seeds of all; None of the first."""

    variant: Variant
    trained: tuple[Trained, ...]
    lead: Difference | None

    @property
    def values(self) -> list[float]:
        """What each seed reached on the test images, a fraction."""
        return [float(each.test[each.measure]["value"]) for each in self.trained]

    @property
    def seconds_an_epoch(self) -> float:
        """Of its trainings, the mean."""
        how = [each.content["trained"] for each in self.trained]
        return float(np.mean([each["seconds"] / each["epochs"] for each in how]))


@dataclass(frozen=True)
class Finding:
    """All variants, and the table that was written of them."""

    experiment: Experiment
    outcomes: tuple[Outcome, ...]
    path: Path


def run_experiment(
    experiment: Experiment, seeds: int, overrides: Sequence[str], watcher: Watcher | None = None
) -> Finding:
    """Train every variant with every seed, as `scaling train` does with these settings; what is
    trained already is read. Writes experiments/NAME.csv in the study's folder.

    Raises:
        ScalingError, StudyError, ConfigError, DataError, TrainingError: as `scaling train`.
    """
    found: list[list[Trained]] = []
    for variant in experiment.variants:
        # Settings of the command line hold for all, those of the variant come after them.
        asked = read_train([*overrides, *variant.settings])
        if asked.config.study is None and asked.images is None:
            asked = replace(asked, config=replace(asked.config, study="main"))
        if asked.config.name or asked.config.compare or asked.config.rivals:
            raise ScalingError(
                "name=, compare= and rivals= are not of an experiment, which has its own"
            )
        found.append(
            [
                _one(experiment, variant, asked, seed, watcher)
                for seed in range(asked.config.seed, asked.config.seed + seeds)
            ]
        )
    values = np.array(
        [[each.test[each.measure]["value"] for each in some] for some in found], dtype=float
    )
    noise = pooled_noise(values)
    outcomes = tuple(
        Outcome(variant, tuple(some), difference(own, values[0], noise) if place else None)
        for place, (variant, some, own) in enumerate(
            zip(experiment.variants, found, values, strict=True)
        )
    )
    path = found[0][0].folder.parents[1] / "experiments" / f"{experiment.name}.csv"
    path.parent.mkdir(exist_ok=True)
    write_whole(path, _table(outcomes).to_csv(index=False).encode())
    return Finding(experiment, outcomes, path)


def _one(
    experiment: Experiment, variant: Variant, asked: Asked, seed: int, watcher: Watcher | None
) -> Trained:
    config = replace(asked.config, name=f"{experiment.name}-{variant.name}-{seed}", seed=seed)
    if variant.change is not None:
        [target] = find_targets(config, find_source(asked).folder)
        changed = CHANGES[variant.change](target.arch)
        if format_arch(changed) == format_arch(target.arch):
            raise ScalingError(f"change={variant.change} changes nothing of {target.arch}")
        recipe = config.recipe
        if recipe.dropout is None:  # by size: that of the network as it was
            recipe = replace(recipe, dropout=target.sized_dropout)
        config = replace(config, network=format_arch(changed), member=None, recipe=recipe)
    [trained] = train(replace(asked, config=config), watcher).trained
    return trained


def _table(outcomes: Sequence[Outcome]) -> pd.DataFrame:
    rows = []
    for each in outcomes:
        arch = each.trained[0].content["arch"]
        cost = each.trained[0].content["cost"]
        lead = each.lead
        rows.append(
            {
                "variant": each.variant.name,
                "macs": cost["macs"],
                "params": cost["params"],
                "mean": round(float(np.mean(each.values)), 5),
                **{f"seed_{place}": round(value, 5) for place, value in enumerate(each.values)},
                "lead": None if lead is None else round(lead.value, 5),
                "low": None if lead is None else round(lead.low, 5),
                "high": None if lead is None else round(lead.high, 5),
                "seconds_an_epoch": round(each.seconds_an_epoch, 3),
                "arch": arch,
            }
        )
    return pd.DataFrame(rows)
