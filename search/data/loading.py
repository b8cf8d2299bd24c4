"""Pixels of some images of a split: from memory, from a file that is mapped, or from image files
that are read anew, by processes beside this one."""

from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Any, Final

import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from blocks.messages import say
from search.data.splits import Split
from search.errors import DataError

GOES_ON: Final = "once it can be read the same command goes on"


class Plain(Dataset[Tensor]):
    """The images of a split as they are, uint8 (C, H, W)."""

    def __init__(self, split: Split) -> None:
        self.split = split

    def __len__(self) -> int:
        return len(self.split)

    def __getitem__(self, number: int) -> Tensor:
        return self.split.image(number).permute(2, 0, 1)


class _Attempted(Dataset[Any]):
    """The images of another data set with their numbers; of one whose file can no longer be read,
    what is to be said."""

    def __init__(self, images: Dataset[Tensor]) -> None:
        self.images = images

    def __getitem__(self, number: int) -> tuple[int, Tensor | str]:
        try:
            return number, self.images[number]
        except DataError as error:  # a process would say it with a traceback
            return number, str(error)


def loaded(
    images: Dataset[Tensor], parts: Sequence[Tensor], split: Split, loaders: int
) -> Iterator[tuple[Tensor, Tensor]]:
    """Batches of a data set of a split's images: uint8 (n, C, H, W) in channels-last memory, and
    the numbers of the images that they are.

    `parts`: the numbers of each batch. Where a file can no longer be read, and such files are to be
    skipped, the next one of its batch that can stands in for it.

    Raises:
        DataError: a file can no longer be read, or none of a batch.
    """
    if type(images) is Plain and split.files is None:
        pixels = split.images.permute(0, 2, 3, 1)
        for part in parts:
            # index_select copies whole images where indexing copies bytes: some 20 times faster.
            yield pixels.index_select(0, part).permute(0, 3, 1, 2), part
        return
    loader: DataLoader[Any] = DataLoader(
        _Attempted(images),
        batch_sampler=[part.tolist() for part in parts],
        num_workers=min(loaders, len(parts)),
        worker_init_fn=_one_thread,
        collate_fn=_together,
    )
    said: set[str] = set()
    skip = split.files is not None and split.files.skip
    for pixels, numbers, lost in loader:
        for reason in lost.values():
            if not skip:
                raise DataError(f"{reason}; {GOES_ON}; dataset.on_corrupt=skip passes it over")
            if not len(pixels):
                raise DataError(f"{reason}; no image of its batch can be read; {GOES_ON}")
            if reason not in said:
                said.add(reason)
                say(f"{reason}: another image of its batch stands in for it")
        yield pixels.permute(0, 3, 1, 2), numbers


def pieces(split: Split, size: int) -> Iterator[Tensor]:
    """All images of a split in order, uint8 (≤ size, C, H, W).

    Raises:
        DataError: the file of one can no longer be read.
    """
    if split.files is None:
        yield from torch.split(split.images, size)
        return
    parts = torch.split(torch.arange(len(split)), size)
    for images, _ in loaded(Plain(split), parts, _all_of(split), split.files.loaders):
        yield images


def images_at(split: Split, rows: Tensor) -> Tensor:
    """Some images of a split, uint8 (n, C, H, W).

    Raises:
        DataError: the file of one can no longer be read.
    """
    [(images, _)] = loaded(Plain(split), [rows], _all_of(split), 0)
    return images


def _all_of(split: Split) -> Split:
    """The same, of which nothing may be skipped: what is judged is judged as a whole."""
    if split.files is None:
        return split
    return replace(split, files=replace(split.files, skip=False))


def _together(items: Sequence[tuple[int, Tensor | str]]) -> tuple[Tensor, Tensor, dict[int, str]]:
    """uint8 (n, H, W, C) and numbers of what was read, each that was not by one that was; and why
    it was not."""
    good = [(number, image) for number, image in items if isinstance(image, Tensor)]
    lost = {number: said for number, said in items if isinstance(said, str)}
    if not good:
        return torch.empty(0, 0, 0, 0, dtype=torch.uint8), torch.empty(0, dtype=torch.int64), lost
    filled: list[tuple[int, Tensor]] = []
    last = good[0]
    for number, image in reversed(items):
        last = (number, image) if isinstance(image, Tensor) else last
        filled.append(last)
    filled.reverse()
    pixels = torch.stack([image.permute(1, 2, 0) for _, image in filled])
    return pixels, torch.tensor([number for number, _ in filled]), lost


def _one_thread(_: int) -> None:
    torch.set_num_threads(1)
