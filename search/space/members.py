"""The members of a search space that meet the budget, as samplers see them."""

import itertools
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import fields, replace
from typing import Any, Final, Protocol

import numpy as np
from numpy.typing import NDArray
from optuna.distributions import BaseDistribution, CategoricalDistribution

from blocks.arch import ArchSpec, format_arch
from blocks.cost import ArchColumns, Cost, CostColumns
from search.errors import ConfigError
from search.samplers.box import Box
from search.samplers.candidates import Code, Codes, Features
from search.space.budget import Budget
from search.space.choices import SearchSpace
from search.space.identity import identities
from search.space.shape import describe_shape
from search.space.widths import DEPTHS, deepened, fit, with_widths

MAX_CACHED: Final = 200_000
"""Codes whose costs are kept: an ask looks at some ten thousand, many of them again."""
MAX_DRAWS: Final = 50_000
"""Random combinations, after which the rest are children of what is feasible so far."""
MAX_GENERATIONS: Final = 20
CHILDREN: Final = 2000
"""Of each of these generations."""
LARGE: Final = 1000
"""Members from which on a sample at a target is drawn from those that are solved already."""
SHARED: Final = 12_000
"""How many these are: solving widths costs more than all else of an ask."""


class ScoreModel(Protocol):
    """Whoever predicts zero-cost scores from features (candidates, features)."""

    def predict(self, features: Features) -> Features:
        """(candidates, scores)."""


