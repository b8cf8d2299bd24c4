"""Published networks as values, to be read beside their papers.

Names are timm's where timm has the network. Scaled members stand multiplied out, as the
reference implementations build them: they are data to compare with, not computed here.
"""

from dataclasses import dataclass, replace
from typing import Final

from blocks.arch import ArchSpec, StageSpec, parse_arch
from blocks.errors import ArchError
from blocks.names import did_you_mean

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

# The rows above multiplied out, and two more of the same file (B8: AdvProp, arXiv 1911.09665;
# L2: Noisy Student, 1911.04252).
_EFFICIENTNET = {
    "efficientnet_b1": "r240-s32-["
    "ds_r2_k3_s1_e1_c16_se0.25|ir_r3_k3_s2_e6_c24_se0.25|"
    "ir_r3_k5_s2_e6_c40_se0.25|ir_r4_k3_s2_e6_c80_se0.25|"
    "ir_r4_k5_s1_e6_c112_se0.25|ir_r5_k5_s2_e6_c192_se0.25|"
    "ir_r2_k3_s1_e6_c320_se0.25]-h1280",
    "efficientnet_b2": "r260-s32-["
    "ds_r2_k3_s1_e1_c16_se0.25|ir_r3_k3_s2_e6_c24_se0.25|"
    "ir_r3_k5_s2_e6_c48_se0.25|ir_r4_k3_s2_e6_c88_se0.25|"
    "ir_r4_k5_s1_e6_c120_se0.25|ir_r5_k5_s2_e6_c208_se0.25|"
    "ir_r2_k3_s1_e6_c352_se0.25]-h1408",
    "efficientnet_b3": "r300-s40-["
    "ds_r2_k3_s1_e1_c24_se0.25|ir_r3_k3_s2_e6_c32_se0.25|"
    "ir_r3_k5_s2_e6_c48_se0.25|ir_r5_k3_s2_e6_c96_se0.25|"
    "ir_r5_k5_s1_e6_c136_se0.25|ir_r6_k5_s2_e6_c232_se0.25|"
    "ir_r2_k3_s1_e6_c384_se0.25]-h1536",
    "efficientnet_b4": "r380-s48-["
    "ds_r2_k3_s1_e1_c24_se0.25|ir_r4_k3_s2_e6_c32_se0.25|"
    "ir_r4_k5_s2_e6_c56_se0.25|ir_r6_k3_s2_e6_c112_se0.25|"
    "ir_r6_k5_s1_e6_c160_se0.25|ir_r8_k5_s2_e6_c272_se0.25|"
    "ir_r2_k3_s1_e6_c448_se0.25]-h1792",
    "efficientnet_b5": "r456-s48-["
    "ds_r3_k3_s1_e1_c24_se0.25|ir_r5_k3_s2_e6_c40_se0.25|"
    "ir_r5_k5_s2_e6_c64_se0.25|ir_r7_k3_s2_e6_c128_se0.25|"
    "ir_r7_k5_s1_e6_c176_se0.25|ir_r9_k5_s2_e6_c304_se0.25|"
    "ir_r3_k3_s1_e6_c512_se0.25]-h2048",
    "efficientnet_b6": "r528-s56-["
    "ds_r3_k3_s1_e1_c32_se0.25|ir_r6_k3_s2_e6_c40_se0.25|"
    "ir_r6_k5_s2_e6_c72_se0.25|ir_r8_k3_s2_e6_c144_se0.25|"
    "ir_r8_k5_s1_e6_c200_se0.25|ir_r11_k5_s2_e6_c344_se0.25|"
    "ir_r3_k3_s1_e6_c576_se0.25]-h2304",
    "efficientnet_b7": "r600-s64-["
    "ds_r4_k3_s1_e1_c32_se0.25|ir_r7_k3_s2_e6_c48_se0.25|"
    "ir_r7_k5_s2_e6_c80_se0.25|ir_r10_k3_s2_e6_c160_se0.25|"
    "ir_r10_k5_s1_e6_c224_se0.25|ir_r13_k5_s2_e6_c384_se0.25|"
    "ir_r4_k3_s1_e6_c640_se0.25]-h2560",
    "efficientnet_b8": "r672-s72-["
    "ds_r4_k3_s1_e1_c32_se0.25|ir_r8_k3_s2_e6_c56_se0.25|"
    "ir_r8_k5_s2_e6_c88_se0.25|ir_r11_k3_s2_e6_c176_se0.25|"
    "ir_r11_k5_s1_e6_c248_se0.25|ir_r15_k5_s2_e6_c424_se0.25|"
    "ir_r4_k3_s1_e6_c704_se0.25]-h2816",
    "efficientnet_l2": "r800-s136-["
    "ds_r6_k3_s1_e1_c72_se0.25|ir_r11_k3_s2_e6_c104_se0.25|"
    "ir_r11_k5_s2_e6_c176_se0.25|ir_r16_k3_s2_e6_c344_se0.25|"
    "ir_r16_k5_s1_e6_c480_se0.25|ir_r22_k5_s2_e6_c824_se0.25|"
    "ir_r6_k3_s1_e6_c1376_se0.25]-h5504",
}

