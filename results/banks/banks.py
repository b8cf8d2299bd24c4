"""What the banks are: their images, space, budget and schedules."""

from dataclasses import dataclass, field, replace
from itertools import zip_longest
from pathlib import Path
from typing import Any, Final, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray

from blocks.arch import parse_arch
from scaling.fitting.design import BEYOND, LOW, draw_points
from scaling.fitting.lattice import Lattice
from search.config.face import config_from
from search.config.schema import EMA, ProxyConfig
from search.data.face import load_data
from search.data.splits import ImageData, Split
from search.space.budget import cost_budget
from search.space.choices import build_space
from search.space.members import SpaceCandidates, draw_members

SCALED: Final = (1 + BEYOND, 3.0)
"""Most doublings of B0's macs in the two halves of a scaled bank: those of a fit as it is by
default, and further ones."""


PARTS: Final = 5
"""Into which a bank with rotations divides its images."""
FOLDS: Final = 5
"""Into which a bank of few images divides those to train and validate on."""


class Division(NamedTuple):
    """A split of a bank's images: its rotation, and which fold of how many validates."""

    rotation: int
    fold: int = 0
    of: int = FOLDS


@dataclass(frozen=True)
class Schedule:
    """A training, with how many seeds. `every`: epochs between two looks at the validation images.
    `test`: whether the test images are read. `folds`: of each seed the fold that is held out, and
    of how many; without them it is the first of the usual ones.
    """

    name: str
    proxy: ProxyConfig
    epochs: int
    seeds: int
    every: int = 1
    test: bool = False
    folds: tuple[tuple[int, int], ...] = ()

    @property
    def looks(self) -> list[int]:
        """Epochs after which the validation images are looked at."""
        return [*range(self.every, self.epochs, self.every), self.epochs]


@dataclass(frozen=True)
class Bank:
    """Members of a space at one budget, on one set of images.

    With `rotations` above 1 the images are split anew for each replicate: its test images are a
    part of their own, and all parts together are all images. With `few` only so many images train
    and validate.

    `embedded` is the shipped part of Fashion-MNIST, with all its test images; else the images are
    a folder of classes.

    With `baseline` its members are what `scale` makes of that network, as the designs of two fits
    draw them (`SCALED`); there is no budget then.
    """

    name: str
    resolution: int
    channels: int
    classes: int
    target: str
    schedules: tuple[Schedule, ...] = field(repr=False)
    rotations: int = 1
    few: int = 0
    baseline: str | None = None
    embedded: bool = False

    def division(self, schedule: Schedule, replicate: int) -> Division:
        """The split of a training."""
        if schedule.folds:
            return Division(0, *schedule.folds[replicate])
        return Division(replicate % self.rotations)

    def candidates(self, space: str) -> SpaceCandidates:
        """The members of a space at the bank's budget."""
        config = config_from(
            space=space, budget={"target": self.target}, proxy={"resolution": self.resolution}
        )
        budget = cost_budget(config)
        built = build_space(config.space, self.resolution, self.channels, self.classes, budget)
        return SpaceCandidates(built, budget, self.classes)

    def lattice(self, high: float) -> Lattice:
        """What `scale` makes of the baseline, up to so many doublings of its macs."""
        assert self.baseline is not None
        return Lattice(parse_arch(self.baseline), self.classes, "paper", LOW, high)

    def members(self, space: str, number: int) -> list[str]:
        """Random ones; of more, the first are the same."""
        if self.baseline is not None:
            designs = [
                draw_points(self.lattice(high), number, high, [1], [1.0], 0) for high in SCALED
            ]
            taken = dict.fromkeys(p.arch for both in zip_longest(*designs) for p in both if p)
            return list(taken)[:number]
        return draw_members(self.candidates(space), 400, 0)[:number]


