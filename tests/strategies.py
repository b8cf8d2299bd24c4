"""Hypothesis strategies for architectures."""

from hypothesis import strategies as st

from blocks.arch import ACTIVATIONS, ArchSpec, StageSpec


@st.composite
def stages(draw: st.DrawFn) -> StageSpec:
    expand_ratio = draw(st.sampled_from([1, 2, 3, 4, 6, 2.5, 3.67]))
    return StageSpec(
        block="ds" if expand_ratio == 1 else "ir",
        repeats=draw(st.integers(1, 4)),
        kernel=draw(st.sampled_from([3, 5, 7, 9])),
        stride=draw(st.sampled_from([1, 2])),
        expand_ratio=expand_ratio,
        channels=draw(st.integers(1, 40)),
        se_ratio=draw(st.sampled_from([0.0, 0.25, 0.1, 1.0])),
        skip=draw(st.booleans()),
    )


@st.composite
def archs(draw: st.DrawFn) -> ArchSpec:
    return ArchSpec(
        stem=draw(st.integers(1, 32)),
        stages=tuple(draw(st.lists(stages(), min_size=1, max_size=5))),
        head=draw(st.integers(1, 96)),
        resolution=draw(st.integers(1, 48)),
        act=draw(st.sampled_from(list(ACTIVATIONS))),
        stem_stride=draw(st.sampled_from([1, 2])),
        in_channels=draw(st.sampled_from([1, 3, 4])),
    )