# EfficientNet-Lite (tensorflow/tpu efficientnet/lite): no squeeze-excite, ReLU6, fixed stem, head
# and first and last stage; `blocks.lite` makes them from B0–B4.
_EFFICIENTNET_LITE = {
    "efficientnet_lite0": "r224-s32-["
    "ds_r1_k3_s1_e1_c16|ir_r2_k3_s2_e6_c24|"
    "ir_r2_k5_s2_e6_c40|ir_r3_k3_s2_e6_c80|"
    "ir_r3_k5_s1_e6_c112|ir_r4_k5_s2_e6_c192|"
    "ir_r1_k3_s1_e6_c320]-h1280-nr6",
    "efficientnet_lite1": "r240-s32-["
    "ds_r1_k3_s1_e1_c16|ir_r3_k3_s2_e6_c24|"
    "ir_r3_k5_s2_e6_c40|ir_r4_k3_s2_e6_c80|"
    "ir_r4_k5_s1_e6_c112|ir_r5_k5_s2_e6_c192|"
    "ir_r1_k3_s1_e6_c320]-h1280-nr6",
    "efficientnet_lite2": "r260-s32-["
    "ds_r1_k3_s1_e1_c16|ir_r3_k3_s2_e6_c24|"
    "ir_r3_k5_s2_e6_c48|ir_r4_k3_s2_e6_c88|"
    "ir_r4_k5_s1_e6_c120|ir_r5_k5_s2_e6_c208|"
    "ir_r1_k3_s1_e6_c352]-h1280-nr6",
    "efficientnet_lite3": "r280-s32-["
    "ds_r1_k3_s1_e1_c24|ir_r3_k3_s2_e6_c32|"
    "ir_r3_k5_s2_e6_c48|ir_r5_k3_s2_e6_c96|"
    "ir_r5_k5_s1_e6_c136|ir_r6_k5_s2_e6_c232|"
    "ir_r1_k3_s1_e6_c384]-h1280-nr6",
    "efficientnet_lite4": "r300-s32-["
    "ds_r1_k3_s1_e1_c24|ir_r4_k3_s2_e6_c32|"
    "ir_r4_k5_s2_e6_c56|ir_r6_k3_s2_e6_c112|"
    "ir_r6_k5_s1_e6_c160|ir_r8_k5_s2_e6_c272|"
    "ir_r1_k3_s1_e6_c448]-h1280-nr6",
}

# B0–B4 → the resolution of the Lite of that number (tensorflow/tpu efficientnet/lite README).
LITE_RESOLUTIONS: Final = {
    "efficientnet_b0": 224,
    "efficientnet_b1": 240,
    "efficientnet_b2": 260,
    "efficientnet_b3": 280,
    "efficientnet_b4": 300,
}

