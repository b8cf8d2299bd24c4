"""From a user's settings to what a study runs with: images, members, and settings in force."""

import math
from dataclasses import dataclass, replace
from typing import Final

from search.config.checks import check_epochs, validate
from search.config.places import require_executor
from search.config.schema import EPOCHS, RunConfig
from search.config.settled import SettledConfig
from search.config.storage import require_driver
from search.data.datasets import DATASETS, load_data
from search.data.splits import ImageData
from search.errors import ConfigError
from search.evaluators.workers import PROCESS_BYTES, plan_workers, workers_for
from search.record.folder import StudyFolder
from search.samplers import SAMPLERS
from search.space.budget import cost_budget
from search.space.choices import build_space
from search.space.latency_budget import check_latency
from search.space.members import SpaceCandidates
from search.training.device import resolve_device, settle_device

LEAST_STEPS: Final = 200
"""Steps of training before which the order of networks was seen to be worth little."""
WHOLE_STEPS: Final = 3 * LEAST_STEPS
"""Steps of a whole training at least, where its epochs are not given."""


@dataclass(frozen=True)
class Settled:
    """What a search is about: settings in force, images, members of the space."""

    config: SettledConfig
    data: ImageData
    members: SpaceCandidates


def check_settings(config: RunConfig) -> None:
    """Refuse what no search could run with, before any image is read.

    Raises:
        ConfigError: names the setting, its value, and what was expected.
    """
    validate(config, list(SAMPLERS), list(DATASETS))
    require_executor(config.where)
    require_driver(config.storage)
    check_latency(config)


def open_members(config: RunConfig) -> tuple[ImageData, SpaceCandidates]:
    """The images, and the members of the space within the budget.

    Raises:
        ConfigError, DataError: a space that does not fit the images, images that cannot be read.
    """
    data = load_data(config.dataset, config.proxy.size, config.several)
    return data, members_of(config, data)


def members_of(config: RunConfig, data: ImageData) -> SpaceCandidates:
    """The members of the space within the budget, for these images.

    Raises:
        ConfigError: the space does not fit the images, or the budget cannot be met.
    """
    return members_for(config, data.in_channels, data.num_classes)


def members_for(config: RunConfig, in_channels: int, num_classes: int) -> SpaceCandidates:
    """The members of the space within the budget, for images of so many channels and classes.

    Raises:
        ConfigError: the space does not fit the images, or the budget cannot be met.
    """
    if config.proxy.rand_augment and in_channels not in (1, 3):
        raise ConfigError(
            f"proxy.rand_augment={config.proxy.rand_augment:g} changes colours, which images of "
            f"{in_channels} channels have not; expected 0"
        )
    budget = cost_budget(config)
    space = build_space(config.space, config.proxy.size, in_channels, num_classes, budget)
    return SpaceCandidates(space, budget, num_classes)


def settle(config: RunConfig, folder: StudyFolder | None = None) -> Settled:
    """Load the images, build the space, and decide what the settings leave open.

    A study that exists in `folder` keeps the device, precision and number of workers that it
    began with.

    Raises:
        ConfigError, DataError, StudyError: see the messages.
    """
    data, members = open_members(config)
    return Settled(decide(config, data, members, folder), data, members)


def steps_an_epoch(config: RunConfig, images: int) -> int:
    """Training steps of the proxy in an epoch of so many images."""
    return max(1, images // config.proxy.batch_size)


def with_epochs(config: RunConfig, images: int) -> RunConfig:
    """`config` with the epochs of a training, where none are asked for: of few images more."""
    proxy = config.proxy
    if proxy.epochs is not None:
        return config
    epochs = max(EPOCHS, math.ceil(WHOLE_STEPS / steps_an_epoch(config, images)))
    return replace(config, proxy=replace(proxy, epochs=epochs))


def with_rung(config: RunConfig, images: int) -> RunConfig:
    """`config` with a first rung that comes after `LEAST_STEPS`, where none is asked for; without a
    pruner where the schedule is too short for that."""
    search = config.search
    if search.pruner is not None or search.min_epochs is not None or config.pruner == "none":
        return config
    first = math.ceil(LEAST_STEPS / steps_an_epoch(config, images))
    if first <= config.min_epochs:
        return config
    if first < config.proxy.whole_epochs:
        return replace(config, search=replace(search, min_epochs=first))
    return replace(config, search=replace(search, pruner="none"))


def decide(
    config: RunConfig,
    data: ImageData,
    members: SpaceCandidates,
    folder: StudyFolder | None = None,
    images: int | None = None,
) -> SettledConfig:
    """`config` with its epochs, first rung, device, precision and number of workers decided, for so
    many training images (None: those of `data`).

    Raises:
        ConfigError: a first rung, or a longer schedule, that the epochs leave no room for.
    """
    images = len(data.train) if images is None else images
    config = with_rung(with_epochs(config, images), images)
    check_epochs(config)
    if config.storage is None and folder is not None and (folder / "config.yaml").exists():
        config = replace(config, storage=folder.read_config().storage)
    device, precision = settle_device(config, members, images, folder)
    known = replace(
        config,
        workers=replace(config.workers, device=device),
        proxy=replace(config.proxy, precision=precision),
    )
    count = plan_workers(known, members.space, data, folder)
    return SettledConfig.of(config, count, device, precision)


def settled_as_stored(config: RunConfig) -> SettledConfig:
    """A stored configuration, in force again; studies of old versions left some of it open."""
    count = config.workers.count or workers_for(config.workers.threads, PROCESS_BYTES)
    precision = "fp32" if config.proxy.precision == "auto" else config.proxy.precision
    device = resolve_device(config.workers.device, config.where.elsewhere)
    return SettledConfig.of(config, count, device, precision)