def schedules(
    epochs: int, mid: int, long: int, seeds: tuple[int, int, int, int], crop: int, flip: bool
) -> tuple[Schedule, ...]:
    """The proxy with and without growing images, a longer one, and the truth."""
    proxy = ProxyConfig(epochs=epochs, flip=flip, crop_padding=0, ema=EMA, start_resolution=0.5)
    full = replace(proxy, start_resolution=1.0)
    return (
        Schedule("grown", proxy, epochs, seeds[0]),
        Schedule("full", full, epochs, seeds[1]),
        Schedule("mid", replace(full, crop_padding=crop), mid, seeds[2], every=max(1, mid // 12)),
        Schedule(
            "long", replace(full, crop_padding=crop), long, seeds[3], every=max(1, long // 5),
            test=True,
        ),
    )  # fmt: skip


def few_schedules(seeds: int, flip: bool) -> tuple[Schedule, ...]:
    """Of few images: the usual ones, and `mid` on the further folds and on halves, there for as
    many epochs, and for twice as many, which are about as many steps."""
    *proxies, mid, long = schedules(20, 60, 100, (seeds,) * 4, 3, flip)
    further = tuple((fold, FOLDS) for fold in range(1, FOLDS))
    folds = replace(mid, name="folds", seeds=len(further), folds=further)
    halves = [
        replace(mid, name=f"half{epochs}", epochs=epochs, seeds=2, every=20, folds=((0, 2), (1, 2)))
        for epochs in (mid.epochs, 2 * mid.epochs)
    ]
    return (*proxies, mid, folds, *halves, long)


def fit_schedules(epochs: int, long: int, crop: int, flip: bool) -> tuple[Schedule, ...]:
    """The trainings of a fit, and the truth."""
    proxy = ProxyConfig(epochs=epochs, flip=flip, crop_padding=crop, ema=EMA, start_resolution=1.0)
    return (
        Schedule("fit", proxy, epochs, 2),
        Schedule("long", proxy, long, 2, every=long // 5, test=True),
    )


BANKS: Final = {
    bank.name: bank
    for bank in (
        Bank(
            "fashion", 28, 1, 10, "2M", schedules(4, 12, 20, (2, 2, 2, 2), 2, True), embedded=True
        ),
        Bank("emoji", 32, 3, 9, "2M", schedules(4, 12, 20, (2, 2, 2, 2), 3, True)),
        Bank("photos", 32, 3, 10, "4M", schedules(4, 12, 20, (2, 2, 2, 2), 3, True)),
        Bank("few_photos", 32, 3, 10, "2M", few_schedules(2, True), few=410),
        Bank("signs", 32, 3, 10, "2M", few_schedules(3, False), rotations=3),
        Bank(
            "fashion_scaled",
            28,
            1,
            10,
            "",
            fit_schedules(4, 20, 2, True),
            baseline="r28-i1-s8_s1-[ir_r1_k3_s2_e6_c8|ir_r3_k5_s2_e4_c16|ds_r1_k7_s2_e1_c16]-h48",
            embedded=True,
        ),
    )
}


HERE: Final = Path(__file__).resolve().parent


def shipped(name: str) -> Path:
    """The file of a bank."""
    return HERE / f"{name}.jsonl.gz"


def worked(name: str) -> Path:
    """Where its trainings are written first."""
    return HERE / "work" / f"{name}.jsonl"


def load(bank: Bank, root: Path | None, division: Division) -> ImageData:
    """The images of one split of a bank."""
    if root is None:
        raise SystemExit(f"error: the bank {bank.name} needs --root=FOLDER of its images")
    if bank.embedded:
        data = load_data("fashion_mnist", bank.resolution)
        full = load_data("fashion_mnist_full", bank.resolution, root=str(root))
        return replace(data, test=full.test)
    settings: dict[str, Any] = {
        "image_size": bank.resolution,
        "val_fraction": 0.15,
        "test_fraction": 0.15,
    }
    data = load_data("imagefolder", bank.resolution, root=str(root), **settings)
    if bank.few:
        return few_of(data, bank.few, division)
    return data if bank.rotations == 1 else rotated(data, division)


def rotated(data: ImageData, division: Division) -> ImageData:
    """All images split anew: one of `PARTS` to train (a fold of it to validate), the others for
    test; classes in equal shares."""
    images = _joined(data.train, data.val, data.test)
    place = _places(images, data.num_classes)
    test = place % PARTS != division.rotation
    val = ~test & ((place // PARTS) % division.of == division.fold)
    return replace(
        data,
        train=_picked(images, ~test & ~val),
        val=_picked(images, val),
        test=_picked(images, test),
    )


def few_of(data: ImageData, few: int, division: Division) -> ImageData:
    """So many of the images to train and validate on, a fold of them to validate, classes in equal
    shares; all test images."""
    images = _joined(data.train, data.val)
    place = _places(images, data.num_classes)
    kept = place < few // data.num_classes
    val = kept & (place % division.of == division.fold)
    return replace(data, train=_picked(images, kept & ~val), val=_picked(images, val))


def _joined(*splits: Split) -> Split:
    return Split(
        torch.cat([split.images for split in splits]), torch.cat([split.labels for split in splits])
    )


def _places(images: Split, classes: int) -> NDArray[np.int64]:
    """(images,): the place of each in its class, at random."""
    generator = np.random.default_rng(0)
    place = np.zeros(len(images.labels), dtype=np.int64)
    for label in range(classes):
        here = np.flatnonzero(images.labels.numpy() == label)
        place[generator.permutation(here)] = np.arange(len(here))
    return place


def _picked(images: Split, mask: NDArray[np.bool_]) -> Split:
    rows = torch.from_numpy(np.flatnonzero(mask))
    kept = images.images[rows].contiguous(memory_format=torch.channels_last)
    return Split(kept, images.labels[rows])
