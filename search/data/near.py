"""Images that are nearly the same, and what keeps them on one side of every split.

Near are images whose small grey copies correlate; every pair is compared: a product of matrices,
which needs no hash and misses nothing.
"""

import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Final

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from blocks.images.walk import Passed
from blocks.messages import say
from blocks.names import counted
from search.config.schema import DatasetConfig
from search.data.splits import PARTS, Raw, Rows, root_of
from search.errors import DataError

SIDE: Final = 16
"""Pixels of the copies that are compared."""
NEAR: Final = 0.96
"""Correlation below which two images are none; it has to stand out, too."""
SAME: Final = 0.995
"""Correlation from which two images are near whatever else is alike."""
STANDS_OUT: Final = 0.2
"""Of the distance (1 − correlation) to the third nearest image, how far the nearest may be."""
NEIGHBOURS: Final = 3
LEFT_OUT: Final = "nearly the same as an image of val or test"
"""Why an image of train is not trained on."""
_BLOCK: Final = 2**22
"""Pairs that are compared at once."""
_SAID_AFTER: Final = 10.0
"""Seconds until a line says that it takes long."""


def signatures(images: Tensor) -> Tensor:
    """uint8 (N, C, H, W) → float (N, SIDE²): small and grey, mean 0 and length 1; 0 where an image
    is of one colour. The product of two is their correlation."""
    parts = []
    for chunk in torch.split(images, 2048):
        grey = chunk.float().mean(1, keepdim=True)
        small = F.interpolate(grey, (SIDE, SIDE), mode="bilinear", antialias=True).flatten(1)
        small = small - small.mean(1, keepdim=True)
        length = small.norm(dim=1, keepdim=True)
        parts.append(torch.where(length > 1, small / length.clamp_min(1), 0.0))
    return torch.cat(parts)


def stands_out(nearest: Tensor) -> Tensor:
    """(n, k) greatest correlations of images with others, falling → (n,): whether the first is of
    a near one.

    It is from `SAME`; or from `NEAR`, where there are `NEIGHBOURS` and the last is not nearly as
    near: all pictures of trousers correlate, and are of different ones.
    """
    best, last = nearest[:, 0], nearest[:, -1]
    found = best >= SAME
    if nearest.shape[1] >= NEIGHBOURS:
        found |= (best >= NEAR) & (1 - best <= STANDS_OUT * (1 - last))
    return found


def near_sets(copies: Tensor) -> Rows:
    """`signatures` (N, SIDE²) → (N,): a number that images have in common with those they are near,
    and with those that these are near.

    Time is N² at most, some 10 s for 40,000 images on two cores; memory N.
    """
    number = len(copies)
    side = max(1, int(_BLOCK**0.5))
    best = torch.full((number,), -1.0)
    started, said = time.monotonic(), False
    for low in range(0, number, side):
        rows = copies[low : low + side]
        for beside in range(low, number, side):
            alike = rows @ copies[beside : beside + side].T
            if beside == low:
                alike.fill_diagonal_(-1.0)
            for begin, axis in ((low, 1), (beside, 0)):
                found = best[begin : begin + alike.shape[1 - axis]]
                torch.maximum(found, alike.amax(axis), out=found)
        if not said and time.monotonic() - started > _SAID_AFTER:
            say(f"comparing {number:,} images with one another")
            said = True
    sets: Rows = np.arange(number)
    for one, near in _pairs(copies, (best >= NEAR).nonzero().flatten()):
        # What is known so far, and the new pairs; in memory for some pairs at a time.
        ends = np.concatenate([sets, near]), np.concatenate([np.arange(number), one])
        sets = _connected(ends, number)
        # The first image of each set stands for it.
        first = np.unique(sets, return_index=True)[1]
        sets = np.asarray(first[sets], dtype=np.int64)
    return sets