class SpaceCandidates:
    """`Candidates` of a space under a budget: nothing infeasible is ever proposed.

    A model reads the choices, the logarithms of the exact costs and the shape of the network that
    would be evaluated (at a target: of the solved one, with its widths' change), and, where a study
    has scored members, predicted zero-cost scores.
    """

    def __init__(self, space: SearchSpace, budget: Budget, num_classes: int) -> None:
        self.space = space
        self.budget = budget
        self.num_classes = num_classes
        self.distributions: Mapping[str, BaseDistribution] = {
            name: CategoricalDistribution(values) for name, values in space.choices.items()
        }
        self._box = Box(self.distributions)
        self._optional = list(_optional_stages(space.choices))
        self._known: dict[bytes, tuple[float, ...]] = {}
        self._shared: Codes | None = None
        self._scores: ScoreModel | None = None

    def read_scores(self, model: ScoreModel) -> None:
        """Have predicted scores among the features from here on."""
        self._known.clear()
        self._scores = model

    def __len__(self) -> int:
        return len(self._box)

    def encode(self, params: Mapping[str, Any]) -> Code | None:
        """The code of one combination; None where a value is none of the choices."""
        return self._box.encode(params)

    def decode(self, code: Code) -> dict[str, Any]:
        """The combination behind a code."""
        return self._box.decode(code)

    def sample(self, number: int, generator: np.random.Generator) -> Codes:
        """At most `number` feasible combinations, uniformly at random.

        Where the budget leaves so few that chance does not find enough, the rest are mutations
        of those that it found, and of the smallest member. Large samples at a target come from
        `SHARED` members, the same ones every time.
        """
        if self.budget.target is not None and LARGE <= number <= SHARED:
            if self._shared is None:
                self._shared = self._draw(SHARED, np.random.default_rng(0))
            order = generator.permutation(len(self._shared))
            return self._shared[order[:number]]
        return self._draw(number, generator)

    def _draw(self, number: int, generator: np.random.Generator) -> Codes:
        found = np.zeros((0, len(self.distributions)))
        drawn, block = 0, number
        while len(found) < number and drawn < min(MAX_DRAWS, len(self)):
            codes = self._box.sample(block, generator)
            found = np.concatenate([found, self._feasible(codes)])
            drawn, block = drawn + len(codes), min(4 * block, MAX_DRAWS)
        if len(found) < number < len(self):
            found = self._grown(found, number, generator)
        return found[:number]

    def _grown(self, codes: Codes, number: int, generator: np.random.Generator) -> Codes:
        """`codes` and feasible mutations of them, without repetition."""
        smallest = self._box.encode(self.space.least(self.num_classes))
        assert smallest is not None
        known = {code.tobytes(): code for code in codes}
        known |= {code.tobytes(): code for code in self._feasible(smallest[None])}
        for _ in range(MAX_GENERATIONS):
            if not known or len(known) >= number:
                break
            for code in self.vary(np.array(list(known.values())), CHILDREN, generator):
                known.setdefault(code.tobytes(), code)
        return np.array(list(known.values())).reshape(-1, len(self.distributions))

    def vary(self, parents: Codes, number: int, generator: np.random.Generator) -> Codes:
        """The feasible ones of `number` children of `parents`."""
        return self._feasible(self._box.vary(parents, number, generator))

    def near(self, code: Code) -> Codes:
        """The feasible ones that differ from `code` in a single choice."""
        return self._feasible(self._box.near(code))

    def features(self, codes: Codes) -> Features:
        """Ranks of the choices, logarithms of the costs, the network's shape, predicted scores if
        there are any."""
        return np.concatenate([self._ranks(codes), self._costs(codes)[:, 2:]], 1)

    def identities(self, codes: Codes) -> NDArray[np.float64]:
        """Of the networks that would be evaluated."""
        return self._costs(codes)[:, 1] if len(codes) else np.zeros(0)

    def network(self, values: Mapping[str, Any]) -> tuple[ArchSpec, Cost, float]:
        """The network that one combination stands for, its cost, and by how much (a share) it
        is outside of the budget: above 0 it may not be evaluated."""
        code = self._box.encode(values)
        assert code is not None
        columns, costs = fit(self.budget, self.space.columns(code[None]), self.num_classes)
        arch = self.space.build(values)
        if self.budget.target is not None:
            stages = range(1, len(self.space.config.stages) + 1)
            skip = [values[f"stage{number}.skip"] for number in stages]
            arch = with_widths(arch, columns, 0, skip)
        value = self.budget.measure(columns, self.num_classes, costs)[0]
        return arch, costs[0], float(self.budget.excess(value))

    def find(self, arch: ArchSpec) -> dict[str, Any]:
        """The combination of which `arch` is the network; at a target, the one of its kernels,
        expansions, repeats, … whose solved widths are nearest to its own.

        Raises:
            ConfigError: it is not in the space, or outside of the budget; says why.
        """
        combinations = [
            shape
            | {f"stage{n}.repeats": r for n, r in zip(numbers, repeats, strict=True)}
            | {f"stage{n}.width": w for n, w in zip(numbers, width, strict=True)}
            | dict(zip(wholes, whole, strict=True))
            for shape, numbers in self._shapes(arch)
            for repeats in self._repeats(arch, numbers)
            for width in itertools.product(*self._choices_of(numbers, "width"))
            for wholes in [[n for n in ("stem.width", "head.width") if n in self.space.choices]]
            for whole in itertools.product(*(self.space.choices[name] for name in wholes))
        ]
        if not combinations:
            raise ConfigError(f"{arch} is not in the space: no member has its repeats")
        codes = np.array([self._box.encode(combination) for combination in combinations])
        columns, _ = fit(self.budget, self.space.columns(codes), self.num_classes)
        kept = [np.flatnonzero(row) for row in columns.present]
        channels = np.array([row[at] for row, at in zip(columns.channels, kept, strict=True)])
        repeats_of = np.array([row[at] for row, at in zip(columns.repeats, kept, strict=True)])
        widths_of = np.column_stack([channels, columns.stem, columns.head])
        wanted = [*(stage.channels for stage in arch.stages), arch.stem, arch.head]
        distances = np.abs(np.log1p(widths_of) - np.log1p(wanted)).sum(1)
        deep = (repeats_of != [stage.repeats for stage in arch.stages]).any(1)
        chosen = combinations[int(np.argmin(distances + 1e6 * deep))]
        network, _, excess = self.network(chosen)
        free = self.budget.target is not None
        if network != arch and not (free and _shape(network) == _shape(arch)):
            raise ConfigError(f"{arch} is not in the space; the nearest is {network}")
        if excess > 0:
            columns = ArchColumns.from_archs([network])
            value = self.budget.measure(columns, self.num_classes)[0]
            raise ConfigError(
                f"{network} is outside of the budget ({self.budget}): {value:.10g} "
                f"{self.budget.metric}"
            )
        return chosen

    def _choices_of(self, numbers: Sequence[int], name: str) -> list[tuple[Any, ...]]:
        return [self.space.choices[f"stage{number}.{name}"] for number in numbers]

    def _repeats(self, arch: ArchSpec, numbers: Sequence[int]) -> list[tuple[int, ...]]:
        """The choices of repeats, of the stages `numbers`, that may lead to those of `arch`."""
        deepens = self.budget.target is not None and self.budget.solve == "width_depth"
        found: dict[tuple[int, ...], None] = {}
        for factor in DEPTHS if deepens else (1.0,):
            options = [
                [
                    repeats
                    for repeats in choices
                    if repeats and deepened(np.array(repeats), factor) == stage.repeats
                ]
                for choices, stage in zip(
                    self._choices_of(numbers, "repeats"), arch.stages, strict=True
                )
            ]
            found |= dict.fromkeys(itertools.product(*options))
        return list(found)

    def _shapes(self, arch: ArchSpec) -> list[tuple[dict[str, Any], tuple[int, ...]]]:
        """Each choice that the spelling shows, and which stages of the space are its own.

        Where stages may be left out there can be several ways.

        Raises:
            ConfigError: there is none; says why the first was none.
        """
        stages = range(1, len(self.space.config.stages) + 1)
        found: list[tuple[dict[str, Any], tuple[int, ...]]] = []
        refused: list[ConfigError] = []
        for numbers in itertools.combinations(stages, len(arch.stages)):
            left_out = [number for number in stages if number not in numbers]
            if any(0 not in self.space.choices[f"stage{n}.repeats"] for n in left_out):
                continue
            try:
                values = self._all_but_sizes(arch, numbers)
            except ConfigError as error:
                refused.append(error)
                continue
            found += [(values | pattern, numbers) for pattern in self.space.patterns(arch, numbers)]
        if found:
            return found
        if refused:
            raise refused[0]
        if len(arch.stages) != len(stages):
            raise ConfigError(
                f"{arch} has {len(arch.stages)} stages, the space {len(self.space.config.stages)}"
            )
        raise ConfigError(f"{arch} is not in the space: no member halves the map where it does")

    def _all_but_sizes(self, arch: ArchSpec, numbers: Sequence[int]) -> dict[str, Any]:
        """Each choice that the spelling shows, its stages being those `numbers`."""
        values = {name: options[0] for name, options in self.space.choices.items()}
        for number in range(1, len(self.space.config.stages) + 1):
            if number not in numbers:
                values[f"stage{number}.repeats"] = 0
        shown: dict[str, Any] = {"resolution": arch.resolution}
        for number, stage in zip(numbers, arch.stages, strict=True):
            for name in ("kernel", "expand_ratio", "se_ratio", "skip"):
                shown[f"stage{number}.{name}"] = getattr(stage, name)
        for name, value in shown.items():
            options = self.space.choices[name]
            if name.endswith(".skip") and value not in options:
                shown[name] = options[0]  # without a shortcut both are the same network
            elif value not in options:
                expected = ", ".join(map(str, options))
                raise ConfigError(f"{arch} is not in the space: {name}={value}; it has {expected}")
        return values | shown

    def _ranks(self, codes: Codes) -> Features:
        """Of the choices; all of a stage that is left out as the first, as they say nothing."""
        said = codes.copy()
        for repeats, none, others in self._optional:
            said[np.ix_(codes[:, repeats] == none, others)] = 0.0
        return self._box.features(said)

    def _feasible(self, codes: Codes) -> Codes:
        return codes[self._costs(codes)[:, 0] <= 0]

    def _costs(self, codes: Codes) -> NDArray[np.float64]:
        """(codes, 2 + costs + 1 + SHAPE + scores): excess over the budget, the network's identity,
        the logarithms of its costs and of its widths' change, its shape, the scores."""
        keys = [code.tobytes() for code in codes]
        new = np.array(
            [position for position, key in enumerate(keys) if key not in self._known], dtype=int
        )
        if len(self._known) + len(new) > MAX_CACHED:
            self._known.clear()
            new = np.arange(len(keys))
        if len(new):
            shapes = self.space.columns(codes[new])
            columns, costs = fit(self.budget, shapes, self.num_classes)
            values = self.budget.measure(columns, self.num_classes, costs)
            rows = [self.budget.excess(values), identities(columns)]
            rows += [np.log(getattr(costs, field.name)) for field in fields(CostColumns)]
            here = shapes.present
            rows.append(np.log((columns.channels * here).sum(1) / (shapes.channels * here).sum(1)))
            found = np.concatenate([np.stack(rows, 1), describe_shape(columns)], 1)
            if self._scores is not None:
                read = np.concatenate([self._ranks(codes[new]), found[:, 2:]], 1)
                found = np.concatenate([found, self._scores.predict(read)], 1)
            for position, row in zip(new, found, strict=True):
                self._known[keys[position]] = tuple(row)
        return np.array([self._known[key] for key in keys]).reshape(len(keys), -1)


