"""Pictures of networks: `python -m blocks draw` and `from blocks import draw`."""

import itertools
import xml.etree.ElementTree as ET
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from matplotlib.image import imread

from blocks import draw
from blocks.arch import ArchSpec, parse_arch
from blocks.cost import count_by_stage
from blocks.drawing.columns import columns_of
from blocks.drawing.face import Drawing
from blocks.drawing.layout import BOX, LEAST, Drawn, lay_out
from blocks.drawing.shapes import KERNEL_COLOURS, kernel_colour
from blocks.zoo import ZOO
from tests.conftest import ROOT, Cli, Refuse
from tests.strategies import archs

SVG = "{http://www.w3.org/2000/svg}"
ALL_KINDS = (
    "r64x40-i4-s8-[ds_r1_k3_s1_e1_c8|ir_r2_k5_s2_e6_c16_se0.25|er_r1_k3_s1_e4_c16|"
    "cn_r6_k9_s1_e1_c24|bt_r1_k7_s2_e0.25_c32|bx_r1_k3_s1_e0.5_c32_g4]-h64"
)


def boxes(svg: str, key: str) -> list[dict[str, str]]:
    """The attributes of the rectangles that show `key`."""
    return [each.attrib for each in ET.fromstring(svg).iter(f"{SVG}rect")
            if each.get("data-key") == key]  # fmt: skip


def said(svg: str) -> str:
    return "\n".join(each.text or "" for each in ET.fromstring(svg).iter(f"{SVG}text"))


@given(archs())
@settings(max_examples=40)
def test_boxes_follow_the_network(arch: ArchSpec) -> None:
    svg = draw(arch, num_classes=7).svg()
    assert svg == draw(arch, num_classes=7).svg()
    columns = columns_of(arch, 7)
    macs = [cost.macs for cost in count_by_stage(arch, 7)]
    most, highest = max(c.channels for c in columns), max(c.leaves.height for c in columns)
    found = [boxes(svg, column.name) for column in columns]
    assert [len(each) for each in found] == [1] * (len(arch.stages) + 2)
    bars = boxes(svg, "macs")
    centre = 0.0
    for column, (box,), bar, its_macs in zip(columns, found, bars, macs, strict=True):
        height = max(LEAST, BOX[1] * column.leaves.height / highest)
        width = max(LEAST, BOX[0] * (column.channels / most) ** 0.5)
        assert float(box["height"]) == pytest.approx(height, abs=0.006)
        assert float(box["width"]) == pytest.approx(width, abs=0.006)
        assert box["fill"] == kernel_colour(column.kernel)
        middle = float(box["x"]) + width / 2
        assert middle > centre
        centre = middle
        # All stand on one line, and their bars compare.
        assert float(box["y"]) + height == pytest.approx(
            float(found[0][0]["y"]) + float(found[0][0]["height"]), abs=0.02
        )
        longest = max(float(each["width"]) for each in bars)
        assert float(bar["width"]) == pytest.approx(longest * its_macs / max(macs), abs=0.02)
    behind = Counter(box["y"] for box in boxes(svg, "behind"))
    assert behind.total() == sum(min(stage.repeats - 1, 4) for stage in arch.stages)
    squeezed = sum(stage.se_ratio > 0 for stage in arch.stages)
    assert len(boxes(svg, "squeeze-excite")) == squeezed
    assert len(boxes(svg, "expansion")) == sum(s.expand_ratio != 1 for s in arch.stages)


def test_every_kind_of_block_and_images_that_are_not_square() -> None:
    svg = draw(ALL_KINDS).svg()
    for kind in ("ds", "ir ×2", "er", "cn ×6", "bt", "bx"):
        assert f" {kind}\n" in said(svg)
    assert "64×40 px, 4 channels" in said(svg)
    assert "map 32x20" in said(svg)
    assert "kernel 9 and over" in said(svg)
    assert svg.count("4 groups") == 1


