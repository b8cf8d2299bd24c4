"""The units of many architectures at once, as arrays: what a search predicts latencies from.

An ask of a search looks at some ten thousand networks, whose widths are solved by trying: of their
million units most are alike, so that only the distinct ones are made a `Unit` of.
"""

from collections.abc import Iterator
from typing import Any, Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from blocks.arch import Size
from blocks.cost import BLOCK_NUMBERS, ArchColumns
from blocks.cost.many import Integers
from blocks.latency.units import KINDS, RESIDUAL, STEM, TAIL, Unit

_KIND_OF_BLOCK: Final = np.array([KINDS.index(block) for block in BLOCK_NUMBERS])
# Bits of each field, at most 63 a word: what tells two units of one activation, padding and norm
# apart.
_FIRST_WORD: Final = {"inputs": 21, "outputs": 21, "hidden": 21}
_SECOND_WORD: Final = {
    "squeezed": 20, "side": 14, "groups": 10, "kernel": 6, "kind": 4, "stride": 6, "adds": 1,
    "projects": 1, "pools": 1,
}  # fmt: skip
_THIRD_WORD: Final = {"wide": 14}
_WORDS: Final = (_FIRST_WORD, _SECOND_WORD, _THIRD_WORD)
_ODD: Final = np.array(
    [0x9E3779B97F4A7C15, 0xC2B2AE3D27D4EB4F, 0x165667B19E3779F9], dtype=np.uint64
)


class Distinct(NamedTuple):
    """Different units, by key, of some architectures; `place` (present units,) is each one's.

    `first` holds the position of one example of each among the present units.
    """

    keys: list[tuple[int, ...]]
    place: NDArray[np.intp]
    first: NDArray[np.intp]


class UnitColumns:
    """`blocks.latency.units.units_of` of every architecture of some columns.

    Columns hold no activation: `act` is that of every layer, the padding is symmetric, and
    batch or group norm is the same in all of them. `times` (places, archs) says how often a unit
    stands at a place, 0 where an architecture has none.

    Raises:
        ValueError: columns that mix batch and group norm, or a size beyond the packed words.
    """

    def __init__(self, columns: ArchColumns, num_classes: int, act: str) -> None:
        normed = columns.norm_group_size > 0
        if normed.any() and not normed.all():
            raise ValueError("batch and group norm in the same columns")
        self.act, self.group_norm = act, bool(normed.any())
        self._archs = len(columns)
        self._times: list[Integers] = []
        self._fields: dict[str, list[Integers]] = {name: [] for layout in _WORDS for name in layout}
        self._fill(columns, num_classes)
        self.times = np.stack(self._times)
        self.present = np.flatnonzero(self.times)
        self._flat = {
            name: np.stack(each).reshape(-1)[self.present] for name, each in self._fields.items()
        }

    def _add(self, times: Any, **sizes: Any) -> None:
        self._times.append(np.broadcast_to(np.asarray(times, dtype=np.int64), self._archs))
        for name, column in self._fields.items():
            value = np.asarray(sizes.get(name, int(name in ("kernel", "stride", "groups"))))
            column.append(np.broadcast_to(value.astype(np.int64), self._archs))

    def _fill(self, columns: ArchColumns, num_classes: int) -> None:
        image, channels = columns.image, columns.stem
        self._add(
            1, kind=KINDS.index(STEM), inputs=columns.in_channels, outputs=channels,
            kernel=columns.stem_kernel,
            stride=columns.stem_stride, pools=columns.stem_pool, **_sides(image),
        )  # fmt: skip
        leaving: list[tuple[Integers, Size, Integers]] = []
        for blocks in columns.blocks():
            position = blocks.position
            self._add(
                blocks.times, kind=_KIND_OF_BLOCK[columns.block[:, position]],
                inputs=blocks.in_channels, outputs=blocks.out_channels,
                kernel=columns.kernel[:, position], stride=blocks.stride, hidden=blocks.hidden,
                squeezed=blocks.squeezed, groups=columns.groups[:, position], adds=blocks.adds,
                projects=blocks.projects, **_sides(blocks.in_map),
            )  # fmt: skip
            image, channels = blocks.out_map, blocks.out_channels
            if position == len(leaving):
                leaving.append((channels, image, blocks.stride))
        for position, (width, its, _) in enumerate(leaving[:-1]):
            behind = np.prod([stride for _, _, stride in leaving[position + 1 :]], axis=0)
            times = (columns.global_residual > 0) & (position < columns.present.sum(1) - 1)
            self._add(
                times, kind=KINDS.index(RESIDUAL), inputs=width, outputs=channels, stride=behind,
                adds=1, **_sides(its),
            )  # fmt: skip
        self._add(
            1, kind=KINDS.index(TAIL), inputs=channels, outputs=num_classes, hidden=columns.head,
            squeezed=columns.head_hidden, **_sides(image),
        )  # fmt: skip

    def distinct(self) -> Distinct:
        """The present units without repetition."""
        words = np.stack([_packed(self._flat, layout) for layout in _WORDS])
        # Sorted by a hash, and whether that told all apart is looked up.
        mixed = (words.astype(np.uint64) * _ODD[:, None]).sum(0, dtype=np.uint64)
        _, first, place = np.unique(mixed, return_index=True, return_inverse=True)
        if not (words[:, first][:, place] == words).all():
            _, first, place = np.unique(words, axis=1, return_index=True, return_inverse=True)
        keys = list(zip(*words[:, first].tolist(), strict=True))
        return Distinct(keys, place.reshape(-1), first)

    def units(self, positions: NDArray[np.intp]) -> Iterator[Unit]:
        """The units at positions among the present ones."""
        rows = zip(*(column[positions].tolist() for column in self._flat.values()), strict=True)
        for row in rows:
            sizes = dict(zip(self._flat, row, strict=True))
            flags = {name: bool(sizes[name]) for name in ("adds", "projects", "pools")}
            kind = KINDS[sizes["kind"]]
            act = "relu" if kind == RESIDUAL else self.act
            group_norm = self.group_norm and kind != RESIDUAL
            yield Unit(**(sizes | flags | {"kind": kind}), act=act, group_norm=group_norm)


def _sides(image: Size) -> dict[str, Any]:
    square = image.height == image.width
    return {"side": image.height, "wide": np.where(square, 0, image.width)}


def _packed(columns: dict[str, Integers], layout: dict[str, int]) -> Integers:
    word = np.zeros(len(columns["kind"]), dtype=np.int64)
    for name, bits in layout.items():
        column = columns[name]
        if len(column) and int(column.max()) >> bits:
            raise ValueError(f"a unit of {name} {int(column.max())} is too large to be packed")
        word = (word << bits) | column
    return word
