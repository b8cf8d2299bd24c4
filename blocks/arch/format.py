"""The one-line spelling of an architecture.

A network is written `r224-s32-[ds_r1_k3_s1_e1_c16_se0.25|ir_r2_k3_s2_e6_c24_se0.25]-h1280`:
input resolution (`r96x192`: height and width), stem channels, stages in timm's shorthand, head
channels, and after them whatever departs from the defaults. Tokens at their default are left out,
so that equal architectures have equal spellings.
"""

from decimal import Decimal
from typing import TYPE_CHECKING

from blocks.arch.words import ACTIVATIONS

if TYPE_CHECKING:
    from blocks.arch.spec import ArchSpec
    from blocks.arch.stage import StageSpec


def format_arch(arch: "ArchSpec") -> str:
    """The spelling of `arch`: its identity in records, on command lines, for duplicates."""
    parts = [f"r{arch.image}"]
    if arch.in_channels != 3:
        parts.append(f"i{arch.in_channels}")
    stem = f"s{arch.stem}"
    if arch.stem_stride != 2:
        stem += f"_s{arch.stem_stride}"
    if arch.stem_kernel != 3:
        stem += f"_k{arch.stem_kernel}"
    parts.append(stem + ("_mp" if arch.stem_pool else ""))
    parts.append("[" + "|".join(map(format_stage, arch.stages)) + "]")
    parts.append(f"h{arch.head}" + (f"_l{arch.head_hidden}" if arch.head_hidden else ""))
    if arch.act != "silu":
        parts.append(ACTIVATIONS[arch.act])
    squeeze = [
        *(["gh"] if arch.se_gate == "hard_sigmoid" else []),
        *([ACTIVATIONS[arch.se_act]] if arch.se_act is not None else []),
        *(["x"] if arch.se_base == "expanded" else []),
        *([f"d{arch.se_divisor}"] if arch.se_divisor != 1 else []),
    ]
    if squeeze:
        parts.append("_".join(["se", *squeeze]))
    if arch.padding == "same":
        parts.append("same")
    if arch.norm_eps != 1e-5:
        parts.append(f"eps{_number(arch.norm_eps)}")
    if arch.norm_momentum != 0.1:
        parts.append(f"mom{_number(arch.norm_momentum)}")
    if arch.norm_group_size:
        parts.append(f"gn{arch.norm_group_size}")
    if arch.global_residual:
        parts.append("gres")
    return "-".join(parts)


def format_stage(stage: "StageSpec") -> str:
    tokens = [
        stage.block,
        f"r{stage.repeats}",
        f"k{stage.kernel}",
        f"s{stage.stride}",
        f"e{_number(stage.expand_ratio)}",
        f"c{stage.channels}",
    ]
    if stage.groups != 1:
        tokens.append(f"g{stage.groups}")
    if stage.se_ratio:
        tokens.append(f"se{_number(stage.se_ratio)}")
    if stage.act is not None:
        tokens.append(ACTIVATIONS[stage.act])
    if not stage.skip:
        tokens.append("noskip")
    return "_".join(tokens)


def _number(value: float) -> str:
    # Never an exponent: its minus sign would read as the end of a token.
    return str(int(value)) if value == int(value) else f"{Decimal(repr(float(value))):f}"
