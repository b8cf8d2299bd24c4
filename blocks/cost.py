"""What a network costs, by arithmetic, and the measuring tool that referees it.

`macs` are the papers' multiply-adds: convolutions and linear layers only. `flops_fvcore` is
fvcore's total in eval mode: the same multiply-adds, plus 2 per batch-norm output element (5
under group norm) and 1 per element that adaptive average pooling reads (fvcore
`jit_handles.py`). Activations, max pooling, additions and the squeeze-excite product are
counted by neither.

A formula per kind of block, `FORMULAS`, holds for whole numbers and for NumPy columns alike:
`count` walks one architecture, `count_many` sorts the blocks of many by their shape and applies
each formula once to all blocks of a shape.
"""

import warnings
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, fields
from operator import attrgetter
from typing import TYPE_CHECKING, Any, Final, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from blocks.arch import BOTTLENECKS, ArchSpec
from blocks.errors import ArchError, CostMismatchError
from blocks.rounding import expanded_channels, squeezed_channels

if TYPE_CHECKING:
    from blocks.network import Network

Integers = NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Cost:
    """Integers for one input image: parameters, multiply-adds, fvcore's total, activations.

    `activations` are the outputs of convolutions and linear layers, in elements
    (Designing Network Design Spaces, arXiv 2003.13678).
    """

    params: int
    macs: int
    flops_fvcore: int
    activations: int


@dataclass(frozen=True, slots=True)
class CostColumns:
    """`Cost` of many architectures: four int64 arrays of equal length, in their order."""

    params: Integers
    macs: Integers
    flops_fvcore: Integers
    activations: Integers

    def __len__(self) -> int:
        return len(self.params)

    def __getitem__(self, index: int) -> Cost:
        return Cost(
            int(self.params[index]),
            int(self.macs[index]),
            int(self.flops_fvcore[index]),
            int(self.activations[index]),
        )


class Part(NamedTuple):
    """Cost of a block: conv macs, normalised elements, pooled elements, …; numbers or columns."""

    params: Any
    conv: Any
    norm_elements: Any
    pooled: Any
    activations: Any


class Shape(NamedTuple):
    """Which of a block's optional convolutions are there: one formula holds per shape."""

    block: str
    squeezes: bool
    projects: bool  # a bottleneck's shortcut is a convolution


class Sizes(NamedTuple):
    """A block's numbers or columns: channels in and out, inner and squeezed width, areas, taps."""

    inputs: Any
    outputs: Any
    hidden: Any
    squeezed: Any
    in_area: Any
    out_area: Any
    taps: Any
    groups: Any


def conv_part(inputs: Any, outputs: Any, area: Any, taps: Any = 1) -> Part:
    """A normalised convolution of `inputs` (per group) to `outputs` channels on an output map."""
    weights = inputs * outputs * taps
    elements = outputs * area
    return Part(weights + 2 * outputs, weights * area, elements, 0, elements)


def _squeeze_excite(hidden: Any, squeezed: Any, area: Any) -> Part:
    weights = 2 * hidden * squeezed  # both convolutions have a bias
    return Part(weights + hidden + squeezed, weights, 0, hidden * area, hidden + squeezed)


def _add(*parts: Part) -> Part:
    params, conv, norm_elements, pooled, activations = parts[0]
    # Not in place: the first part's columns may be another's too.
    for part in parts[1:]:
        params = params + part.params
        conv = conv + part.conv
        norm_elements = norm_elements + part.norm_elements
        pooled = pooled + part.pooled
        activations = activations + part.activations
    return Part(params, conv, norm_elements, pooled, activations)


def _mbconv(shape: Shape, n: Sizes) -> Part:
    parts = [conv_part(1, n.hidden, n.out_area, n.taps), conv_part(n.hidden, n.outputs, n.out_area)]
    if shape.block == "ir":
        parts.append(conv_part(n.inputs, n.hidden, n.in_area))
    if shape.squeezes:
        parts.append(_squeeze_excite(n.hidden, n.squeezed, n.out_area))
    return _add(*parts)


def _fused_mbconv(shape: Shape, n: Sizes) -> Part:
    parts = [
        conv_part(n.inputs, n.hidden, n.out_area, n.taps),
        conv_part(n.hidden, n.outputs, n.out_area),
    ]
    if shape.squeezes:
        parts.append(_squeeze_excite(n.hidden, n.squeezed, n.out_area))
    return _add(*parts)


