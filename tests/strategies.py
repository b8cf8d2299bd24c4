"""Hypothesis strategies for architectures."""

from bisect import bisect_right
from dataclasses import replace

from hypothesis import assume
from hypothesis import strategies as st

from blocks.arch import ACTIVATIONS, BLOCKS, ArchSpec, Size, StageSpec
from blocks.cost import count
from blocks.errors import ArchError

MOST_MACS = 16_000_000
"""Of one network, for one image: what bounds the time of a property test."""

EXPAND_RATIOS = {
    "ir": [2, 3, 4, 6, 2.5, 3.67],
    "er": [2, 4, 6, 2.5],
    "ds": [1],
    "cn": [1],
    "bt": [0.25, 0.5, 1],
    "bx": [0.5, 1],
}


@st.composite
def stages(draw: st.DrawFn, act: str) -> StageSpec:
    block = draw(st.sampled_from(list(BLOCKS)))
    groups = draw(st.sampled_from([2, 4])) if block == "bx" else 1
    # A multiple of twice the groups, so that half of it still divides.
    channels = draw(st.integers(1, 5 if groups > 1 else 40)) * (2 * groups if groups > 1 else 1)
    if block == "bt":
        channels = max(4, channels)
    squeezes = [0.0, 0.25, 0.1, 1.0] if block in ("ir", "ds", "er") else [0.0]
    other_acts = [name for name in ACTIVATIONS if name != act]
    return StageSpec(
        block=block,
        repeats=draw(st.integers(1, 4)),
        kernel=draw(st.sampled_from([3, 5, 7, 9])),
        stride=draw(st.sampled_from([1, 2])),
        expand_ratio=draw(st.sampled_from(EXPAND_RATIOS[block])),
        channels=channels,
        se_ratio=draw(st.sampled_from(squeezes)),
        skip=draw(st.booleans()),
        groups=groups,
        act=draw(st.sampled_from([None, None, *other_acts])),
    )


@st.composite
def archs(draw: st.DrawFn) -> ArchSpec:
    """Any network the grammar can say of up to `MOST_MACS`, which is measured in a moment."""
    act = draw(st.sampled_from(list(ACTIVATIONS)))
    rows = tuple(draw(st.lists(stages(act), min_size=1, max_size=5)))
    stem_stride = draw(st.sampled_from([1, 2]))
    stem_pool = draw(st.booleans()) and draw(st.booleans())
    halvings = [stem_stride, 2 if stem_pool else 1, *(row.stride for row in rows)].count(2)
    least = 2 ** (halvings - 1) + 1 if halvings else 1
    arch = ArchSpec(
        stem=draw(st.integers(1, 32)),
        stages=rows,
        head=draw(st.sampled_from([0, 1, 24, 96])),
        resolution=least,
        act=act,
        stem_stride=stem_stride,
        in_channels=draw(st.sampled_from([1, 3, 4])),
        stem_kernel=draw(st.sampled_from([3, 3, 7])),
        stem_pool=stem_pool,
        head_hidden=draw(st.sampled_from([0, 0, 20])),
        se_gate=draw(st.sampled_from(["sigmoid", "hard_sigmoid"])),
        se_act=draw(st.sampled_from([None, "relu"])),
        se_base=draw(st.sampled_from(["input", "expanded"])),
        se_divisor=draw(st.sampled_from([1, 8])),
        padding=draw(st.sampled_from(["symmetric", "same"])),
        norm_eps=draw(st.sampled_from([1e-5, 1e-3, 1e-6])),
        norm_momentum=draw(st.sampled_from([0.1, 0.01])),
        global_residual=draw(st.booleans()),
    )
    sides = range(least, max(least, 48) + 1)
    fitting = bisect_right(
        sides, MOST_MACS, key=lambda side: count(replace(arch, resolution=side)).macs
    )
    assume(fitting)
    arch = replace(arch, resolution=draw(st.sampled_from(sides[:fitting])))
    if draw(st.booleans()):  # not square, and smaller
        arch = replace(arch, wide=draw(st.integers(least, arch.resolution)))
        arch = arch if draw(st.booleans()) else arch.with_image(Size(*arch.image[::-1]))
    group_sizes = [size for size in (2, 4, 8) if _divides(size, arch)]
    return replace(arch, norm_group_size=draw(st.sampled_from([0, *group_sizes])))


def _divides(size: int, arch: ArchSpec) -> bool:
    try:
        replace(arch, norm_group_size=size)
    except ArchError:
        return False
    return True
