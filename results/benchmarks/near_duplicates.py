"""Near duplicates within a data set: how many are found, how many images are taken for others,
and how long it takes.

    python results/benchmarks/near_duplicates.py --images 100000

The images are those of the embedded Fashion-MNIST and, for more of them, mixtures of two of its
images, one shifted. Of `--planted` of them a copy is added that was shrunk to 0.7, saved as a JPEG
and enlarged again.
"""

import io
import time

import numpy as np
import torch
from harness import check, make_parser, parse, print_foot
from numpy.typing import NDArray
from PIL import Image

from search.data.face import load_data
from search.data.near import near_sets, signatures

Pixels = NDArray[np.uint8]


def main() -> None:
    parser = make_parser(__doc__, seed=0)
    parser.add_argument("--images", type=int, default=8000, help="without the copies")
    parser.add_argument("--planted", type=int, default=300, help="copies")
    arguments = parse(parser, images=1000, planted=50)
    generator = np.random.default_rng(arguments.seed)
    images = drawn(arguments.images, generator)
    chosen = generator.choice(len(images), arguments.planted, replace=False)
    copies = np.stack([again(images[row]) for row in chosen])
    whole = torch.from_numpy(np.concatenate([images, copies]))[:, None]
    started, cpu = time.perf_counter(), time.process_time()
    sets = near_sets(signatures(whole))
    seconds, cpu = time.perf_counter() - started, time.process_time() - cpu
    together = sets[chosen] == sets[len(images) :]
    check(bool(together.mean() > 0.5), f"of {len(chosen)} copies {together.sum()} were found")
    own = near_sets(signatures(whole[: len(images)]))
    counts = np.unique(own, return_counts=True)[1]
    print(f"{len(whole):,} images in {seconds:.1f} s, {cpu:.1f} s of CPU")
    print(f"copies that are beside what they are of: {together.mean():.1%} of {len(chosen)}")
    print(
        f"without copies {counts[counts > 1].sum() / len(images):.2%} of the images are taken for "
        f"others, in groups of up to {counts.max()}"
    )
    print_foot(arguments)


def drawn(number: int, generator: np.random.Generator) -> Pixels:
    """The embedded images, then mixtures."""
    data = load_data("fashion_mnist", 28)
    parts = (data.train, data.val, data.test)
    images = np.concatenate([split.images[:, 0].numpy() for split in parts])
    images = images[generator.permutation(len(images))]
    found = [images[:number]]
    while (left := number - sum(map(len, found))) > 0:
        one, other = generator.integers(len(images), size=(2, min(left, len(images))))
        shifted = np.roll(images[other], generator.integers(1, 28, size=2), axis=(1, 2))
        found.append((images[one].astype(np.uint16) + shifted) // 2)
    return np.concatenate([each.astype(np.uint8) for each in found])


def again(image: Pixels) -> Pixels:
    """The image as another person has it."""
    file = io.BytesIO()
    side = len(image)
    Image.fromarray(image).resize((round(0.7 * side),) * 2).save(file, "JPEG", quality=70)
    return np.asarray(Image.open(file).resize((side, side)))


if __name__ == "__main__":
    main()
