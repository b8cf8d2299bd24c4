"""Architectures as frozen values, and their one-line spelling."""

from blocks.arch.format import format_arch
from blocks.arch.mapping import arch_from_mapping, arch_to_mapping
from blocks.arch.parse import parse_arch
from blocks.arch.size import Size, size_from, square
from blocks.arch.spec import ArchSpec
from blocks.arch.stage import StageSpec
from blocks.arch.words import ACTIVATIONS, BLOCKS, BOTTLENECKS, MAX_KERNEL

__all__ = [
    "ACTIVATIONS",
    "BLOCKS",
    "BOTTLENECKS",
    "MAX_KERNEL",
    "ArchSpec",
    "Size",
    "StageSpec",
    "arch_from_mapping",
    "arch_to_mapping",
    "format_arch",
    "parse_arch",
    "size_from",
    "square",
]