def _pairs(copies: Tensor, candidates: Tensor) -> Iterator[tuple[Rows, Rows]]:
    """Pairs of near images, some at a time: of `candidates`, each beside those it is near."""
    count = min(NEIGHBOURS, len(copies) - 1)
    for chosen in torch.split(candidates, max(1, _BLOCK // len(copies))):
        if not len(chosen):
            return
        alike = copies[chosen] @ copies.T
        alike[torch.arange(len(chosen)), chosen] = -1.0
        nearest = alike.topk(count, 1)
        one, other = (alike >= SAME).nonzero().T
        best = stands_out(nearest.values).nonzero().flatten()
        rows = torch.cat([chosen[one], chosen[best]])
        if len(rows):
            yield rows.numpy(), torch.cat([other, nearest.indices[best, 0]]).numpy()


def keep_together(config: DatasetConfig, raw: Raw) -> Raw:
    """`raw`, with `together` of near images where `dataset.near_duplicates` asks for it; and those
    of train left out that are near, or equal to, an image of the data set's own val or test.

    Raises:
        DataError: no image of a class is left to train on.
    """
    if config.near_duplicates != "group":
        return raw
    sets = _with_equal(raw, near_sets(_copies(raw)))
    parts = np.array(raw.parts, dtype=object)
    judged = np.isin(sets, sets[parts != "train"])
    lost = (parts == "train") & judged
    for label, name in enumerate(raw.classes):
        marks = raw.labels == label if raw.labels.ndim == 1 else raw.labels[:, label] > 0
        own = (parts == "train") & marks
        if own.any() and lost[own].all():
            raise DataError(
                f"class {name!r} of dataset {config.name} ({root_of(config)}) has no image left to "
                f"train on: all {own.sum()} are {LEFT_OUT} (dataset.near_duplicates=ignore keeps "
                "them)"
            )
    kept = np.flatnonzero(~lost)
    counts = np.unique(sets[kept], return_counts=True)[1]
    counts = counts[counts > 1]
    notes = []
    if len(counts):
        notes.append(
            f"{counts.sum():,} images are nearly the same as others: "
            f"{counted(len(counts), 'group')} of up "
            f"to {counts.max():,}, which no split parts"
        )
    if lost.any():
        notes.append(
            f"{counted(int(lost.sum()), 'image of train is', 'images of train are')} left out: "
            f"{LEFT_OUT}"
        )
    paths = [] if raw.paths is None else [raw.paths[row] for row in np.flatnonzero(lost)]
    return replace(
        raw,
        parts=tuple(parts[kept]),
        labels=raw.labels[kept],
        hashes=tuple(raw.hashes[row] for row in kept),
        read=lambda rows: raw.read(kept[rows]),
        groups=None if raw.groups is None else tuple(raw.groups[row] for row in kept),
        passed=(*raw.passed, *(Passed(Path(path), LEFT_OUT) for path in paths)),
        notes=(*raw.notes, *notes),
        paths=None if raw.paths is None else tuple(raw.paths[row] for row in kept),
        together=sets[kept],
        weights=None if raw.weights is None else raw.weights[kept],
    )


def _copies(raw: Raw) -> Tensor:
    """`signatures` of all images, a few thousand in memory at a time."""
    copies = torch.empty((len(raw.parts), SIDE**2))
    parts = np.array(raw.parts, dtype=object)
    for part in PARTS:
        rows = np.flatnonzero(parts == part)
        begun = 0
        for images in raw.read(rows) if len(rows) else ():
            some = rows[begun : begun + len(images)]
            copies[torch.from_numpy(some)] = signatures(images.permute(0, 3, 1, 2))
            begun += len(images)
    return copies


def _with_equal(raw: Raw, sets: Rows) -> Rows:
    """`sets`, those of equal images being one: an image of one colour is near none."""
    _, same = np.unique(np.array([each.hex() for each in raw.hashes]), return_inverse=True)
    number = len(sets)
    # Images and contents are the nodes of a graph.
    ends = np.concatenate([np.arange(number)] * 2), np.concatenate([sets, number + same])
    return _connected(ends, 2 * number)[:number]


def _connected(ends: tuple[Rows, Rows], nodes: int) -> Rows:
    """The part of the graph that each node is in, int64 (nodes,); `ends` are those of its edges."""
    from scipy.sparse import coo_array
    from scipy.sparse.csgraph import connected_components

    graph = coo_array((np.ones(len(ends[0]), dtype=bool), ends), shape=(nodes, nodes))
    return np.asarray(connected_components(graph, directed=False)[1], dtype=np.int64)