def _optional_stages(
    choices: Mapping[str, tuple[Any, ...]],
) -> Iterator[tuple[int, int, list[int]]]:
    """Of each stage that may be left out: the place of its repeats among the choices, the choice
    that leaves it out, and the places of what else is chosen of it."""
    names = list(choices)
    for place, name in enumerate(names):
        stage, _, field = name.rpartition(".")
        if field == "repeats" and 0 in choices[name]:
            others = [n for n, other in enumerate(names) if other.startswith(f"{stage}.")]
            others.remove(place)
            yield place, choices[name].index(0), others


def draw_members(candidates: SpaceCandidates, number: int, seed: int) -> list[str]:
    """At most `number` distinct random feasible members of a space, as spellings."""
    generator = np.random.default_rng(seed)
    found: dict[str, None] = {}
    for code in candidates.sample(4 * number, generator):
        found[format_arch(candidates.network(candidates.decode(code))[0])] = None
        if len(found) == number:
            break
    return list(found)


def too_few(budget: Budget, found: int, least: int) -> ConfigError:
    """That the budget leaves not enough of the space."""
    return ConfigError(
        f"{found} members of the space within the budget ({budget}) were found; expected {least} "
        "or more"
    )


def _shape(arch: ArchSpec) -> ArchSpec:
    """All of an architecture but its widths, and the shortcuts that only some widths have."""
    stages = tuple(replace(stage, channels=8, skip=True) for stage in arch.stages)
    return replace(arch, stem=8, head=min(arch.head, 8), stages=stages)