def _conv_block(shape: Shape, n: Sizes) -> Part:
    return conv_part(n.inputs, n.outputs, n.out_area, n.taps)


def _bottleneck(shape: Shape, n: Sizes) -> Part:
    parts = [
        conv_part(n.inputs, n.hidden, n.in_area),
        conv_part(n.hidden // n.groups, n.hidden, n.out_area, n.taps),
        conv_part(n.hidden, n.outputs, n.out_area),
    ]
    if shape.projects:
        parts.append(conv_part(n.inputs, n.outputs, n.out_area))
    return _add(*parts)


FORMULAS: Final[dict[str, Callable[[Shape, Sizes], Part]]] = {
    "ir": _mbconv,
    "ds": _mbconv,
    "er": _fused_mbconv,
    "cn": _conv_block,
    "bt": _bottleneck,
    "bx": _bottleneck,
}
"""Block token (`blocks.arch.BLOCKS`) → its cost."""


def count(arch: ArchSpec, num_classes: int = 1000) -> Cost:
    """The exact cost of `Network(arch, num_classes)` at `arch.resolution`, without building it."""
    params = conv = norm_elements = pooled = activations = 0
    for _, repeats, part in _parts(arch):
        params += repeats * part.params
        conv += repeats * part.conv
        norm_elements += repeats * part.norm_elements
        pooled += repeats * part.pooled
        activations += repeats * part.activations
    linear, linear_params, linear_activations = _linear(arch, num_classes)
    macs = conv + linear
    return Cost(
        params=params + linear_params,
        macs=macs,
        flops_fvcore=macs + _norm_flops(arch) * norm_elements + pooled,
        activations=activations + linear_activations,
    )


def count_by_operator(arch: ArchSpec, num_classes: int = 1000) -> dict[str, int]:
    """`flops_fvcore` split as fvcore's `by_operator()` splits it."""
    norm = "group_norm" if arch.norm_group_size else "batch_norm"
    totals = {"conv": 0, norm: 0, "adaptive_avg_pool2d": 0}
    for _, repeats, part in _parts(arch):
        totals["conv"] += repeats * part.conv
        totals[norm] += repeats * _norm_flops(arch) * part.norm_elements
        totals["adaptive_avg_pool2d"] += repeats * part.pooled
    return {**totals, "linear": _linear(arch, num_classes)[0]}


def count_by_stage(arch: ArchSpec, num_classes: int = 1000) -> list[Cost]:
    """`count` split into stem, each stage, and head with classifier; the sum is `count`."""
    costs = [Cost(0, 0, 0, 0) for _ in range(len(arch.stages) + 2)]
    macs, params, activations = _linear(arch, num_classes)
    linear = Part(params, macs, 0, 0, activations)
    for where, repeats, part in [*_parts(arch), (-1, 1, linear)]:
        before = costs[where]
        fvcore = part.conv + _norm_flops(arch) * part.norm_elements + part.pooled
        costs[where] = Cost(
            before.params + repeats * part.params,
            before.macs + repeats * part.conv,
            before.flops_fvcore + repeats * fvcore,
            before.activations + repeats * part.activations,
        )
    return costs


def count_many(archs: Sequence[ArchSpec], num_classes: int = 1000) -> CostColumns:
    """`count` of every architecture, as columns: the same formulas on NumPy arrays.

    Raises:
        ArchError: a network of 10¹⁸ macs or more, which 64 bits cannot count.
    """
    columns = ArchColumns.from_archs(archs)
    # The widest a block can be, in floating point: it overflows to a large number, not to a small.
    width = np.maximum(columns.channels.max(initial=1), columns.stem.max(initial=1)).astype(float)
    ratio = max(1.0, float(columns.expand_ratio.max(initial=1)))
    most = width**2 * ratio * float(columns.resolution.max(initial=1)) ** 2
    most *= float(columns.kernel.max(initial=1)) ** 2 * float(columns.repeats.max(initial=1))
    if most * 32 > 1e18:
        for arch in archs:
            if count(arch, num_classes).macs >= 10**18:
                raise ArchError(f"{arch} has 10^18 macs or more, too many to count in columns")
    return columns.count(num_classes)


def _norm_flops(arch: ArchSpec) -> int:
    return 5 if arch.norm_group_size else 2


def _linear(arch: ArchSpec, num_classes: int) -> tuple[int, int, int]:
    """macs, params and activations of the linear layers behind the pooling."""
    features = arch.head or arch.stages[-1].channels
    hidden = arch.head_hidden
    if not hidden:
        macs = features * num_classes
        return macs, macs + num_classes, num_classes
    macs = features * hidden + hidden * num_classes
    return macs, macs + hidden + num_classes, hidden + num_classes


def _parts(arch: ArchSpec) -> Iterator[tuple[int, int, Part]]:
    """(where, how often, cost) of each stage's first and later blocks, from stem to head.

    The stem is at 0, stages count from 1, and what comes behind them is at -1.
    """
    side = -(-arch.resolution // arch.stem_stride)
    stem_taps = arch.stem_kernel * arch.stem_kernel
    yield 0, 1, conv_part(arch.in_channels, arch.stem, side * side, stem_taps)
    if arch.stem_pool:
        side = -(-side // 2)
    channels = arch.stem
    for number, stage in enumerate(arch.stages, 1):
        out_side = -(-side // stage.stride)
        area, taps, out = out_side * out_side, stage.kernel * stage.kernel, stage.channels
        formula = FORMULAS[stage.block]
        hidden, squeezed = _inner_widths(arch, stage, channels)
        projects = (
            stage.block in BOTTLENECKS and stage.skip and (stage.stride != 1 or channels != out)
        )
        shape = Shape(stage.block, stage.se_ratio > 0, projects)
        sizes = Sizes(channels, out, hidden, squeezed, side * side, area, taps, stage.groups)
        yield number, 1, formula(shape, sizes)
        if stage.repeats > 1:
            hidden, squeezed = _inner_widths(arch, stage, out)
            sizes = Sizes(out, out, hidden, squeezed, area, area, taps, stage.groups)
            yield number, stage.repeats - 1, formula(shape._replace(projects=False), sizes)
        side, channels = out_side, out
    area = side * side
    if arch.global_residual:
        for stage in arch.stages[:-1]:
            yield -1, 1, conv_part(stage.channels, channels, area)
    if arch.head:
        part = conv_part(channels, arch.head, area)
        yield -1, 1, part._replace(pooled=part.activations)
    else:
        yield -1, 1, Part(0, 0, 0, channels * area, 0)


def _inner_widths(arch: ArchSpec, stage: Any, channels: int) -> tuple[int, int]:
    """Expanded (or bottleneck) and squeezed width of a block that `channels` enter."""
    base = stage.channels if stage.block in BOTTLENECKS else channels
    hidden = expanded_channels(base, stage.expand_ratio)
    if not stage.se_ratio:
        return hidden, 0
    base = hidden if arch.se_base == "expanded" else channels
    return hidden, squeezed_channels(base, stage.se_ratio, arch.se_divisor)


_STAGE_FIELDS = attrgetter(
    "repeats", "kernel", "stride", "channels", "groups", "skip", "expand_ratio", "se_ratio"
)
_ARCH_NAMES: Final = (
    "stem",
    "head",
    "resolution",
    "in_channels",
    "stem_stride",
    "stem_kernel",
    "stem_pool",
    "head_hidden",
    "se_divisor",
    "norm_group_size",
    "global_residual",
)
_ARCH_FIELDS = attrgetter(*_ARCH_NAMES)
BLOCK_NUMBERS: Final = {block: number for number, block in enumerate(FORMULAS)}
"""Block token → its number in `ArchColumns.block`."""


@dataclass
class ArchColumns:
    """Architectures as arrays, to be costed together.

    Fields of whole networks have shape (archs,), fields of stages (archs, most stages), where
    `present` says which stages a network has. A search fills them by choice, without making an
    `ArchSpec` of every candidate; `dataclasses.replace` changes some of them.
    """

    stem: Integers
    head: Integers
    resolution: Integers
    in_channels: Integers
    stem_stride: Integers
    stem_kernel: Integers
    stem_pool: Integers
    head_hidden: Integers
    se_divisor: Integers
    norm_group_size: Integers
    global_residual: Integers
    se_expanded: NDArray[np.bool_]
    present: NDArray[np.bool_]
    block: Integers  # BLOCK_NUMBERS of the block's token
    repeats: Integers
    kernel: Integers
    stride: Integers
    channels: Integers
    groups: Integers
    skip: NDArray[np.bool_]
    expand_ratio: NDArray[np.float64]
    se_ratio: NDArray[np.float64]

    @classmethod
    def from_archs(cls, archs: Sequence[ArchSpec]) -> "ArchColumns":
        """The columns of architectures, in their order."""
        whole = np.array([_ARCH_FIELDS(arch) for arch in archs], dtype=np.int64)
        whole = whole.reshape(-1, len(_ARCH_NAMES))
        depth = np.array([len(arch.stages) for arch in archs], dtype=np.int64)
        stages = [stage for arch in archs for stage in arch.stages]
        rows = np.array([_STAGE_FIELDS(stage) for stage in stages], dtype=np.float64).reshape(-1, 8)
        present = np.arange(int(depth.max(initial=0))) < depth[:, None]
        padded = np.ones((*present.shape, 9))
        padded[present, :8] = rows
        padded[present, 8] = [BLOCK_NUMBERS[stage.block] for stage in stages]
        repeats, kernel, stride, channels, groups = (
            padded[:, :, column].astype(np.int64) for column in range(5)
        )
        return cls(
            **dict(zip(_ARCH_NAMES, whole.T, strict=True)),
            se_expanded=np.array([arch.se_base == "expanded" for arch in archs], dtype=bool),
            present=present,
            block=padded[:, :, 8].astype(np.int64),
            repeats=repeats,
            kernel=kernel,
            stride=stride,
            channels=channels,
            groups=groups,
            skip=padded[:, :, 5] > 0,
            expand_ratio=padded[:, :, 6],
            se_ratio=padded[:, :, 7],
        )

    def __len__(self) -> int:
        return len(self.stem)

    def take(self, rows: ArrayLike) -> "ArchColumns":
        """The architectures at `rows` (positions or a mask), which may repeat."""
        chosen = np.asarray(rows)
        values = {field.name: getattr(self, field.name)[chosen] for field in fields(self)}
        return ArchColumns(**values)

    def count(self, num_classes: int) -> CostColumns:
        """`count` of every architecture, unchecked for overflow."""
        archs = len(self)
        depth = self.present.sum(1)
        self.totals = Part(*(np.zeros(archs, dtype=np.int64) for _ in Part._fields))
        everyone = np.arange(archs)
        side = -(-self.resolution // self.stem_stride)
        stem_taps = self.stem_kernel**2
        self._sum(everyone, conv_part(self.in_channels, self.stem, side**2, stem_taps))
        side = np.where(self.stem_pool, -(-side // 2), side)
        channels = self.stem
        for position in range(self.channels.shape[1]):
            here = self.present[:, position]
            out_side = np.where(here, -(-side // self.stride[:, position]), side)
            out = np.where(here, self.channels[:, position], channels)
            # The first block of the stage, and the later ones, whose input is the stage's output.
            self._stage(position, here, channels, out, side**2, out_side**2, first=True)
            later = here & (self.repeats[:, position] > 1)
            self._stage(position, later, out, out, out_side**2, out_side**2, first=False)
            side, channels = out_side, out
        area = side**2
        for position in range(self.channels.shape[1] - 1):
            rows = np.flatnonzero((self.global_residual > 0) & (position < depth - 1))
            self._sum(rows, conv_part(self.channels[rows, position], channels[rows], area[rows]))
        features = np.where(self.head, self.head, channels)
        rows = np.flatnonzero(self.head)
        self._sum(rows, conv_part(channels[rows], self.head[rows], area[rows]))
        pooled = self.totals.pooled + features * area
        hidden = self.head_hidden
        linear = features * np.where(hidden, hidden, num_classes) + hidden * num_classes
        macs = self.totals.conv + linear
        norm_flops = np.where(self.norm_group_size, 5, 2)
        return CostColumns(
            params=self.totals.params + linear + hidden + num_classes,
            macs=macs,
            flops_fvcore=macs + norm_flops * self.totals.norm_elements + pooled,
            activations=self.totals.activations + hidden + num_classes,
        )

    def _stage(
        self,
        position: int,
        here: NDArray[np.bool_],
        channels: Integers,
        out: Integers,
        in_area: Integers,
        out_area: Integers,
        *,
        first: bool,
    ) -> None:
        """Add the first blocks (or all later ones) of every architecture's stage at `position`."""
        block = self.block[:, position]
        squeezes = self.se_ratio[:, position] > 0
        changes = (self.stride[:, position] != 1) | (channels != out)
        bottleneck = np.isin(block, [BLOCK_NUMBERS[name] for name in BOTTLENECKS])
        projects = bottleneck & self.skip[:, position] & changes & first
        shape_number = (block * 2 + squeezes) * 2 + projects
        for number in np.unique(shape_number[here]):
            rows = np.flatnonzero(here & (shape_number == number))
            name = list(FORMULAS)[number // 4]
            shape = Shape(name, bool(number // 2 % 2), bool(number % 2))
            hidden = self._expanded(
                rows, position, (out if name in BOTTLENECKS else channels)[rows]
            )
            sizes = Sizes(
                channels[rows],
                out[rows],
                hidden,
                self._squeezed(rows, position, channels[rows], hidden) if shape.squeezes else 0,
                in_area[rows],
                out_area[rows],
                self.kernel[rows, position] ** 2,
                self.groups[rows, position],
            )
            times = 1 if first else self.repeats[rows, position] - 1
            self._sum(rows, FORMULAS[name](shape, sizes), times)

    def inner_widths(
        self, position: int, channels: Integers, out: Integers
    ) -> tuple[Integers, Integers]:
        """Expanded (or bottleneck) and squeezed width of every architecture's block at stage
        `position` that `channels` enter; the latter is 0 where nothing squeezes."""
        everyone = np.arange(len(self))
        numbers = [BLOCK_NUMBERS[name] for name in BOTTLENECKS]
        base = np.where(np.isin(self.block[:, position], numbers), out, channels)
        hidden = self._expanded(everyone, position, base)
        squeezed = self._squeezed(everyone, position, channels, hidden)
        return hidden, np.where(self.se_ratio[:, position] > 0, squeezed, 0)

    def _expanded(self, rows: Integers, position: int, base: Integers) -> Integers:
        """`blocks.rounding.expanded_channels` of columns."""
        # rint rounds half to even, as Python's round does.
        hidden: Integers = np.rint(base * self.expand_ratio[rows, position]).astype(np.int64)
        return hidden

    def _squeezed(
        self, rows: Integers, position: int, channels: Integers, hidden: Integers
    ) -> Integers:
        """`blocks.rounding.squeezed_channels` of columns."""
        base = np.where(self.se_expanded[rows], hidden, channels)
        asked, divisor = base * self.se_ratio[rows, position], self.se_divisor[rows]
        whole = np.maximum(1, asked.astype(np.int64))
        rounded = (asked + divisor / 2).astype(np.int64) // divisor * divisor
        rounded = np.maximum(divisor, rounded)
        rounded += np.where(rounded < 0.9 * asked, divisor, 0)
        squeezed: Integers = np.where(divisor == 1, whole, rounded)
        return squeezed

    def _sum(self, rows: Integers, part: Part, times: Any = 1) -> None:
        for total, column in zip(self.totals, part, strict=True):
            total[rows] += times * column


def measure_flops_fvcore(network: "Network") -> dict[str, int]:
    """fvcore's own count of a built network, by operator, for one image in eval mode.

    Runs a forward pass on the device and in the number format of the network, and keeps every
    intermediate tensor until it is done. The network is given back in the mode it came in.
    """
    # Imported here, as arithmetic needs no tensors: the only use of fvcore.
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from fvcore.nn import FlopCountAnalysis

    arch = network.arch
    was_training = network.training
    network.eval()
    try:
        image = next(network.parameters()).new_zeros(
            1, arch.in_channels, arch.resolution, arch.resolution
        )
        # tracer_warnings: the tracer speaks of values that a plain CNN never branches on.
        analysis = (
            FlopCountAnalysis(network, image)
            .unsupported_ops_warnings(False)
            .uncalled_modules_warnings(False)
            .tracer_warnings("none")
        )
        return {operator: int(flops) for operator, flops in analysis.by_operator().items()}
    finally:
        network.train(was_training)


def referee(network: "Network") -> Cost:
    """The arithmetic cost of a built network, confirmed by fvcore and by its own parameters.

    Raises:
        CostMismatchError: arithmetic and measurement differ.
    """
    num_classes = network.classifier.out_features
    cost = count(network.arch, num_classes)
    measured = sum(measure_flops_fvcore(network).values())
    params = sum(parameter.numel() for parameter in network.parameters())
    if (measured, params) != (cost.flops_fvcore, cost.params):
        raise CostMismatchError(
            f"{network.arch}: counted flops_fvcore {cost.flops_fvcore}, params {cost.params}; "
            f"fvcore measured {measured}, the network has {params} params"
        )
    return cost
