"""Published networks as values, to be read beside their papers."""

from dataclasses import dataclass
from typing import Final

from blocks.arch import ArchSpec, StageSpec, parse_arch
from blocks.errors import ArchError

# EfficientNet (arXiv 1905.11946) Table 1; repeats, kernel, stride, expansion, channels, SE.
EFFICIENTNET_B0: Final = ArchSpec(
    stem=32,
    stages=(
        StageSpec("ds", 1, 3, 1, 1, 16, 0.25),
        StageSpec("ir", 2, 3, 2, 6, 24, 0.25),
        StageSpec("ir", 2, 5, 2, 6, 40, 0.25),
        StageSpec("ir", 3, 3, 2, 6, 80, 0.25),
        StageSpec("ir", 3, 5, 1, 6, 112, 0.25),
        StageSpec("ir", 4, 5, 2, 6, 192, 0.25),
        StageSpec("ir", 1, 3, 1, 6, 320, 0.25),
    ),
    head=1280,
    resolution=224,
)


@dataclass(frozen=True, slots=True)
class PublishedScaling:
    """A row of the published scaling table: B0 widened, deepened and enlarged."""

    width: float
    depth: float
    resolution: int
    dropout: float


# tensorflow/tpu efficientnet_builder.py, `efficientnet_params`. The rows do not follow
# α^φ, β^φ, γ^φ of the paper's own coefficients: they are a table, and stay one.
EFFICIENTNET_SCALING: Final = {
    "efficientnet_b0": PublishedScaling(1.0, 1.0, 224, 0.2),
    "efficientnet_b1": PublishedScaling(1.0, 1.1, 240, 0.2),
    "efficientnet_b2": PublishedScaling(1.1, 1.2, 260, 0.3),
    "efficientnet_b3": PublishedScaling(1.2, 1.4, 300, 0.3),
    "efficientnet_b4": PublishedScaling(1.4, 1.8, 380, 0.4),
    "efficientnet_b5": PublishedScaling(1.6, 2.2, 456, 0.4),
    "efficientnet_b6": PublishedScaling(1.8, 2.6, 528, 0.5),
    "efficientnet_b7": PublishedScaling(2.0, 3.1, 600, 0.5),
}

# The same rows multiplied out: what the reference implementation builds.
_B = {
    "efficientnet_b1": "r240-s32-[ds_r2_k3_s1_e1_c16_se0.25|ir_r3_k3_s2_e6_c24_se0.25|"
    "ir_r3_k5_s2_e6_c40_se0.25|ir_r4_k3_s2_e6_c80_se0.25|ir_r4_k5_s1_e6_c112_se0.25|"
    "ir_r5_k5_s2_e6_c192_se0.25|ir_r2_k3_s1_e6_c320_se0.25]-h1280",
    "efficientnet_b2": "r260-s32-[ds_r2_k3_s1_e1_c16_se0.25|ir_r3_k3_s2_e6_c24_se0.25|"
    "ir_r3_k5_s2_e6_c48_se0.25|ir_r4_k3_s2_e6_c88_se0.25|ir_r4_k5_s1_e6_c120_se0.25|"
    "ir_r5_k5_s2_e6_c208_se0.25|ir_r2_k3_s1_e6_c352_se0.25]-h1408",
    "efficientnet_b3": "r300-s40-[ds_r2_k3_s1_e1_c24_se0.25|ir_r3_k3_s2_e6_c32_se0.25|"
    "ir_r3_k5_s2_e6_c48_se0.25|ir_r5_k3_s2_e6_c96_se0.25|ir_r5_k5_s1_e6_c136_se0.25|"
    "ir_r6_k5_s2_e6_c232_se0.25|ir_r2_k3_s1_e6_c384_se0.25]-h1536",
    "efficientnet_b4": "r380-s48-[ds_r2_k3_s1_e1_c24_se0.25|ir_r4_k3_s2_e6_c32_se0.25|"
    "ir_r4_k5_s2_e6_c56_se0.25|ir_r6_k3_s2_e6_c112_se0.25|ir_r6_k5_s1_e6_c160_se0.25|"
    "ir_r8_k5_s2_e6_c272_se0.25|ir_r2_k3_s1_e6_c448_se0.25]-h1792",
    "efficientnet_b5": "r456-s48-[ds_r3_k3_s1_e1_c24_se0.25|ir_r5_k3_s2_e6_c40_se0.25|"
    "ir_r5_k5_s2_e6_c64_se0.25|ir_r7_k3_s2_e6_c128_se0.25|ir_r7_k5_s1_e6_c176_se0.25|"
    "ir_r9_k5_s2_e6_c304_se0.25|ir_r3_k3_s1_e6_c512_se0.25]-h2048",
    "efficientnet_b6": "r528-s56-[ds_r3_k3_s1_e1_c32_se0.25|ir_r6_k3_s2_e6_c40_se0.25|"
    "ir_r6_k5_s2_e6_c72_se0.25|ir_r8_k3_s2_e6_c144_se0.25|ir_r8_k5_s1_e6_c200_se0.25|"
    "ir_r11_k5_s2_e6_c344_se0.25|ir_r3_k3_s1_e6_c576_se0.25]-h2304",
    "efficientnet_b7": "r600-s64-[ds_r4_k3_s1_e1_c32_se0.25|ir_r7_k3_s2_e6_c48_se0.25|"
    "ir_r7_k5_s2_e6_c80_se0.25|ir_r10_k3_s2_e6_c160_se0.25|ir_r10_k5_s1_e6_c224_se0.25|"
    "ir_r13_k5_s2_e6_c384_se0.25|ir_r4_k3_s1_e6_c640_se0.25]-h2560",
}

ZOO: Final[dict[str, ArchSpec]] = {
    "efficientnet_b0": EFFICIENTNET_B0,
    **{name: parse_arch(text) for name, text in _B.items()},
}


def find_arch(name_or_spelling: str) -> ArchSpec:
    """The zoo's network of that name, else the architecture so spelt.

    Raises:
        ArchError: neither a name of the zoo nor a spelling.
    """
    if name_or_spelling in ZOO:
        return ZOO[name_or_spelling]
    if "[" not in name_or_spelling:
        raise ArchError(
            f"unknown network {name_or_spelling!r}; expected one of {', '.join(ZOO)}, "
            "or a spelling r…-s…-[…]-h…"
        )
    return parse_arch(name_or_spelling)
