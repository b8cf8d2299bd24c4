"""The walk over blocks: by hand, against the modules, and on arrays against itself."""

from typing import Any

import numpy as np
from hypothesis import given

from blocks.arch import ArchSpec, Size, parse_arch, square
from blocks.arch.walk import has_identity, strides_to_the_end, walk, walk_alike
from blocks.cost import ArchColumns
from blocks.layers import Shortcut
from blocks.network import Network
from tests.strategies import archs


def test_two_stages_by_hand() -> None:
    arch = parse_arch("r32-s16-[ds_r1_k3_s1_e1_c16|ir_r3_k5_s2_e6_c24_se0.25]-h64")
    first, second, third, fourth = walk(arch)
    assert [block.name for block in walk(arch)] == [
        "stages.0.0",
        "stages.1.0",
        "stages.1.1",
        "stages.1.2",
    ]
    assert (first.in_channels, first.out_channels, first.hidden, first.squeezed) == (16, 16, 16, 0)
    assert (first.stride, first.in_map, first.out_map) == (1, square(16), square(16))
    assert (first.adds, first.is_last) == (True, True)
    assert (second.in_channels, second.out_channels, second.hidden) == (16, 24, 96)
    assert (second.stride, second.in_map, second.out_map) == (2, square(16), square(8))
    assert second.squeezed == 4
    assert (second.adds, second.projects, second.is_last) == (False, False, False)
    assert (third.in_channels, third.hidden, third.squeezed, third.adds) == (24, 144, 6, True)
    assert fourth == third._replace(repeat=2)
    assert fourth.is_last


def test_a_bottleneck_projects_where_its_shape_changes() -> None:
    arch = parse_arch("r32-s16-[bt_r2_k3_s2_e0.25_c64|bt_r1_k3_s1_e0.25_c64_noskip]-h0-nre")
    assert [(block.adds, block.projects) for block in walk(arch)] == [
        (False, True),
        (True, False),
        (False, False),
    ]


def test_a_stage_of_one_block_that_changes_the_shape_has_no_identity() -> None:
    assert has_identity(repeats=1, stride=1, inputs=8, outputs=8)
    assert has_identity(repeats=2, stride=2, inputs=8, outputs=16)
    assert not has_identity(repeats=1, stride=2, inputs=8, outputs=8)
    assert not has_identity(repeats=1, stride=1, inputs=8, outputs=16)


@given(archs())
def test_modules_stand_where_the_walk_says(arch: ArchSpec) -> None:
    modules = dict(Network(arch, 3).named_modules())
    blocks = list(walk(arch))
    assert [name for name, module in modules.items() if isinstance(module, Shortcut)] == [
        block.name for block in blocks
    ]
    for block in blocks:
        module = modules[block.name]
        assert (module.skip, module.projects) == (block.adds, block.projects)
    last = blocks[-1]
    assert strides_to_the_end(arch)[0] >= blocks[0].out_map.height // last.out_map.height


@given(archs())
def test_the_walk_on_arrays_is_the_walk(arch: ArchSpec) -> None:
    # Beside another network, so that some stages are absent of one of the two.
    other = parse_arch("r32-s16-[ds_r1_k3_s1_e1_c16|ir_r3_k5_s2_e6_c24_se0.25]-h64")
    columns = ArchColumns.from_archs([arch, other])
    for row, each in enumerate((arch, other)):
        found = [
            (blocks.position, *(_at(column, row) for column in blocks[1:]))
            for blocks in columns.blocks()
            if blocks.times[row]
        ]
        assert found == [
            (block.stage_index, times, *block[3:]) for block, times in walk_alike(each)
        ]


def _at(column: Any, row: int) -> Any:
    if isinstance(column, Size):
        return Size(_at(column.height, row), _at(column.width, row))
    return np.asarray(column)[row].item()
