"""Augmented batches: the same bits as ever where nothing new is on, and by hand where it is."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from PIL import Image, ImageEnhance, ImageOps
from scipy.stats import kstest

from blocks.arch import parse_arch
from search.config.schema import DatasetConfig, ProxyConfig
from search.data.augment import Augmentation, _beta, augment, cut_and_mix
from search.data.batches import Batches, prepare
from search.data.datasets import load_data
from search.data.rand_augment import COLOURS, MOTIONS, _move
from search.data.resized import resize
from search.training.train import train

ALL = Augmentation(
    flip=True, crop_padding=2, rand_augment=9, cutout=4, mixup=0.4, cutmix=1.0
)  # fmt: skip


def seeded(seed: int = 3) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def photos(channels: int, count: int = 37, side: int = 12) -> torch.Tensor:
    pixels = torch.randint(0, 256, (count, channels, side, side), generator=seeded(0))
    return pixels.to(torch.uint8)


def plain_path(
    batches: Batches, batch_size: int, flip: bool, padding: int, generator: torch.Generator
) -> list[tuple[torch.Tensor, torch.Tensor]]:
    """The path as version 0.1 had it, in whole-tensor operations."""
    found = []
    train_images = batches.train.images.clone(memory_format=torch.contiguous_format)
    order = torch.randperm(len(batches.train), generator=generator)
    for chosen in torch.split(order, batch_size):
        if len(chosen) < min(batch_size, len(order)):
            break
        images = train_images[chosen]
        count, channels, height, width = images.shape
        if flip:
            mirrored = torch.rand(count, generator=generator) < 0.5
            images = torch.where(mirrored[:, None, None, None], images.flip(3), images)
        if padding:
            padded = F.pad(images, (padding,) * 4)
            shift = torch.randint(0, 2 * padding + 1, (2, count), generator=generator)
            rows = (shift[0, :, None] + torch.arange(height))[:, None, :, None]
            columns = (shift[1, :, None] + torch.arange(width))[:, None, None, :]
            sample = torch.arange(count)[:, None, None, None]
            images = padded[sample, torch.arange(channels)[None, :, None, None], rows, columns]
        scaled = images.float().sub_(batches.mean).div_(batches.std)
        found.append(
            (scaled.contiguous(memory_format=torch.channels_last), batches.train.labels[chosen])
        )
    return found


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize(("flip", "padding"), [(False, 0), (True, 0), (False, 3), (True, 2)])
def test_flip_crop_and_normalise_are_what_they_were(
    tmp_path: Path, channels: int, flip: bool, padding: int
) -> None:
    images = photos(channels, 90).movedim(1, 3).numpy()
    images = images[..., 0] if channels == 1 else images
    np.savez(tmp_path / "x.npz", x_train=images, y_train=np.arange(90) % 2)
    batches = prepare(load_data(DatasetConfig(root=str(tmp_path / "x.npz")), 12), 12)
    old = plain_path(batches, 16, flip, padding, seeded())
    augmentation = Augmentation(flip=flip, crop_padding=padding)
    new = list(batches.shuffled(16, augmentation, 2, seeded()))
    assert len(new) == len(old) >= 3
    for (ours, our_labels), (theirs, their_labels) in zip(new, old, strict=True):
        assert torch.equal(ours, theirs)
        assert ours.stride() == theirs.stride()
        assert torch.equal(our_labels, their_labels)


@pytest.mark.parametrize("channels", [1, 3])
def test_resizing_is_what_it_was(channels: int) -> None:
    images = photos(channels, 20, 21)
    plain = F.interpolate(images.float(), (14, 14), mode="bilinear", antialias=True)
    plain = plain.round_().clamp_(0, 255).to(torch.uint8)
    as_loaded = images.permute(0, 2, 3, 1).contiguous().permute(0, 3, 1, 2)
    assert torch.equal(resize(as_loaded, 14), plain)
    assert torch.equal(resize(images, 14), plain)


@pytest.mark.parametrize("channels", [1, 3])
def test_everything_follows_the_generator_and_leaves_its_input(channels: int) -> None:
    images = photos(channels)
    kept = images.clone()
    labels = torch.arange(37) % 4

    def draw(seed: int) -> tuple[torch.Tensor, torch.Tensor]:
        generator = seeded(seed)
        changed = augment(images, ALL, generator).float()
        return cut_and_mix(changed, labels, 4, ALL, generator)

    first, again, other = draw(1), draw(1), draw(2)
    assert torch.equal(first[0], again[0])
    assert torch.equal(first[1], again[1])
    assert not torch.equal(first[0], other[0])
    assert torch.equal(images, kept)
    assert first[1].sum(1).tolist() == pytest.approx([1.0] * 37)


def test_augmentation_is_a_flip_or_a_shift_of_the_image() -> None:
    image = torch.arange(1, 17, dtype=torch.uint8).view(1, 1, 4, 4)
    many = image.expand(64, 1, 4, 4)

    def draw(flip: bool, padding: int) -> torch.Tensor:
        augmentation = Augmentation(flip=flip, crop_padding=padding)
        return augment(many, augmentation, torch.Generator().manual_seed(3))

    assert torch.equal(draw(False, 0), many)
    seen = {tuple(one.flatten().tolist()) for one in draw(True, 0)}
    assert seen == {tuple(image.flatten().tolist()), tuple(image.flip(3).flatten().tolist())}
    padded = torch.nn.functional.pad(image, (1, 1, 1, 1))
    windows = {
        tuple(padded[0, 0, y : y + 4, x : x + 4].flatten().tolist())
        for y in range(3)
        for x in range(3)
    }
    assert {tuple(one.flatten().tolist()) for one in draw(False, 1)} == windows
    assert torch.equal(draw(True, 1), draw(True, 1))


def test_cutout_is_a_square_that_may_leave_the_image() -> None:
    images = torch.ones(500, 2, 8, 8)
    cut, labels = cut_and_mix(images, torch.zeros(500).long(), 3, Augmentation(cutout=4), seeded())
    assert labels.dtype == torch.int64
    assert torch.equal(cut[:, 0], cut[:, 1])
    holes = 1 - cut[:, 0]
    heights, widths = holes.amax(2).sum(1), holes.amax(1).sum(1)
    assert torch.equal(heights * widths, holes.sum((1, 2)))
    assert set(heights.tolist()) == set(widths.tolist()) == {2, 3, 4}


def test_mixup_is_one_line_between_neighbours() -> None:
    images, labels = photos(3).float(), torch.arange(37) % 5
    mixed, soft = cut_and_mix(images.clone(), labels, 5, Augmentation(mixup=1.0), seeded())
    share = soft[0, 0].item()
    assert 0.01 < share < 0.99
    assert torch.allclose(mixed, share * images + (1 - share) * images.roll(1, 0), atol=1e-3)
    hard = F.one_hot(labels, 5).float()
    assert torch.allclose(soft, share * hard + (1 - share) * hard.roll(1, 0))


def test_cutmix_labels_hold_the_shares_of_pixels() -> None:
    images = torch.arange(6.0)[:, None, None, None].expand(6, 1, 10, 10)
    labels = torch.arange(6)
    shares = set()
    for seed in range(40):
        cut, soft = cut_and_mix(images.clone(), labels, 6, Augmentation(cutmix=1.0), seeded(seed))
        for image in range(6):
            counts = [(cut[image] == label).float().mean().item() for label in range(6)]
            assert soft[image].tolist() == pytest.approx(counts, abs=1e-6)
        shares.add(round(soft[0, 0].item(), 2))
    assert len(shares) > 15


def test_of_mixup_and_cutmix_each_batch_gets_one() -> None:
    images = torch.arange(8.0)[:, None, None, None].expand(8, 1, 9, 9)
    both = Augmentation(mixup=1.0, cutmix=1.0)
    whole = 0
    for seed in range(200):
        mixed, _ = cut_and_mix(images.clone(), torch.arange(8), 8, both, seeded(seed))
        whole += len(mixed[3].unique()) == 1 and mixed[3, 0, 0, 0] not in (2, 3)
    assert 70 < whole < 130


@pytest.mark.parametrize("alpha", [0.2, 1.0, 3.0])
def test_shares_are_of_the_beta_distribution(alpha: float) -> None:
    generator = seeded()
    drawn = [_beta(alpha, generator) for _ in range(2000)]
    assert kstest(drawn, "beta", (alpha, alpha)).pvalue > 0.01


def pillow(image: np.ndarray, change: Callable[[Image.Image], Image.Image]) -> torch.Tensor:
    return torch.from_numpy(np.asarray(change(Image.fromarray(image))).copy()).float()


def test_colours_are_pillow_s() -> None:
    """Within one level of its rounding; contrast around the mean of all channels, grey here."""
    grey = photos(1, 1)[0, 0].numpy()
    pixels = torch.from_numpy(grey)[None, :, :, None].float()

    def ours(name: str, strength: float) -> torch.Tensor:
        changed = COLOURS[name](pixels.clone(), torch.full((1, 1, 1, 1), strength))
        return changed.round().clamp(0, 255)[0, :, :, 0]

    for strength in (-0.7, 0.5):
        factor = 1 + 0.9 * strength
        for name, kind in (
            ("brightness", ImageEnhance.Brightness),
            ("contrast", ImageEnhance.Contrast),
            ("sharpness", ImageEnhance.Sharpness),
        ):
            theirs = pillow(grey, lambda image, k=kind, f=factor: k(image).enhance(f))
            assert (ours(name, strength) - theirs).abs().max() <= 2, name
        threshold = 256 * (1 - abs(strength))
        assert torch.equal(
            ours("solarize", strength), pillow(grey, lambda i, t=threshold: ImageOps.solarize(i, t))
        )
    assert torch.equal(ours("posterize", 1.0), pillow(grey, lambda i: ImageOps.posterize(i, 4)))


def test_motions_are_those_of_affine_grid() -> None:
    pixels = photos(3, 1).movedim(1, 3).float()
    turn, shear, shift = 0.5 * MOTIONS["rotate"], 0.5 * 0.3, 0.5 * 0.45
    cos, sin = np.cos(turn), np.sin(turn)
    matrices = [
        [[cos, -sin, 0], [sin, cos, 0]],
        [[1, shear, 0], [0, 1, 0]],
        [[1, 0, 0], [shear, 1, 0]],
        [[1, 0, 2 * shift], [0, 1, 0]],
        [[1, 0, 0], [0, 1, 2 * shift]],
    ]
    for kind, matrix in enumerate(matrices, 1):
        grid = F.affine_grid(torch.tensor([matrix]).float(), [1, 3, 12, 12], align_corners=False)
        theirs = F.grid_sample(pixels.movedim(3, 1), grid, align_corners=False).movedim(1, 3)
        ours = _move(pixels, torch.tensor([kind]), torch.tensor([0.5]))
        assert torch.allclose(ours, theirs, atol=1e-2), kind


@pytest.mark.parametrize("kind", [1, 2, 3])
def test_angles_are_of_pixels_where_images_are_not_square(kind: int) -> None:
    """Turned or sheared alone, a wide image is what it is in the middle of a square."""
    square = torch.zeros(1, 24, 24, 3)
    square[:, 6:18] = photos(1, 1, 24).movedim(1, 3)[:, 6:18].float()
    number, strength = torch.tensor([kind]), torch.tensor([0.5])
    wide = _move(square[:, 6:18].contiguous(), number, strength)
    assert torch.allclose(wide, _move(square, number, strength)[:, 6:18], atol=1e-2)


def test_rand_augment_changes_most_images_and_more_with_magnitude() -> None:
    smooth = torch.linspace(20, 230, 16).to(torch.uint8).expand(400, 3, 16, 16)

    def distance(magnitude: float) -> torch.Tensor:
        changed = augment(smooth, Augmentation(rand_augment=magnitude), seeded())
        assert changed.dtype == torch.uint8
        return (changed.float() - smooth.float()).abs().mean((1, 2, 3))

    strong = distance(10)
    assert 0.8 < (strong > 0).float().mean() < 1
    assert distance(2).mean() < 0.5 * strong.mean()


@pytest.mark.parametrize("side", [1, 2, 3])
def test_the_smallest_images(side: int) -> None:
    images = photos(1, 64, side)
    mixed, _ = cut_and_mix(
        augment(images, ALL, seeded()).float(), torch.zeros(64).long(), 2, ALL, seeded()
    )
    assert mixed.shape == images.shape


def test_augmented_training_in_pieces_is_the_training_in_one(digits: Path, tmp_path: Path) -> None:
    batches = prepare(load_data(DatasetConfig(root=str(digits)), 8), 8)
    arch = parse_arch("r8-i1-s16_s1-[ds_r1_k3_s2_e1_c16]-h32")
    proxy = ProxyConfig(
        resolution=8,
        start_resolution=1.0,
        crop_padding=1,
        rand_augment=5,
        cutout=2,
        mixup=0.2,
        cutmix=1.0,
    )
    whole = train(arch, 10, batches, proxy, 3, seed=0)
    path = tmp_path / "0.pt"
    for until in (1, 2, 3):
        piece = train(arch, 10, batches, proxy, 3, seed=0, until=until, checkpoint=path)
    assert (piece.train_loss, piece.val_loss) == (whole.train_loss, whole.val_loss)
    assert whole.val_accuracy > 0.3
    plain = train(arch, 10, batches, replace(proxy, mixup=0.0, cutmix=0.0), 1, seed=0)
    assert plain.train_loss[0] != whole.train_loss[0]
