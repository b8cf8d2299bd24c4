"""Where the settings of a training come from: a command line, or the keywords of a call."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from blocks.names import did_you_mean
from scaling.training.checks import validate_train
from scaling.training.config import RecipeConfig, TrainConfig, bare_train, recipe_named
from search.config.build import build, setting_kinds
from search.config.checks import check_images
from search.config.compose import compose_config, register_schema
from search.config.face import config_from
from search.config.schema import RunConfig
from search.errors import ConfigError

register_schema("train_schema", TrainConfig, bare_train())
IMAGES = ("dataset", "task")
"""Groups of settings that are those of the images, as `search run` takes them."""
LISTED = "python -m scaling train --help lists the settings"


@dataclass(frozen=True)
class Asked:
    """What was asked for: the settings, and those of the images, where any were given."""

    config: TrainConfig
    images: RunConfig | None


def read_train(overrides: Sequence[str]) -> Asked:
    """`study=main member=b1 recipe.epochs=20` as settings, checked.

    Raises:
        ConfigError, ScalingError: a misspelt setting, or a value that cannot be.
    """
    own: list[str] = []
    others: list[str] = []
    for line in overrides:
        name = line.lstrip("+~").partition("=")[0]
        (others if name.partition(".")[0] in IMAGES else own).append(line)
    config: TrainConfig = compose_config("train", own, TrainConfig)
    images: RunConfig | None = None
    if others:
        images = compose_config("config", others, RunConfig)
        check_images(images)
    validate_train(config)
    return Asked(config, images)


def make_train(settings: Mapping[str, Any]) -> Asked:
    """Keywords of a call as settings, checked like those of a command line.

    `recipe` is the name of one, or a mapping with, if need be, its `name`; `dataset` as
    `search.run` takes it.

    Raises:
        ConfigError, ScalingError: as `read_train`.
    """
    own = {name: value for name, value in settings.items() if name not in IMAGES}
    others = {name: value for name, value in settings.items() if name in IMAGES}
    known = setting_kinds(TrainConfig)
    for name in own:
        if name not in known and name not in ("recipe", "distil"):
            raise ConfigError(f"unknown setting {name!r}{did_you_mean(name, list(known))}")
    recipe = own.pop("recipe", None)
    config = build(TrainConfig, {**own}, base=TrainConfig(), listed=LISTED)
    if recipe is not None:
        config = replace(config, recipe=_recipe(recipe))
    images = config_from(**others) if others else None
    if images is not None:
        check_images(images)
    validate_train(config)
    return Asked(config, images)


def _recipe(given: Any) -> RecipeConfig:
    if isinstance(given, RecipeConfig):
        return given
    if isinstance(given, str):
        return recipe_named(given)
    if not isinstance(given, Mapping):
        raise ConfigError(f"recipe={given!r} is no name of a recipe and no mapping of settings")
    base = recipe_named(str(given["name"])) if "name" in given else TrainConfig().recipe
    return build(RecipeConfig, given, "recipe", base, LISTED)
