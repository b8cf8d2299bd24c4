"""A network as the columns of its picture: stem, stages, head; and how those of two correspond."""

from dataclasses import dataclass
from typing import Final

from blocks.arch import ArchSpec, Size
from blocks.arch.walk import last_map, walk
from blocks.cost import count_by_stage


@dataclass(frozen=True, slots=True)
class Column:
    """A stem, a stage or a head: `leaves` is the map that leaves it, `macs` what it costs.

    `facts` are what tells it from another one, by name, as a reader would say them.
    """

    name: str
    kind: str
    repeats: int
    kernel: int
    stride: int
    expand_ratio: float
    channels: int
    se_ratio: float
    leaves: Size
    macs: int
    extra: str = ""

    @property
    def facts(self) -> dict[str, str]:
        return {
            "block": self.kind,
            "repeats": str(self.repeats),
            "kernel": str(self.kernel),
            "stride": str(self.stride),
            "expansion": f"{self.expand_ratio:g}",
            "channels": str(self.channels),
            "squeeze-excite": f"{self.se_ratio:g}" if self.se_ratio else "none",
            "map": str(self.leaves),
            "also": self.extra or "none",
        }


def columns_of(arch: ArchSpec, num_classes: int) -> list[Column]:
    """The columns of a network, from stem to head."""
    macs = [cost.macs for cost in count_by_stage(arch, num_classes)]
    stem = Column(
        "stem", "conv", 1, arch.stem_kernel, arch.stem_stride, 1, arch.stem, 0.0,
        arch.image.strided(arch.stem_stride), macs[0], "max pooling" if arch.stem_pool else "",
    )  # fmt: skip
    leaving = [block.out_map for block in walk(arch) if block.is_last]
    stages = [
        Column(
            f"stage {number}", stage.block, stage.repeats, stage.kernel, stage.stride,
            stage.expand_ratio, stage.channels, stage.se_ratio, leaves, macs[number],
            ", ".join(
                [
                    *([f"{stage.groups} groups"] if stage.groups > 1 else []),
                    *([stage.act] if stage.act is not None else []),
                    *([] if stage.skip else ["no shortcut"]),
                ]
            ),
        )
        for number, (stage, leaves) in enumerate(zip(arch.stages, leaving, strict=True), 1)
    ]  # fmt: skip
    head = Column(
        "head", "conv" if arch.head else "pool", 1, 1, 1, 1,
        arch.head or arch.stages[-1].channels, 0.0, last_map(arch), macs[-1],
        f"then {arch.head_hidden} linear" if arch.head_hidden else "",
    )  # fmt: skip
    return [stem, *stages, head]


_GAP: Final = 5
"""A stage that one network lacks counts as so many facts that differ."""


def pair(left: list[Column], right: list[Column]) -> list[tuple[Column | None, Column | None]]:
    """Stages that correspond, in order, so that the fewest facts differ; stems and heads do."""
    first, second = left[1:-1], right[1:-1]
    # From the end: the least that the stages from i and j on differ by, and the step that does it.
    best: dict[tuple[int, int], tuple[int, tuple[int, int]]] = {}
    for i in range(len(first), -1, -1):
        for j in range(len(second), -1, -1):
            found = []
            if i < len(first) and j < len(second):
                apart = len(differing(first[i], second[j]))
                found.append((apart + best[i + 1, j + 1][0], (1, 1)))
            if i < len(first):
                found.append((_GAP + best[i + 1, j][0], (1, 0)))
            if j < len(second):
                found.append((_GAP + best[i, j + 1][0], (0, 1)))
            best[i, j] = min(found, key=lambda each: each[0], default=(0, (0, 0)))
    pairs: list[tuple[Column | None, Column | None]] = [(left[0], right[0])]
    i = j = 0
    while (step := best[i, j][1]) != (0, 0):
        pairs.append((first[i] if step[0] else None, second[j] if step[1] else None))
        i, j = i + step[0], j + step[1]
    return [*pairs, (left[-1], right[-1])]


def differing(left: Column, right: Column) -> list[str]:
    """The names of the facts that two columns do not share."""
    mine, other = left.facts, right.facts
    return [name for name, value in mine.items() if other[name] != value]


def describe_pair(left: Column | None, right: Column | None) -> str:
    """How two columns that correspond differ, in words; empty where they do not."""
    if left is None or right is None:
        here = left or right
        assert here is not None
        return f"{here.name} only in the {'first' if right is None else 'second'}"
    names = differing(left, right)
    changes = [f"{name} {left.facts[name]} → {right.facts[name]}" for name in names]
    return f"{left.name}: {', '.join(changes)}" if changes else ""


WHOLE: Final = (
    "act", "in_channels", "se_gate", "se_act", "se_base", "se_divisor", "padding", "norm_eps",
    "norm_momentum", "norm_group_size", "global_residual",
)  # fmt: skip
"""Fields of whole networks that no column shows."""


def describe_whole(left: ArchSpec, right: ArchSpec) -> list[str]:
    """How two networks differ in what no column shows."""
    sizes = [] if left.image == right.image else [f"image {left.image} → {right.image} px"]
    return sizes + [
        f"{name} {getattr(left, name)} → {getattr(right, name)}"
        for name in WHOLE
        if getattr(left, name) != getattr(right, name)
    ]