def test_colours_differ_in_grey() -> None:
    weights = np.array([0.2126, 0.7152, 0.0722])
    grey = [
        weights @ (np.array([int(colour[i : i + 2], 16) for i in (1, 3, 5)]) / 255) ** 2.2
        for kernel, colour in KERNEL_COLOURS.items()
        if kernel > 1
    ]
    steps = [lighter / darker for lighter, darker in itertools.pairwise(grey)]
    assert min(steps) > 1.25


def test_two_networks_show_what_differs() -> None:
    one = parse_arch("r32-s8-[ds_r1_k3_s1_e1_c8|ir_r2_k5_s2_e6_c16_se0.25]-h64")
    two = parse_arch("r32-s8-[ds_r1_k3_s1_e1_c8|ir_r2_k7_s2_e6_c24]-h64-nhs")
    svg = draw(one, two).svg()
    assert len(boxes(svg, "changed")) == 2
    changes = "stage 2: kernel 5 → 7, channels 16 → 24, squeeze-excite 0.25 → none"
    assert changes in " ".join(said(svg).split())
    assert "act silu → hard_swish" in said(svg)
    same = draw(one, one).svg()
    assert not boxes(same, "changed")
    assert "the two are equal" in said(same)


def test_a_stage_that_one_lacks_leaves_a_gap() -> None:
    one = "r32-s8-[ds_r1_k3_s1_e1_c8|ir_r2_k5_s2_e6_c16|ir_r1_k3_s2_e6_c40]-h64"
    two = "r32-s8-[ds_r1_k3_s1_e1_c8|ir_r1_k3_s2_e6_c40]-h64"
    svg = draw(one, two).svg()
    assert len(boxes(svg, "absent")) == 1
    assert "stage 2 only in the first" in said(svg)
    many = f"r32-s8-[{'|'.join(['ds_r1_k3_s1_e1_c8'] * 400)}]-h8"
    assert draw(many, two).svg()


def test_names_are_escaped_and_shortened() -> None:
    name = "<script>alert('x')</script>&\x01" + "long " * 200
    picture = Drawing(lay_out([Drawn(name, ZOO["efficientnet_b0"], 10)]))
    root = ET.fromstring(picture.svg())
    assert not list(root.iter(f"{SVG}script"))
    title = root.find(f"{SVG}title")
    assert title is not None
    assert title.text == name.replace("\x01", "�")
    assert max(len(line) for line in said(picture.svg()).splitlines()) < 150


def test_command_writes_svg_and_png(cli: Cli, tmp_path: Path) -> None:
    (tmp_path / "b0.yaml").write_text(f"arch: '{ALL_KINDS}'\nnum_classes: 10\n")
    assert (
        "wrote both.svg"
        in cli("blocks", "draw", "b0.yaml", "mobilenetv3_small", "--output", "both.svg").stdout
    )
    shown = (tmp_path / "both.svg").read_text("utf-8")
    assert shown == draw(tmp_path / "b0.yaml", "mobilenetv3_small").svg()
    assert said(shown).startswith("b0\n")
    pixels = imread(draw(ALL_KINDS).save(tmp_path / "b0.png"))
    for kernel in (3, 5, 7, 9):
        colour = [int(KERNEL_COLOURS[kernel][i : i + 2], 16) / 255 for i in (1, 3, 5)]
        assert np.isclose(pixels[..., :3], colour, atol=0.01).all(-1).sum() > 50, kernel


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["nothing_b0"], "unknown network 'nothing_b0'"),
        (["efficientnet_b0", "--output", "b0.jpg"], "ends in .svg or .png"),
        (["efficientnet_b0", "gone.yaml"], "cannot read gone.yaml"),
        (["efficientnet_b0", "--num-classes", "0"], "num_classes 0 is not a whole number"),
        ([f"r32-s8-[{'|'.join(['ds_r1_k3_s1_e1_c8'] * 600)}]-h8", "--output", "x.png"],
         "too large for PNG"),
    ],
)  # fmt: skip
def test_refused(refuse: Refuse, arguments: list[str], message: str) -> None:
    assert message in refuse("blocks", "draw", *arguments)


def test_the_picture_on_the_page_is_up_to_date() -> None:
    stored = (ROOT / "docs" / "images" / "efficientnet_b0.svg").read_text("utf-8")
    assert stored == draw("efficientnet_b0").svg()
