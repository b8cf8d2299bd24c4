"""The search space: choices per stage in, architectures out."""

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Final

import numpy as np
from numpy.typing import NDArray

from blocks.arch import ArchSpec, StageSpec
from blocks.arch.walk import has_identity
from blocks.cost import BLOCK_NUMBERS, ArchColumns, count
from blocks.errors import ArchError
from blocks.rounding import ROUNDINGS, round_column
from search.config.schema import SpaceConfig
from search.errors import ConfigError
from search.space.budget import Budget
from search.space.widths import fit

if TYPE_CHECKING:
    import optuna

UNLIMITED: Final = 10**18
"""Multiply-adds that no member has."""
DRAWS: Final = 20
"""Combinations that are drawn for each member asked for, some being the same network."""
SHAPES_TRIED: Final = 1000
"""Random shapes that are solved before a target is called out of reach."""


@dataclass(frozen=True)
class SearchSpace:
    """Architectures spanned by lists of choices.

    `choices` maps a parameter's name (`stage1.kernel`, …) to its values. Every member has
    every parameter, so that samplers see one fixed box.
    """

    config: SpaceConfig
    in_channels: int
    choices: Mapping[str, tuple[Any, ...]]

    @classmethod
    def named(
        cls,
        space: str = "tiny",
        resolution: int = 28,
        in_channels: int = 3,
        num_classes: int = 10,
        **settings: Any,
    ) -> "SearchSpace":
        """A space of conf/space, with settings of the group `space` changed.

            SearchSpace.named("tiny", resolution=32, kernel=[3, 5])

        Raises:
            ConfigError: there is no such space, or a setting cannot be.
        """
        from search.config.face import config_from

        changed = {f"space.{name}": value for name, value in settings.items()}
        config = config_from(space=space, **changed)
        most = Budget("macs", UNLIMITED)
        return build_space(config.space, resolution, in_channels, num_classes, most)

    def draw(self, number: int, seed: int = 0) -> list[ArchSpec]:
        """At most `number` distinct random members, the same ones for the same seed."""
        generator = np.random.default_rng(seed)
        found: dict[ArchSpec, None] = {}
        for _ in range(DRAWS * number):
            values = {
                name: options[int(generator.integers(len(options)))]
                for name, options in self.choices.items()
            }
            found[self.build(values)] = None
            if len(found) == number:
                break
        return list(found)

    def __len__(self) -> int:
        """Combinations of choices; some spell the same architecture."""
        return math.prod(len(values) for values in self.choices.values())

    def suggest(self, trial: "optuna.Trial") -> dict[str, Any]:
        """The choices that the study's sampler proposes for `trial`."""
        return {
            name: trial.suggest_categorical(name, options) for name, options in self.choices.items()
        }

    def build(self, values: Mapping[str, Any]) -> ArchSpec:
        """The architecture of one combination of choices."""
        stages: list[StageSpec] = []
        round_channels = ROUNDINGS[self.config.rounding]
        for number, stage in enumerate(self.config.stages, 1):
            expand_ratio = values[f"stage{number}.expand_ratio"]
            repeats = values[f"stage{number}.repeats"]
            channels = round_channels(stage.channels * values[f"stage{number}.width"])
            entering = stages[-1].channels if stages else self.config.stem
            # Without a shortcut to drop, with and without one are the same network: one spelling.
            has_shortcut = has_identity(repeats, stage.stride, entering, channels)
            stages.append(
                StageSpec(
                    block="ds" if expand_ratio == 1 else "ir",
                    repeats=repeats,
                    kernel=values[f"stage{number}.kernel"],
                    stride=stage.stride,
                    expand_ratio=expand_ratio,
                    channels=channels,
                    se_ratio=values[f"stage{number}.se_ratio"],
                    skip=values[f"stage{number}.skip"] or not has_shortcut,
                )
            )
        return ArchSpec(
            stem=self.config.stem,
            stages=tuple(stages),
            head=self.config.head,
            resolution=values["resolution"],
            act=self.config.act,
            stem_stride=self.config.stem_stride,
            in_channels=self.in_channels,
            global_residual=self.config.global_residual,
        )

    def columns(self, codes: NDArray[np.float64]) -> ArchColumns:
        """`build` of many combinations at once, as columns.

        `codes` (combinations, parameters) are positions in `choices`, in their order.
        """
        positions = codes.astype(np.int64)
        chosen = {
            name: np.asarray(options)[positions[:, place]]
            for place, (name, options) in enumerate(self.choices.items())
        }
        stages = range(1, len(self.config.stages) + 1)

        def of_stages(name: str) -> Any:
            return np.stack([chosen[f"stage{number}.{name}"] for number in stages], 1)

        template = self.build({name: options[0] for name, options in self.choices.items()})
        same = ArchColumns.from_archs([template]).take(np.zeros(len(codes), dtype=np.int64))
        expand_ratio = of_stages("expand_ratio").astype(np.float64)
        width = of_stages("width").astype(np.float64)
        base = np.array([stage.channels for stage in self.config.stages], dtype=np.float64)
        return replace(
            same,
            resolution=chosen["resolution"].astype(np.int64),
            block=np.where(expand_ratio == 1, BLOCK_NUMBERS["ds"], BLOCK_NUMBERS["ir"]),
            repeats=of_stages("repeats").astype(np.int64),
            kernel=of_stages("kernel").astype(np.int64),
            channels=round_column(self.config.rounding, base * width),
            expand_ratio=expand_ratio,
            se_ratio=of_stages("se_ratio").astype(np.float64),
            skip=of_stages("skip").astype(bool),
        )

    def largest(self) -> ArchSpec:
        """The member of the greatest choices."""
        return self.build({name: max(values) for name, values in self.choices.items()})

    def smallest(self) -> ArchSpec:
        """The cheapest member: macs rise with every choice, so it is the corner of least values."""
        return self.build({name: min(values) for name, values in self.choices.items()})


