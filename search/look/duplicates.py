"""Images that are in two splits, equal or nearly so: a network may know them by heart.

Equal images are found by their decoded pixels, near ones as `search.data.near` says, every pair of
them: seconds for 100,000 images.
"""

import hashlib
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Final

import torch
from torch import Tensor

from search.data.near import NEAR, NEIGHBOURS, signatures, stands_out
from search.data.splits import PARTS, ImageData, Split

MOST_PAIRS: Final = 5 * 10**9
"""Pairs that are compared: half a minute on two cores. Of more, some images are looked at."""
ACROSS: Final = {"val": ("train",), "test": ("train", "val")}
"""In which splits the images of which are looked for."""
_BLOCK: Final = 2**25


@dataclass(frozen=True)
class Twin:
    """An image and the one of another split that it is most like; rows of their splits.

    `similarity` is 1 of equal images, else a correlation.
    """

    kind: str
    similarity: float
    split: str
    row: int
    other_split: str
    other_row: int


@dataclass(frozen=True)
class Duplicates:
    """`twins`, the most alike first: an image of val or test once, beside the one it is most like.

    `looked_at`: of the images of val and test, the share for which near ones were looked for.
    `conflicts`: images of which an equal one, in any split, is of another class.
    """

    twins: tuple[Twin, ...]
    looked_at: float
    conflicts: int

    def count(self, kind: str, split: str) -> int:
        """Images of `split` that another one holds."""
        return sum((twin.kind, twin.split) == (kind, split) for twin in self.twins)


def find_duplicates(data: ImageData, most_pairs: int = MOST_PAIRS) -> Duplicates:
    """Equal and near images across the splits, whatever their classes.

    Which are near is said by `stands_out`. Of 300 photographs of CIFAR-10 that
    were shrunk to 0.7, recompressed and enlarged again 99% are found, of Fashion-MNIST 91%, where
    0.3% of all images are taken for one another. What is mirrored or turned is not found, and an
    image of one colour is near none.
    """
    splits = {part: getattr(data, part) for part in PARTS}
    equal, conflicts = _equal(splits)
    known = {(twin.split, twin.row) for twin in equal}
    copies = {part: signatures(split.images) for part, split in splits.items()}
    pairs = sum(
        len(copies[part]) * len(copies[other])
        for part, others in ACROSS.items()
        for other in others
    )
    share = min(1.0, most_pairs / pairs)
    near = [
        twin
        for part, others in ACROSS.items()
        for twin in _near(part, _some(len(copies[part]), share), others, copies)
        if (part, twin.row) not in known
    ]
    twins = sorted([*equal, *near], key=lambda twin: (-twin.similarity, twin.split, twin.row))
    return Duplicates(tuple(twins), share, conflicts)


def _equal(splits: dict[str, Split]) -> tuple[list[Twin], int]:
    """Each image of val and test that another split holds, beside the first such; and how many
    images have an equal one of another class."""
    places: dict[bytes, list[tuple[str, int]]] = defaultdict(list)
    classes: dict[bytes, set[Any]] = defaultdict(set)
    for part, split in splits.items():
        pixels = split.images.permute(0, 2, 3, 1).contiguous().numpy()
        for row, (image, label) in enumerate(zip(pixels, split.labels.tolist(), strict=True)):
            digest = hashlib.blake2b(image.data, digest_size=16).digest()
            places[digest].append((part, row))
            classes[digest].add(tuple(label) if isinstance(label, list) else label)
    twins = [
        Twin("equal", 1.0, part, row, *found[0])
        for found in places.values()
        for part, row in found
        if found[0][0] in ACROSS.get(part, ())
    ]
    conflicts = sum(len(places[digest]) for digest, labels in classes.items() if len(labels) > 1)
    return twins, conflicts


def _near(
    part: str, rows: Tensor, others: tuple[str, ...], copies: dict[str, Tensor]
) -> Iterator[Twin]:
    """Of these rows of `part` those that are near an image of `others`, beside the nearest."""
    rest = torch.cat([copies[other] for other in others])
    places = [(other, row) for other in others for row in range(len(copies[other]))]
    for chosen in torch.split(rows, max(1, _BLOCK // len(rest))):
        alike = copies[part][chosen] @ rest.T
        candidates = (alike.max(1).values >= NEAR).nonzero().flatten()
        if not len(candidates):
            continue
        nearest = alike[candidates].topk(min(NEIGHBOURS, len(rest)), 1)
        best = nearest.values[:, 0]
        for place in stands_out(nearest.values).nonzero().flatten().tolist():
            other, row = places[int(nearest.indices[place, 0])]
            similarity = min(1.0, round(best[place].item(), 4))
            yield Twin("near", similarity, part, int(chosen[candidates[place]]), other, row)


def _some(count: int, share: float) -> Tensor:
    """Rows at random, that share of them; all of 1."""
    if share == 1:
        return torch.arange(count)
    generator = torch.Generator().manual_seed(0)
    few = max(1, round(share * count))
    return torch.randperm(count, generator=generator)[:few].sort().values