# EfficientNetV2 (arXiv 2104.00298) Table 4 and google/automl efficientnetv2; at the resolution of
# evaluation. B0–B3 are V2-B0 scaled by V1's coefficients.
_EFFICIENTNETV2 = {
    "efficientnetv2_s": "r384-s24-["
    "cn_r2_k3_s1_e1_c24|er_r4_k3_s2_e4_c48|er_r4_k3_s2_e4_c64|"
    "ir_r6_k3_s2_e4_c128_se0.25|ir_r9_k3_s1_e6_c160_se0.25|"
    "ir_r15_k3_s2_e6_c256_se0.25]-h1280",
    "efficientnetv2_m": "r480-s24-["
    "cn_r3_k3_s1_e1_c24|er_r5_k3_s2_e4_c48|er_r5_k3_s2_e4_c80|"
    "ir_r7_k3_s2_e4_c160_se0.25|ir_r14_k3_s1_e6_c176_se0.25|"
    "ir_r18_k3_s2_e6_c304_se0.25|ir_r5_k3_s1_e6_c512_se0.25]-h1280",
    "efficientnetv2_l": "r480-s32-["
    "cn_r4_k3_s1_e1_c32|er_r7_k3_s2_e4_c64|er_r7_k3_s2_e4_c96|"
    "ir_r10_k3_s2_e4_c192_se0.25|ir_r19_k3_s1_e6_c224_se0.25|"
    "ir_r25_k3_s2_e6_c384_se0.25|ir_r7_k3_s1_e6_c640_se0.25]-h1280",
    "efficientnetv2_b0": "r224-s32-["
    "cn_r1_k3_s1_e1_c16|er_r2_k3_s2_e4_c32|"
    "er_r2_k3_s2_e4_c48|ir_r3_k3_s2_e4_c96_se0.25|"
    "ir_r5_k3_s1_e6_c112_se0.25|ir_r8_k3_s2_e6_c192_se0.25]-h1280",
    "efficientnetv2_b1": "r240-s32-["
    "cn_r2_k3_s1_e1_c16|er_r3_k3_s2_e4_c32|"
    "er_r3_k3_s2_e4_c48|ir_r4_k3_s2_e4_c96_se0.25|"
    "ir_r6_k3_s1_e6_c112_se0.25|ir_r9_k3_s2_e6_c192_se0.25]-h1280",
    "efficientnetv2_b2": "r260-s32-["
    "cn_r2_k3_s1_e1_c16|er_r3_k3_s2_e4_c32|"
    "er_r3_k3_s2_e4_c56|ir_r4_k3_s2_e4_c104_se0.25|"
    "ir_r6_k3_s1_e6_c120_se0.25|ir_r10_k3_s2_e6_c208_se0.25]-h1408",
    "efficientnetv2_b3": "r300-s40-["
    "cn_r2_k3_s1_e1_c16|er_r3_k3_s2_e4_c40|"
    "er_r3_k3_s2_e4_c56|ir_r5_k3_s2_e4_c112_se0.25|"
    "ir_r7_k3_s1_e6_c136_se0.25|ir_r12_k3_s2_e6_c232_se0.25]-h1536",
}

# MobileNetV2 (arXiv 1801.04381) Table 2, and its width multipliers 0.35–1.4 (§6.1).
_MOBILENETV2 = {
    "mobilenetv2_035": "r224-s16-["
    "ds_r1_k3_s1_e1_c8|ir_r2_k3_s2_e6_c8|"
    "ir_r3_k3_s2_e6_c16|ir_r4_k3_s2_e6_c24|"
    "ir_r3_k3_s1_e6_c32|ir_r3_k3_s2_e6_c56|"
    "ir_r1_k3_s1_e6_c112]-h1280-nr6",
    "mobilenetv2_050": "r224-s16-["
    "ds_r1_k3_s1_e1_c8|ir_r2_k3_s2_e6_c16|"
    "ir_r3_k3_s2_e6_c16|ir_r4_k3_s2_e6_c32|"
    "ir_r3_k3_s1_e6_c48|ir_r3_k3_s2_e6_c80|"
    "ir_r1_k3_s1_e6_c160]-h1280-nr6",
    "mobilenetv2_075": "r224-s24-["
    "ds_r1_k3_s1_e1_c16|ir_r2_k3_s2_e6_c24|"
    "ir_r3_k3_s2_e6_c24|ir_r4_k3_s2_e6_c48|"
    "ir_r3_k3_s1_e6_c72|ir_r3_k3_s2_e6_c120|"
    "ir_r1_k3_s1_e6_c240]-h1280-nr6",
    "mobilenetv2_100": "r224-s32-["
    "ds_r1_k3_s1_e1_c16|ir_r2_k3_s2_e6_c24|"
    "ir_r3_k3_s2_e6_c32|ir_r4_k3_s2_e6_c64|"
    "ir_r3_k3_s1_e6_c96|ir_r3_k3_s2_e6_c160|"
    "ir_r1_k3_s1_e6_c320]-h1280-nr6",
    "mobilenetv2_140": "r224-s48-["
    "ds_r1_k3_s1_e1_c24|ir_r2_k3_s2_e6_c32|"
    "ir_r3_k3_s2_e6_c48|ir_r4_k3_s2_e6_c88|"
    "ir_r3_k3_s1_e6_c136|ir_r3_k3_s2_e6_c224|"
    "ir_r1_k3_s1_e6_c448]-h1792-nr6",
}

