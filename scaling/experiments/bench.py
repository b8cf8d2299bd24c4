"""What all trainings of an experiment have in common: the network, the images, the settings."""

import functools
import math
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from blocks.arch import ArchSpec, format_arch
from blocks.cost import count
from scaling.compound import ScalingError, scale
from scaling.experiments.config import CHANGES, SMALL, STUDY, Experiment, Make, Variant
from scaling.rules import find_rule
from scaling.solve import solve
from scaling.target import Target as CostTarget
from scaling.training.images import Source, find_source, load_images
from scaling.training.loop import Unwatched, Watcher
from scaling.training.result import Trained
from scaling.training.run import fit_to, train
from scaling.training.settings import IMAGES, Asked, read_train
from scaling.training.targets import Target, find_targets, suggested_study
from search.data.splits import ImageData


@dataclass(frozen=True)
class Bench:
    """An experiment with its own settings, `options`, and those of all its trainings."""

    experiment: Experiment
    options: Any
    overrides: tuple[str, ...]
    source: Source
    target: Target
    data: ImageData = field(repr=False)
    watcher: Watcher = field(repr=False)

    @property
    def arch(self) -> ArchSpec:
        """The network as it is before anything is done to it."""
        return self.target.arch

    @property
    def macs(self) -> int:
        """Of that network."""
        return count(self.arch, self.data.num_classes).macs

    @property
    def seeds(self) -> range:
        """Of each way's trainings."""
        first = self.asked().config.seed
        return range(first, first + self.options.seeds)

    def asked(self, settings: Sequence[str] = ()) -> Asked:
        """Settings of the command line hold for all ways, those of a way come after them."""
        return _asked([*self.overrides, *settings])

    def path(self, suffix: str = ".csv") -> Path:
        """A file of what was found, experiments/NAME… in the study's folder."""
        return self.source.folder / "experiments" / f"{self.experiment.name}{suffix}"

    def made(self, make: Make) -> ArchSpec:
        """The network with that done to it.

        Raises:
            ScalingError: it cannot be, or changes nothing.
        """
        arch = self.arch
        if make.rule is not None:
            wanted = CostTarget("macs", make.macs * self.macs)
            # Of rules that are compared each has what is nearest to it.
            rule, classes = find_rule(make.rule), self.data.num_classes
            arch = solve(arch, rule, wanted, classes, make.rounding, keep=False).arch
        elif (make.depth, make.width) != (1.0, 1.0):
            arch = scale(arch, make.depth, make.width, rounding=make.rounding)
        if make.change is not None:
            changed = CHANGES[make.change](arch)
            if format_arch(changed) == format_arch(arch):
                raise ScalingError(f"change={make.change} changes nothing of {arch}")
            arch = changed
        return arch

    def train(
        self, variant: Variant, label: str, seed: int, arch: ArchSpec | None = None
    ) -> Trained:
        """One training, in trained/EXPERIMENT-LABEL-SEED; what is trained already is read. `arch`:
        another network than the variant's.

        Raises:
            ScalingError, StudyError, ConfigError, DataError, TrainingError: as `scaling train`.
        """
        asked = self.asked(variant.settings)
        config = replace(asked.config, name=f"{self.experiment.name}-{label}-{seed}", seed=seed)
        if arch is None and not variant.make.nothing:
            arch = self.made(variant.make)
        if arch is not None:
            recipe = config.recipe
            if recipe.dropout is None:  # by size: b0's, or what it has grown by
                more = max(0.0, math.log2(variant.make.macs))
                sized = replace(self.target, phi=self.target.phi + more).sized_dropout
                recipe = replace(recipe, dropout=sized)
            config = replace(
                config, network=format_arch(arch), member=None, resolution=None, recipe=recipe
            )
        [trained] = train(replace(asked, config=config), self.watcher).trained
        return trained


def open_bench(
    experiment: Experiment, options: Any, overrides: Sequence[str], watcher: Watcher | None = None
) -> Bench:
    """The network and the images that are meant: a study's B0, what the settings name, or the
    small network and the images that are shipped.

    Raises:
        ScalingError, StudyError, ConfigError, DataError: as `scaling train`; or several networks.
    """
    lines = tuple(_with_defaults(overrides))
    for variant in experiment.variants:  # a misspelt setting before anything is trained
        _asked([*lines, *variant.settings])
    asked = _asked(lines)
    source = find_source(asked)
    targets = find_targets(asked.config, source.folder)
    if len(targets) > 1:
        raise ScalingError(
            f"member={asked.config.member} names {len(targets)} networks; an experiment is of one"
        )
    data = load_images(source, targets[0].arch.image)
    return Bench(
        experiment,
        options,
        lines,
        source,
        fit_to(targets[0], data),
        data,
        watcher or Unwatched(),
    )


def _with_defaults(overrides: Sequence[str]) -> list[str]:
    given = {line.lstrip("+~").partition("=")[0] for line in overrides}
    if "study" in given:
        return list(overrides)
    own_network = {"network", "member"} & given
    if own_network and suggested_study(_read(tuple(overrides)).config) is not None:
        return list(overrides)  # the file of a study's network, and so its images
    lines = [f"study={STUDY}"]
    lines += [line for line in SMALL if not (own_network and line.startswith("network="))]
    if not any(name.partition(".")[0] in IMAGES for name in given):
        lines.append("dataset=fashion_mnist")
    return [*lines, *overrides]


@functools.lru_cache(maxsize=256)
def _read(overrides: tuple[str, ...]) -> Asked:
    """Every training asks anew, and Hydra takes a quarter of a second."""
    return read_train(overrides)


def _asked(overrides: Sequence[str]) -> Asked:
    asked = _read(tuple(overrides))
    config = asked.config
    if config.name or config.compare or config.rivals:
        raise ScalingError(
            "name=, compare= and rivals= are not of an experiment, which has its own"
        )
    suggested = suggested_study(config)
    if suggested is not None and asked.images is None:
        results_dir, study = suggested
        asked = replace(asked, config=replace(config, results_dir=results_dir, study=study))
    return asked
