"""The search space: choices per stage in, architectures out."""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import product
from typing import TYPE_CHECKING, Any, Final

import numpy as np
from numpy.typing import NDArray

from blocks.arch import ArchSpec, Size, StageSpec, size_from
from blocks.arch.walk import has_identity
from blocks.cost import BLOCK_NUMBERS, ArchColumns, count
from blocks.errors import ArchError
from blocks.rounding import ROUNDINGS, round_column
from search.config.schema import SpaceConfig
from search.errors import ConfigError
from search.space.automatic import automatic
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
    every parameter, so that samplers see one fixed box. `image` is what the proxy sees; members of
    another resolution, which is their height, are as wide in proportion.
    """

    config: SpaceConfig
    in_channels: int
    image: Size
    choices: Mapping[str, tuple[Any, ...]]

    @classmethod
    def named(
        cls,
        space: str = "tiny",
        resolution: int | str = 28,
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
        image = size_from(resolution, "resolution")
        return build_space(config.space, image, in_channels, num_classes, most)

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

    @property
    def largest_image(self) -> Size:
        """Of all members' images."""
        return self.image.at_height(max(self.choices["resolution"]))

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
        stem = _times(round_channels, self.config.stem, values.get("stem.width"))
        numbers = range(1, len(self.config.stages) + 1)
        kept = [True, *(values[f"stage{number}.repeats"] > 0 for number in numbers)]
        strides = _passed_on(np.array([self._strides(values)]), np.array([kept]))[0]
        for number, stage in enumerate(self.config.stages, 1):
            if not kept[number]:
                continue
            stride = int(strides[number])
            expand_ratio = values[f"stage{number}.expand_ratio"]
            repeats = values[f"stage{number}.repeats"]
            channels = round_channels(stage.channels * values[f"stage{number}.width"])
            entering = stages[-1].channels if stages else stem
            # Without a shortcut to drop, with and without one are the same network: one spelling.
            has_shortcut = has_identity(repeats, stride, entering, channels)
            stages.append(
                StageSpec(
                    block="ds" if expand_ratio == 1 else "ir",
                    repeats=repeats,
                    kernel=values[f"stage{number}.kernel"],
                    stride=stride,
                    expand_ratio=expand_ratio,
                    channels=channels,
                    se_ratio=values[f"stage{number}.se_ratio"],
                    skip=values[f"stage{number}.skip"] or not has_shortcut,
                )
            )
        return ArchSpec(
            stem=stem,
            stages=tuple(stages),
            head=_times(round_channels, self.config.head, values.get("head.width")),
            resolution=values["resolution"],
            wide=self.image.at_height(values["resolution"]).width,
            act=self.config.act,
            stem_stride=int(strides[0]),
            in_channels=self.in_channels,
            global_residual=self.config.global_residual,
        )

    def _strides(self, values: Mapping[str, Any]) -> tuple[int, ...]:
        """Of the stem and each stage, as chosen or as configured."""
        if "strides" in values:
            return parse_strides(values["strides"])
        return (self.config.stem_stride, *(stage.stride for stage in self.config.stages))

    def patterns(self, arch: ArchSpec, numbers: Sequence[int]) -> list[dict[str, Any]]:
        """The choices of where to halve the map that lead to `arch`, whose stages are those
        `numbers` of the space; one empty mapping where there is no choice."""
        wanted = (arch.stem_stride, *(stage.stride for stage in arch.stages))
        kept = np.isin(np.arange(len(self.config.stages) + 1), [0, *numbers])[None]
        found: list[dict[str, Any]] = []
        for pattern in self.choices.get("strides", (None,)):
            choice = {} if pattern is None else {"strides": pattern}
            passed = _passed_on(np.array([self._strides(choice)]), kept)[kept]
            if tuple(passed) == wanted or pattern is None:
                found.append(choice)
        return found

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

        template = self.build({name: max(options) for name, options in self.choices.items()})
        same = ArchColumns.from_archs([template]).take(np.zeros(len(codes), dtype=np.int64))
        expand_ratio = of_stages("expand_ratio").astype(np.float64)
        repeats = of_stages("repeats").astype(np.int64)
        if "strides" in chosen:
            patterns = np.array([parse_strides(text) for text in self.choices["strides"]])
            place = list(self.choices).index("strides")
            strides = patterns[positions[:, place]]
        else:
            strides = np.tile(self._strides({}), (len(codes), 1))
        kept = np.column_stack([np.ones(len(codes), dtype=bool), repeats > 0])
        strides = _passed_on(strides, kept)
        width = of_stages("width").astype(np.float64)
        base = np.array([stage.channels for stage in self.config.stages], dtype=np.float64)
        return replace(
            same.at_heights(chosen["resolution"].astype(np.int64), self.image),
            stem=self._whole_width(chosen, "stem", self.config.stem, len(codes)),
            head=self._whole_width(chosen, "head", self.config.head, len(codes)),
            stem_stride=strides[:, 0],
            stride=strides[:, 1:],
            present=kept[:, 1:],
            block=np.where(expand_ratio == 1, BLOCK_NUMBERS["ds"], BLOCK_NUMBERS["ir"]),
            repeats=np.maximum(repeats, 1),
            kernel=of_stages("kernel").astype(np.int64),
            channels=round_column(self.config.rounding, base * width),
            expand_ratio=expand_ratio,
            se_ratio=of_stages("se_ratio").astype(np.float64),
            skip=of_stages("skip").astype(bool),
        )

    def _whole_width(
        self, chosen: Mapping[str, NDArray[Any]], name: str, base: int, rows: int
    ) -> NDArray[np.int64]:
        """Channels of the stem or the head of many combinations."""
        if f"{name}.width" not in chosen:
            return np.full(rows, base, dtype=np.int64)
        return round_column(self.config.rounding, base * chosen[f"{name}.width"].astype(float))

    def largest(self) -> ArchSpec:
        """The member of the greatest choices, its map halved where that costs most."""
        values = {name: max(options) for name, options in self.choices.items()}
        patterns = [{"strides": pattern} for pattern in self.choices.get("strides", ())] or [{}]
        tried = [self.build(values | pattern) for pattern in patterns]
        return max(tried, key=lambda arch: count(arch).activations)

    def least(self, num_classes: int = 1000) -> dict[str, Any]:
        """The choices of the cheapest member.

        Macs rise with every width, kernel and expansion. Where the map is halved, and which
        stages are left out, is tried in every way.
        """
        values = {name: min(options) for name, options in self.choices.items()}
        free = [
            name
            for name, choices in self.choices.items()
            if name == "strides" or (name.endswith(".repeats") and 0 in choices)
        ]
        options = [
            self.choices[name] if name == "strides" else sorted(self.choices[name])[:2]
            for name in free
        ]
        tried = [values | dict(zip(free, pick, strict=True)) for pick in product(*options)]
        return min(tried, key=lambda some: count(self.build(some), num_classes).macs)

    def smallest(self, num_classes: int = 1000) -> ArchSpec:
        """The cheapest member."""
        return self.build(self.least(num_classes))