# MobileNetV3 (arXiv 1905.02244) Tables 1 and 2: ReLU in the early stages, hard-swish after, a
# hard-sigmoid gate over squeeze-excite of a quarter of the expanded channels, rounded to 8.
_MOBILENETV3 = {
    "mobilenetv3_large": "r224-s16-["
    "ds_r1_k3_s1_e1_c16_nre|ir_r1_k3_s2_e4_c24_nre|ir_r1_k3_s1_e3_c24_nre|"
    "ir_r3_k5_s2_e3_c40_se0.25_nre|"
    "ir_r1_k3_s2_e6_c80|ir_r1_k3_s1_e2.5_c80|ir_r2_k3_s1_e2.3_c80|"
    "ir_r2_k3_s1_e6_c112_se0.25|ir_r3_k5_s2_e6_c160_se0.25"
    "]-h960_l1280-nhs-se_gh_nre_x_d8",
    "mobilenetv3_small": "r224-s16-["
    "ds_r1_k3_s2_e1_c16_se0.25_nre|ir_r1_k3_s2_e4.5_c24_nre|ir_r1_k3_s1_e3.67_c24_nre|"
    "ir_r1_k5_s2_e4_c40_se0.25|ir_r2_k5_s1_e6_c40_se0.25|"
    "ir_r2_k5_s1_e3_c48_se0.25|ir_r3_k5_s2_e6_c96_se0.25"
    "]-h576_l1024-nhs-se_gh_nre_x_d8",
}

# MnasNet (arXiv 1807.11626) fig. 7 and tensorflow/tpu mnasnet_models.py.
_MNASNET = {
    "mnasnet_a1": "r224-s32-["
    "ds_r1_k3_s1_e1_c16_noskip|ir_r2_k3_s2_e6_c24|ir_r3_k5_s2_e3_c40_se0.25|"
    "ir_r4_k3_s2_e6_c80|ir_r2_k3_s1_e6_c112_se0.25|ir_r3_k5_s2_e6_c160_se0.25|"
    "ir_r1_k3_s1_e6_c320]-h1280-nre",
    "mnasnet_b1": "r224-s32-["
    "ds_r1_k3_s1_e1_c16_noskip|ir_r3_k3_s2_e3_c24|ir_r3_k5_s2_e3_c40|"
    "ir_r3_k5_s2_e6_c80|ir_r2_k3_s1_e6_c96|ir_r4_k5_s2_e6_c192|"
    "ir_r1_k3_s1_e6_c320_noskip]-h1280-nre",
    "mnasnet_small": "r224-s8-["
    "ds_r1_k3_s1_e1_c8|ir_r1_k3_s2_e3_c16|ir_r2_k3_s2_e6_c16|"
    "ir_r4_k5_s2_e6_c32_se0.25|ir_r3_k3_s1_e6_c32_se0.25|ir_r3_k5_s2_e6_c88_se0.25|"
    "ir_r1_k3_s1_e6_c144]-h1280-nre",
}