def build_space(
    config: SpaceConfig, proxy_resolution: int, in_channels: int, num_classes: int, budget: Budget
) -> SearchSpace:
    """The space of a configuration, checked.

    Raises:
        ConfigError: an empty list, a value no block can have, or a budget that not even the
            cheapest member meets, or hardly any shape can be brought to.
    """
    if not config.stages:
        raise ConfigError("space.stages is empty; expected at least one stage")
    choices: dict[str, tuple[Any, ...]] = {}
    resolutions = config.resolution if config.resolution is not None else [proxy_resolution]
    choices["resolution"] = _choices("space.resolution", resolutions)
    for number, stage in enumerate(config.stages, 1):
        if stage.channels < 1:
            raise ConfigError(
                f"space.stages (stage {number}) channels={stage.channels} is not 1 or more"
            )
        for name in ("repeats", "kernel", "expand_ratio", "se_ratio", "width", "skip"):
            own = getattr(stage, name)
            # Counted from 1 for people; Hydra's own list index stays out of it.
            where = f"space.stages (stage {number}) {name}" if own else f"space.{name}"
            values = own if own is not None else getattr(config, name)
            choices[f"stage{number}.{name}"] = _choices(where, values)
            for value in values:
                if name == "width" and not (math.isfinite(value) and value > 0):
                    raise ConfigError(f"{where}={value} is not a positive number")
                _check_choice(where, name, value)
    space = SearchSpace(config, in_channels, choices)
    try:
        smallest = space.smallest()
    except ArchError as error:
        raise ConfigError(f"space: {error}") from None
    if budget.target is not None:
        _check_target(space, budget, num_classes)
        return space
    least = count(smallest, num_classes).macs
    if least > budget.most:
        raise ConfigError(
            f"budget.max_macs={budget.most} is below every member of the space; the smallest has "
            f"{least} macs: {smallest}"
        )
    return space


def _check_target(space: SearchSpace, budget: Budget, num_classes: int) -> None:
    """Refuse a target that none of some random shapes can be brought to."""
    generator = np.random.default_rng(0)
    sizes = np.array([len(values) for values in space.choices.values()])
    codes = np.floor(generator.random((SHAPES_TRIED, len(sizes))) * sizes)
    assert budget.target is not None
    solved, _ = fit(budget, space.columns(codes), num_classes)
    values = budget.measure(solved, num_classes)
    if (budget.excess(values) > 0).all():
        nearest = values[np.argmin(np.abs(np.log(values / budget.target)))]
        raise ConfigError(
            f"budget.target={budget.target} {budget.metric} ± {100 * budget.tolerance:.3g}% is out "
            f"of reach: of {SHAPES_TRIED} random shapes of the space, widths solved, the nearest "
            f"has {nearest:.10g}"
        )


def _choices(where: str, values: list[Any]) -> tuple[Any, ...]:
    if not values:
        raise ConfigError(f"{where} is empty; expected at least one choice")
    if len(set(values)) != len(values):
        raise ConfigError(f"{where}={values} holds a choice twice")
    return tuple(values)


def _check_choice(where: str, name: str, value: Any) -> None:
    """Let the block itself say whether it can be built with this value."""
    if name == "width":
        return
    fields: dict[str, Any] = {"repeats": 1, "kernel": 3, "expand_ratio": 2, "se_ratio": 0.0}
    fields[name] = value
    block = "ds" if fields["expand_ratio"] == 1 else "ir"
    try:
        StageSpec(block, stride=1, channels=8, **fields)
    except ArchError as error:
        raise ConfigError(f"{where}: {error}") from None