def build_space(
    config: SpaceConfig, image: Size | int, in_channels: int, num_classes: int, budget: Budget
) -> SearchSpace:
    """The space of a configuration, checked.

    Raises:
        ConfigError: an empty list, a value no block can have, or a budget that not even the
            cheapest member meets, or hardly any shape can be brought to.
    """
    choices: dict[str, tuple[Any, ...]] = {}
    image = size_from(image)
    resolutions = config.resolution if config.resolution is not None else [image.height]
    if not config.stages:
        config = automatic(config, image.at_height(max(resolutions, default=image.height)))
    choices["resolution"] = _choices("space.resolution", resolutions)
    if config.strides is not None:
        choices["strides"] = _choices("space.strides", config.strides)
        for pattern in config.strides:
            _check_strides(pattern, len(config.stages))
    for name, widths in (("stem", config.stem_width), ("head", config.head_width)):
        if widths != [1.0]:
            choices[f"{name}.width"] = _choices(f"space.{name}_width", widths)
            for width in widths:
                _check_width(f"space.{name}_width", width)
    if all(0 in stage.repeats for stage in config.stages):
        raise ConfigError("space.stages: every stage may have 0 repeats; one has to stay")
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
                if name == "width":
                    _check_width(where, value)
                elif not (name == "repeats" and value == 0):
                    _check_choice(where, name, value)
    space = SearchSpace(config, in_channels, image, choices)
    try:
        smallest = space.smallest(num_classes)
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
    fields: dict[str, Any] = {"repeats": 1, "kernel": 3, "expand_ratio": 2, "se_ratio": 0.0}
    fields[name] = value
    block = "ds" if fields["expand_ratio"] == 1 else "ir"
    try:
        StageSpec(block, stride=1, channels=8, **fields)
    except ArchError as error:
        raise ConfigError(f"{where}: {error}") from None


def _check_width(where: str, value: float) -> None:
    if not (math.isfinite(value) and value > 0):
        raise ConfigError(f"{where}={value} is not a positive number")


def _check_strides(pattern: str, stages: int) -> None:
    try:
        strides = parse_strides(pattern)
    except ValueError:
        strides = ()
    if len(strides) != stages + 1 or not set(strides) <= {1, 2}:
        expected = "-".join(["2"] * (stages + 1))
        raise ConfigError(
            f"space.strides={pattern} is not the stride, 1 or 2, of the stem and of {stages} "
            f"stages; expected for example {expected}"
        )


def parse_strides(pattern: str) -> tuple[int, ...]:
    """`2-1-2` → (2, 1, 2): the stem's stride, then each stage's."""
    return tuple(int(stride) for stride in str(pattern).split("-"))


def _times(round_channels: Callable[[float], int], base: int, width: float | None) -> int:
    """A width as configured where there is no choice, else multiplied and rounded."""
    return base if width is None else round_channels(base * width)


def _passed_on(strides: NDArray[np.int64], kept: NDArray[np.bool_]) -> NDArray[np.int64]:
    """The strides of the stem and the stages, (networks, 1 + stages): those of stages that are left
    out go to the next that is kept and halves nothing itself, or, where there is none, to the last
    such before."""
    passed = np.where(kept, strides, 1)
    owed = np.zeros(len(strides), dtype=np.int64)

    def pay(place: int) -> None:
        takes = kept[:, place] & (passed[:, place] == 1) & (owed > 0)
        passed[:, place] += takes
        owed[:] -= takes

    for place in range(strides.shape[1]):
        owed += np.where(kept[:, place], 0, strides[:, place] - 1)
        pay(place)
    for place in reversed(range(strides.shape[1])):
        pay(place)
    return passed
