"""From a file to a network's input: as the search does it, or as networks are published."""

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from blocks.arch import parse_arch, square
from blocks.errors import ExportError
from blocks.images.inputs import decode_at, decode_for, resize
from blocks.images.reading import (
    PUBLISHED,
    USUAL,
    Reading,
    reading_from,
    reading_to_mapping,
    whole_mapping,
)
from blocks.subject import read_subject
from search.data.decode import decode_file
from search.data.resized import resize as resize_as_searched

ARCH = parse_arch("r20-s8-[ds_r1_k3_s1_e1_c8]-h8")
WIDE = parse_arch("r20x12-s8-[ds_r1_k3_s1_e1_c8]-h8")


@pytest.mark.parametrize("size", [(64, 64), (31, 90), (20, 700), (12, 9)])
@pytest.mark.parametrize("mode", ["L", "RGB"])
@pytest.mark.parametrize("resize_by", ["crop", "pad", "squash"])
def test_a_file_is_the_same_at_work_as_it_was_in_the_search(
    tmp_path: Path, size: tuple[int, int], mode: str, resize_by: str
) -> None:
    noise = np.random.default_rng(0).integers(0, 256, (size[1], size[0], 3), dtype=np.uint8)
    path = tmp_path / "noise.png"
    Image.fromarray(noise).convert(mode).save(path)
    stored = square(30)
    searched = decode_file(path, stored, Reading(resize=resize_by))[0]
    pixels = torch.from_numpy(searched).permute(2, 0, 1)[None]
    for arch in (ARCH, WIDE):
        expected = resize_as_searched(pixels, arch.image).expand(-1, 3, -1, -1).float() / 255
        reading = Reading(resize=resize_by, image_size=(30, 30))
        assert torch.equal(decode_for(path, arch, reading, ExportError), expected[0])


def test_published_networks_see_seven_eighths_bicubic(tmp_path: Path) -> None:
    """By Pillow alone: the shorter side to 20/0.875 = 23 pixels, then the centre."""
    noise = np.random.default_rng(1).integers(0, 256, (46, 92, 3), dtype=np.uint8)
    path = tmp_path / "noise.png"
    Image.fromarray(noise).save(path)
    large = Image.fromarray(noise).resize((46, 23), Image.Resampling.BICUBIC)
    expected = np.asarray(large.crop((13, 1, 33, 21)))
    assert np.array_equal(decode_at(path, square(20), PUBLISHED, ExportError)[0], expected)
    assert not np.array_equal(decode_at(path, square(20), USUAL, ExportError)[0], expected)


def test_images_of_the_right_size_are_left_alone() -> None:
    images = torch.arange(2 * 3 * 4 * 5, dtype=torch.uint8).reshape(2, 3, 4, 5)
    same = resize(images[:, :, :, :4], square(4))
    assert torch.equal(same, images[:, :, :, :4].float())


@pytest.mark.parametrize(
    "reading", [USUAL, PUBLISHED, Reading(image_size=(30, 44), span=(0.0, 9.0), crop=0.5)]
)
def test_a_reading_is_read_back(reading: Reading) -> None:
    assert reading_from(reading_to_mapping(reading)) == reading
    assert reading_from(whole_mapping(reading)) == reading


@pytest.mark.parametrize("wrong", [{"crop": 0}, {"crop": 1.5}, {"interpolation": "nearest"}])
def test_a_reading_that_cannot_be_is_refused(wrong: dict[str, object]) -> None:
    with pytest.raises(ValueError, match=next(iter(wrong))):
        reading_from(wrong)


def test_what_is_trained_reads_as_its_search_and_what_is_published_as_published(
    tmp_path: Path,
) -> None:
    assert read_subject("efficientnet_b0").reading == PUBLISHED
    family, trained = tmp_path / "b3.yaml", tmp_path / "trained" / "model.yaml"
    family.write_text(f"arch: {ARCH}\nnum_classes: 3\n")
    assert read_subject(str(family)).reading == PUBLISHED
    trained.parent.mkdir()
    trained.write_text(
        f"name: b3\narch: {ARCH}\nnum_classes: 3\nweights: model.safetensors\n"
        "normalisation: {mean: [0.1, 0.2, 0.3], std: [1, 1, 1]}\nreading: {image_size: [30, 30]}\n"
        "task: multilabel\nthreshold: 0.3\n"
    )
    found = read_subject(str(trained.parent))
    assert found.reading == Reading(image_size=(30, 30))
    assert (found.name, found.several, found.threshold) == ("b3", True, 0.3)
