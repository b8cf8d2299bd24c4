"""The spelling of architectures: strict, and the identity of a network."""

import pytest
from hypothesis import given

from blocks.arch import (
    ArchSpec,
    StageSpec,
    arch_from_mapping,
    arch_to_mapping,
    format_arch,
    parse_arch,
)
from blocks.errors import ArchError
from tests.strategies import archs

SMALL = "r32-s16-[ds_r1_k3_s1_e1_c16|ir_r2_k5_s2_e6_c24_se0.25]-h64"


@given(archs())
def test_parse_inverts_format(arch: ArchSpec) -> None:
    assert parse_arch(format_arch(arch)) == arch
    assert hash(parse_arch(format_arch(arch))) == hash(arch)


@given(archs())
def test_mapping_inverts(arch: ArchSpec) -> None:
    assert arch_from_mapping(arch_to_mapping(arch)) == arch


def test_the_line_reads_as_designed() -> None:
    arch = parse_arch(SMALL)
    assert arch == ArchSpec(
        stem=16,
        stages=(
            StageSpec("ds", 1, 3, 1, 1, 16),
            StageSpec("ir", 2, 5, 2, 6, 24, 0.25),
        ),
        head=64,
        resolution=32,
    )
    assert format_arch(arch) == SMALL


def test_tokens_at_their_default_are_accepted_and_left_out() -> None:
    spelt = "r32-i3-s16_s2-[ds_r1_k3_s1_e1_c16_se0]-h64-nsw"
    assert format_arch(parse_arch(spelt)) == "r32-s16-[ds_r1_k3_s1_e1_c16]-h64"


@pytest.mark.parametrize(
    ("spelling", "message"),
    [
        ("", "cannot read architecture ''"),
        ("efficientnet", "cannot read architecture"),
        ("r32-s16-[ds_r1_k3_s1_e1_c16]", "cannot read architecture"),
        (SMALL.replace("_k5", "_q5"), r"unknown token 'q5' at position 35"),
        (SMALL.replace("ir_", "mb_"), r"unknown block 'mb' at position 29"),
        (SMALL.replace("_k5", "_k5_k5"), r"duplicate token 'k5' at position 38"),
        (SMALL.replace("_k5", ""), r"missing token 'k' in positions"),
        (SMALL.replace("_k5", "_k"), r"malformed token 'k' at position 35"),
        (SMALL.replace("_k5", "_k05"), r"malformed token 'k05'"),
        (SMALL.replace("_k5", "_k4"), r"kernel 4 is even; .*stage 'ir_.*position 29"),
        (SMALL.replace("_k5", "_k1"), r"kernel 1 is not a whole number of 3 or more"),
        (SMALL.replace("_e6", "_e1"), r"block ir has expand_ratio 1"),
        (SMALL.replace("_e1_", "_e2_"), r"block ds has expand_ratio 2"),
        (SMALL.replace("se0.25", "se1.5"), r"se_ratio 1.5 is not a number from 0 to 1"),
        (SMALL.replace("r32-", ""), r"missing token 'r'"),
        (SMALL.replace("h64", "h64-h64"), r"duplicate token 'h64'"),
        (SMALL.replace("h64", "h64-nxx"), r"malformed token 'nxx'"),
        (SMALL.replace("h64", "h64-x"), r"unknown token 'x'"),
        (SMALL.replace("s16", "s16_s3"), r"stem_stride 3 is not 1 or 2"),
        (SMALL + " ", r"malformed token 'h64 '"),
        (SMALL.replace("k5", "k٥"), r"malformed token 'k٥'"),
    ],
)
def test_what_is_not_understood_is_an_error_that_names_it(spelling: str, message: str) -> None:
    with pytest.raises(ArchError, match=message):
        parse_arch(spelling)


def test_mapping_errors_name_the_field() -> None:
    mapping = arch_to_mapping(parse_arch(SMALL))
    with pytest.raises(ArchError, match=r"unknown field 'heed' in architecture .*'head'"):
        arch_from_mapping({**mapping, "heed": 1})
    with pytest.raises(ArchError, match="architecture lacks head"):
        arch_from_mapping({key: value for key, value in mapping.items() if key != "head"})
    with pytest.raises(ArchError, match="'stages' is None"):
        arch_from_mapping({})


@pytest.mark.parametrize("channels", [0, -8, 8.0, True, "8"])
def test_fields_are_checked_once_at_construction(channels: object) -> None:
    with pytest.raises(ArchError, match="channels"):
        StageSpec("ds", 1, 3, 1, 1, channels)  # type: ignore[arg-type]