# TinyNet (arXiv 2010.14819): B0 scaled down, repeats rounded to nearest, stem and head kept.
_TINYNET = {
    "tinynet_a": "r192-s32-["
    "ds_r1_k3_s1_e1_c16_se0.25|ir_r2_k3_s2_e6_c24_se0.25|"
    "ir_r2_k5_s2_e6_c40_se0.25|ir_r4_k3_s2_e6_c80_se0.25|"
    "ir_r4_k5_s1_e6_c112_se0.25|ir_r5_k5_s2_e6_c192_se0.25|"
    "ir_r1_k3_s1_e6_c320_se0.25]-h1280",
    "tinynet_b": "r188-s32-["
    "ds_r1_k3_s1_e1_c16_se0.25|ir_r2_k3_s2_e6_c24_se0.25|"
    "ir_r2_k5_s2_e6_c32_se0.25|ir_r3_k3_s2_e6_c64_se0.25|"
    "ir_r3_k5_s1_e6_c88_se0.25|ir_r4_k5_s2_e6_c144_se0.25|"
    "ir_r1_k3_s1_e6_c240_se0.25]-h1280",
    "tinynet_c": "r184-s32-["
    "ds_r1_k3_s1_e1_c8_se0.25|ir_r2_k3_s2_e6_c16_se0.25|"
    "ir_r2_k5_s2_e6_c24_se0.25|ir_r3_k3_s2_e6_c40_se0.25|"
    "ir_r3_k5_s1_e6_c64_se0.25|ir_r3_k5_s2_e6_c104_se0.25|"
    "ir_r1_k3_s1_e6_c176_se0.25]-h1280",
    "tinynet_d": "r152-s32-["
    "ds_r1_k3_s1_e1_c8_se0.25|ir_r1_k3_s2_e6_c16_se0.25|"
    "ir_r1_k5_s2_e6_c24_se0.25|ir_r2_k3_s2_e6_c40_se0.25|"
    "ir_r2_k5_s1_e6_c64_se0.25|ir_r3_k5_s2_e6_c104_se0.25|"
    "ir_r1_k3_s1_e6_c176_se0.25]-h1280",
    "tinynet_e": "r106-s32-["
    "ds_r1_k3_s1_e1_c8_se0.25|ir_r1_k3_s2_e6_c16_se0.25|"
    "ir_r1_k5_s2_e6_c24_se0.25|ir_r2_k3_s2_e6_c40_se0.25|"
    "ir_r2_k5_s1_e6_c56_se0.25|ir_r2_k5_s2_e6_c96_se0.25|"
    "ir_r1_k3_s1_e6_c160_se0.25]-h1280",
}

# ResNet-50 (arXiv 1512.03385, stride in the 3×3) and ResNeXt 32×4d (1611.05431) Table 1.
_RESNET = {
    "resnet50": "r224-s64_k7_mp-["
    "bt_r3_k3_s1_e0.25_c256|bt_r4_k3_s2_e0.25_c512|"
    "bt_r6_k3_s2_e0.25_c1024|bt_r3_k3_s2_e0.25_c2048]-h0-nre",
    "resnext50_32x4d": "r224-s64_k7_mp-["
    "bx_r3_k3_s1_e0.5_c256_g32|bx_r4_k3_s2_e0.5_c512_g32|"
    "bx_r6_k3_s2_e0.5_c1024_g32|bx_r3_k3_s2_e0.5_c2048_g32]-h0-nre",
    "resnext101_32x4d": "r224-s64_k7_mp-["
    "bx_r3_k3_s1_e0.5_c256_g32|bx_r4_k3_s2_e0.5_c512_g32|"
    "bx_r23_k3_s2_e0.5_c1024_g32|bx_r3_k3_s2_e0.5_c2048_g32]-h0-nre",
}

ZOO: Final[dict[str, ArchSpec]] = {
    "efficientnet_b0": EFFICIENTNET_B0,
    **{
        name: parse_arch(text)
        for family in (
            _EFFICIENTNET,
            _EFFICIENTNET_LITE,
            _EFFICIENTNETV2,
            _MOBILENETV2,
            _MOBILENETV3,
            _MNASNET,
            _TINYNET,
            _RESNET,
        )
        for name, text in family.items()
    },
}

TF_PREFIX: Final = "tf_"


def find_arch(name_or_spelling: str) -> ArchSpec:
    """The zoo's network of that name, else the architecture so spelt.

    `tf_` before a name is timm's word for the network as TensorFlow trained it: SAME padding,
    and 1e-3 as the epsilon of batch normalisation.

    Raises:
        ArchError: neither a name of the zoo nor a spelling.
    """
    name = name_or_spelling.removeprefix(TF_PREFIX)
    if name in ZOO:
        arch = ZOO[name]
        return arch if name == name_or_spelling else replace(arch, padding="same", norm_eps=1e-3)
    if "[" not in name_or_spelling:
        raise ArchError(
            f"unknown network {name_or_spelling!r}{did_you_mean(name, ZOO)}; expected a name that "
            "`python -m blocks list` prints, or a spelling r…-s…-[…]-h…"
        )
    return parse_arch(name_or_spelling)
