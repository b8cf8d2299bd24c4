"""Images per second of the batches that a training sees, by augmentation, beside torchvision's.

    python results/benchmarks/data_path.py --repeats 7

28 px grey: the shipped Fashion-MNIST; 32 px RGB: crops of the photographs that foolbox ships. One
epoch of each row in turn, `--repeats` times, on one core and one thread. "As in 0.1" is the same
path in whole-tensor operations, and gives the same bits. torchvision's is a DataLoader of Pillow
images (RandomCrop, RandomHorizontalFlip, ToTensor, Normalize): without workers on the same core;
with 2, which stay alive between epochs, on all cores of the process.
"""

import os
import time
from collections.abc import Callable, Iterable
from functools import partial

import numpy as np
import torch
import torch.nn.functional as F
from harness import check_finite, make_parser, parse, photographs, print_foot
from opening import first_images
from PIL import Image
from torch import Tensor
from torch.utils.data import DataLoader, Dataset
from torchvision import transforms

from search.config.schema import DatasetConfig
from search.data.augment import Augmentation
from search.data.batches import Batches, prepare
from search.data.datasets import load_data
from search.data.splits import Split

BATCH = 128
PADDING = 4
AUGMENTATIONS = {
    "normalise": Augmentation(),
    "flip": Augmentation(flip=True),
    "flip, crop": Augmentation(flip=True, crop_padding=PADDING),
    "cutout": Augmentation(cutout=8),
    "mixup": Augmentation(mixup=0.2),
    "cutmix": Augmentation(cutmix=1.0),
    "rand_augment": Augmentation(rand_augment=9),
    "all together": Augmentation(True, PADDING, 9, 8, 0.2, 1.0),
}


class PillowImages(Dataset[tuple[Tensor, int]]):
    def __init__(self, batches: Batches) -> None:
        arrays = batches.train.images.permute(0, 2, 3, 1).numpy()
        self.images = [Image.fromarray(a[..., 0] if a.shape[2] == 1 else a) for a in arrays]
        self.labels = batches.train.labels.tolist()
        mean, std = ((moment.flatten() / 255).tolist() for moment in (batches.mean, batches.std))
        self.transform = transforms.Compose(
            [
                transforms.RandomCrop(arrays.shape[1], padding=PADDING),
                transforms.RandomHorizontalFlip(),
                transforms.ToTensor(),
                transforms.Normalize(mean, std),
            ]
        )

    def __len__(self) -> int:
        return len(self.images)

    def __getitem__(self, index: int) -> tuple[Tensor, int]:
        return self.transform(self.images[index]), self.labels[index]


def as_in_0_1(batches: Batches, generator: torch.Generator) -> Iterable[Tensor]:
    """Flip, crop, normalise; `batches` in channels-first memory."""
    for chosen in torch.split(torch.randperm(len(batches.train), generator=generator), BATCH):
        if len(chosen) < BATCH:
            return
        images = batches.train.images[chosen]
        count, channels, height, width = images.shape
        mirrored = torch.rand(count, generator=generator) < 0.5
        images = torch.where(mirrored[:, None, None, None], images.flip(3), images)
        padded = F.pad(images, (PADDING,) * 4)
        shift = torch.randint(0, 2 * PADDING + 1, (2, count), generator=generator)
        rows = (shift[0, :, None] + torch.arange(height))[:, None, :, None]
        columns = (shift[1, :, None] + torch.arange(width))[:, None, None, :]
        sample = torch.arange(count)[:, None, None, None]
        images = padded[sample, torch.arange(channels)[None, :, None, None], rows, columns]
        scaled = images.float().sub_(batches.mean).div_(batches.std)
        yield scaled.contiguous(memory_format=torch.channels_last)


def crops_of_photographs(count: int, side: int, seed: int) -> Batches:
    draw = np.random.default_rng(seed)
    photos = [np.asarray(photo) for photo in photographs()]
    crops = []
    for number in range(count):
        photo = photos[number % len(photos)]
        y, x = (int(draw.integers(0, size - side + 1)) for size in photo.shape[:2])
        crops.append(photo[y : y + side, x : x + side])
    images = torch.from_numpy(np.stack(crops)).permute(0, 3, 1, 2)
    split = Split(images, torch.arange(count) % 10)
    pixels = images.float()
    mean, std = pixels.mean((0, 2, 3)), pixels.std((0, 2, 3))
    return Batches(split, split, split, mean.view(1, -1, 1, 1), std.view(1, -1, 1, 1))


def measure(batches: Batches, repeats: int, seed: int, cores: set[int]) -> None:
    generator = torch.Generator().manual_seed(seed)
    first = Split(
        batches.train.images.clone(memory_format=torch.contiguous_format), batches.train.labels
    )
    plain = Batches(first, batches.val, batches.test, batches.mean, batches.std)
    images = PillowImages(batches)
    alone = DataLoader(images, BATCH, shuffle=True, drop_last=True)
    beside = DataLoader(
        images, BATCH, shuffle=True, drop_last=True, num_workers=2, persistent_workers=True
    )
    rows: dict[str, tuple[Callable[[], Iterable[object]], set[int]]] = {
        name: (partial(batches.shuffled, BATCH, augmentation, 10, generator), {min(cores)})
        for name, augmentation in AUGMENTATIONS.items()
    }
    rows["flip, crop as in 0.1"] = (lambda: as_in_0_1(plain, generator), {min(cores)})
    rows["torchvision flip, crop"] = (lambda: alone, {min(cores)})
    rows[f"the same, 2 workers, {len(cores)} cores"] = (lambda: beside, cores)
    seconds: dict[str, list[float]] = {name: [] for name in rows}
    for _ in range(repeats + 1):  # the first warms up
        for name, (epoch, where) in rows.items():
            os.sched_setaffinity(0, where)
            started = time.perf_counter()
            for _ in epoch():
                pass
            seconds[name].append(time.perf_counter() - started)
            os.sched_setaffinity(0, cores)
    count = len(batches.train) // BATCH * BATCH
    check_finite("seconds of an epoch", list(seconds.values()), low=1e-6)
    for name, spent in seconds.items():
        slow, median, fast = np.percentile(count / np.array(spent[1:]), [0, 50, 100])
        print(f"{name:>32}: {median:10,.0f} images/s ({slow:,.0f}-{fast:,.0f})")


def main() -> None:
    parser = make_parser(__doc__, seed=0)
    parser.add_argument("--repeats", type=int, default=7)
    parser.add_argument("--images", type=int, default=5000, help="of each kind, at most")
    arguments = parse(parser, repeats=1, images=256)
    torch.set_num_threads(1)
    torch.manual_seed(arguments.seed)
    cores = os.sched_getaffinity(0)
    sets = {
        "28 px grey": prepare(
            first_images(load_data(DatasetConfig("fashion_mnist"), 28), arguments.images), 28
        ),
        "32 px RGB": crops_of_photographs(arguments.images, 32, arguments.seed),
    }
    for name, batches in sets.items():
        print(
            f"{name}, {len(batches.train)} images, batches of {BATCH}; median of "
            f"{arguments.repeats} epochs (slowest-fastest)"
        )
        measure(batches, arguments.repeats, arguments.seed, cores)
    print_foot(arguments)


if __name__ == "__main__":
    main()
