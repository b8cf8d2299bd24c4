"""What the splits of a data set share, and must not."""

from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from blocks.names import counted

if TYPE_CHECKING:
    from search.data.splits import Raw


def across(raw: "Raw", rows: dict[str, NDArray[np.int64]]) -> list[str]:
    """What the splits share, and images of two classes, in lines."""
    notes = []
    if raw.labels.ndim == 1:
        classes: dict[bytes, set[int]] = {}
        for digest, label in zip(raw.hashes, raw.labels.tolist(), strict=True):
            classes.setdefault(digest, set()).add(label)
        twice = [found for found in classes.values() if len(found) > 1]
        if twice:
            names = " and ".join(repr(raw.classes[label]) for label in sorted(twice[0])[:2])
            notes.append(
                f"{counted(len(twice), 'image is', 'images are')} in two classes, first in "
                f"{names}: a label is wrong"
            )
    for one, other in (("train", "val"), ("train", "test"), ("val", "test")):
        known = {raw.hashes[row] for row in rows[one]}
        shared = sum(raw.hashes[row] in known for row in rows[other])
        if shared:
            notes.append(
                f"{shared:,} of the {len(rows[other]):,} {other} images "
                f"{'is' if shared == 1 else 'are'} in {one} too: {other} "
                "then measures what was learned by heart"
            )
        if raw.groups is not None:
            groups = {raw.groups[row] for row in rows[one]}
            both = groups & {raw.groups[row] for row in rows[other]}
            if both:
                notes.append(
                    f"{counted(len(both), 'group lies', 'groups lie')} in {one} and in {other}, "
                    f"first {min(both)!r}: the "
                    "splits are the data set's own"
                )
    return notes
