"""Images that are decoded anew each time they are asked for, and lie nowhere in between.

For what neither memory nor a disk has room for. Once all files are read: each is hashed, so that
splits and the data set's hash are those of any other way to read it, and its pixels are summed up
for the normalisation. What is found so is a small file, and holds as long as no file changes.
"""

import hashlib
import os
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, suppress
from dataclasses import asdict, dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Final

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from blocks.arch import Size
from blocks.errors import CompoundNasError
from blocks.images.listing import ImageFile
from blocks.images.reading import Reading
from blocks.images.walk import Passed
from blocks.messages import say
from blocks.names import counted
from blocks.threads import side_by_side
from search.config.schema import DatasetConfig
from search.data.cache import cache_key
from search.data.decode import decode_file, noted, reason_of, settle_reading
from search.data.files import check_filled, labels_of, list_files, settle_channels, weights_of
from search.data.near import keep_together
from search.data.progress import Progress
from search.data.resized import resize
from search.data.splits import ImageData, Raw, Rows, assemble
from search.data.stored import Stored, read_stored, write_stored
from search.errors import DataError

READ: Final = 4096
"""Files that are read at a time."""
Sums = NDArray[np.int64]
"""(images, 2, channels): of an image's pixels, and of their squares."""


class Names:
    """Many texts in two arrays: processes that read them share their memory."""

    def __init__(self, texts: Sequence[str]) -> None:
        parts = [os.fsencode(text) for text in texts]
        self._bytes = np.frombuffer(b"".join(parts), dtype=np.uint8)
        self._ends = np.cumsum([0, *map(len, parts)])

    def __len__(self) -> int:
        return len(self._ends) - 1

    def __getitem__(self, number: int) -> str:
        start, end = self._ends[number], self._ends[number + 1]
        return os.fsdecode(self._bytes[start:end].tobytes())


@dataclass(frozen=True)
class Files:
    """The images of a split as files: those at `rows` among all `names`.

    They are decoded to `decoded` pixels by `reading`, and brought to `size` and so many `channels`.
    `sums` (rows, 2, channels) are of their pixels at the size `summed`. `skip`: an image that can
    no longer be read is replaced. `loaders`: processes that decode beside this one. `why`: what
    the images are streamed for, in words.
    """

    names: Names
    rows: Rows
    reading: Reading
    decoded: Size
    size: Size
    channels: int
    sums: Sums
    summed: Size
    skip: bool
    loaders: int = 0
    why: str = ""

    def __len__(self) -> int:
        return len(self.rows)

    def pixels(self, number: int) -> Tensor:
        """An image, uint8 (H, W, channels).

        Raises:
            DataError: its file can no longer be read.
        """
        path = Path(self.names[int(self.rows[number])])
        try:
            found = torch.from_numpy(decode_file(path, self.decoded, self.reading)[0])
        except OSError as error:
            raise DataError(f"cannot read {path}: {error.strerror}") from None
        if found.shape[2] not in (1, self.channels):
            raise DataError(f"{path} has {found.shape[2]} channels now; it had others before")
        return seen(found, self.size, self.channels)

    def at(self, size: Size) -> "Files":
        """The same at another size."""
        return replace(self, size=size)

    def chosen(self, rows: Tensor) -> "Files":
        """Some of them."""
        numbers = rows.numpy()
        return replace(self, rows=self.rows[numbers], sums=self.sums[numbers])

    @cached_property
    def empty(self) -> Tensor:
        """uint8 (N, C, H, W) without any memory: it has a shape, and no pixels."""
        shape = (len(self), self.channels, *self.size)
        return torch.empty(shape, dtype=torch.uint8, device="meta")

    def moments(self) -> list[tuple[float, float]]:
        """Mean and deviation of each channel, of pixels from 0 to 255, at `size`; all files are
        read again where that is not the size they were summed up at."""
        sums = self.sums
        if self.size != self.summed:
            say(
                f"reading {counted(len(self), 'file')} once for the moments of images at "
                f"{self.size} px"
            )
            # Summed where they are decoded: the threads run ahead, and must not keep pixels.
            with closing(
                side_by_side(lambda number: sums_of(self.pixels(number)), range(len(self)))
            ) as found:
                sums = np.stack(list(found))
        count = len(self) * self.size.area
        totals = [[int(each.sum()) for each in pair] for pair in sums.transpose(2, 1, 0)]
        return [exact_moments(count, total, squares) for total, squares in totals]


def exact_moments(count: int, total: int, squares: int) -> tuple[float, float]:
    """Mean and deviation of so many whole numbers by their sum and the sum of their squares."""
    return total / count, float(((squares * count - total**2) / count**2) ** 0.5)


def seen(pixels: Tensor, size: Size, channels: int) -> Tensor:
    """uint8 (H, W, C) → uint8 (*size, channels), as the cache has it: grey is repeated."""
    image = pixels.expand(-1, -1, channels)
    return resize(image.permute(2, 0, 1)[None], size)[0].permute(1, 2, 0)


def sums_of(image: Tensor) -> Sums:
    """uint8 (H, W, C) → (2, C): the sum of its pixels and of their squares."""
    wide = image.flatten(0, 1).long()
    return torch.stack([wide.sum(0), wide.square().sum(0)]).numpy()


def stream_files(
    config: DatasetConfig,
    decoded: Size,
    size: Size,
    folder: Path,
    why: str,
    several: bool = False,
    loaders: int = 0,
) -> ImageData:
    """The images of a folder or a table, with splits that read them file by file: their `images`
    are on the device `meta`, which has shapes and no pixels, and their `files` have the pixels.

    `decoded`: what files are decoded to; `size`: what is seen of it. `folder`: where what all files
    are is kept.

    Raises:
        DataError: as the other ways to read them.
    """
    found = list_files(config, several)
    reading, notes = settle_reading(config, found.files)
    index = _indexed(found.files, config, reading, (decoded, size), folder)
    kinds = index.tensor("kinds").numpy()
    kept = np.flatnonzero(kinds)
    channels = settle_channels(Counter(kinds[kept].tolist()))
    files = [found.files[row] for row in kept]
    names = Names([file.name for file in files])
    sums = index.tensor("sums").numpy()[kept]
    if channels == 3:
        grey = kinds[kept] == 1
        sums[grey] = sums[grey][:, :, :1]
    everything = Files(
        names, np.arange(len(files)), reading, decoded, size, channels,
        sums[:, :, :channels], size, config.on_corrupt == "skip", loaders, why,
    )  # fmt: skip
    as_decoded = everything.at(decoded)
    labels = labels_of(files, len(found.classes))
    parts = tuple(file.part for file in files)
    check_filled(found, parts, labels)
    digests = index.tensor("digests").numpy()[kept]
    passed = [Passed(found.files[row].path, reason) for row, reason in index.fields["passed"]]
    said = [noted(count, note) for note, count in sorted(index.fields["notes"].items())]
    groups = [file.group for file in files]
    raw = Raw(
        found.classes,
        parts,
        labels,
        tuple(digest.tobytes() for digest in digests),
        lambda rows: _read(as_decoded, rows),
        None if None in groups else tuple(map(str, groups)),
        (*found.passed, *passed),
        (*found.notes, *notes, *said),
        reading,
        tuple(file.name for file in files),
        weights=weights_of(files),
    )
    return assemble(
        config,
        keep_together(config, raw),
        lambda rows: as_decoded.chosen(torch.from_numpy(rows)),
    )


def _read(files: Files, rows: Rows) -> Iterator[Tensor]:
    for first in range(0, len(rows), READ):
        some = files.chosen(torch.from_numpy(rows[first : first + READ]))
        with closing(side_by_side(some.pixels, range(len(some)))) as images:
            yield torch.stack(list(images))


def _indexed(
    files: Sequence[ImageFile],
    config: DatasetConfig,
    reading: Reading,
    sizes: tuple[Size, Size],
    folder: Path,
) -> Stored:
    """What is known of each file, from `folder` if nothing has changed since."""
    stamps = hashlib.sha256()
    for file in files:
        state = _stamp(file.path)
        stamps.update(os.fsencode(file.name) + repr(state).encode())
    key = cache_key([stamps.hexdigest(), asdict(reading), sizes, config.on_corrupt])
    path = folder / f"{key}.bin"
    known = read_stored(path)
    if known is not None:
        return known
    made = _index(files, config, reading, sizes)
    # Without it the files are read once more at the next start, and nothing else.
    with suppress(OSError, CompoundNasError):
        folder.mkdir(parents=True, exist_ok=True)
        write_stored(path, made)
    return made


def _stamp(path: Path) -> tuple[int, int, int] | None:
    try:
        state = os.stat(path)
    except OSError:
        return None
    return state.st_size, state.st_mtime_ns, state.st_ctime_ns


def _index(
    files: Sequence[ImageFile],
    config: DatasetConfig,
    reading: Reading,
    sizes: tuple[Size, Size],
) -> Stored:
    """Of each file: `digests` uint8 (N, 32), SHA-256; `kinds` (N,), how many channels it has, 0: it
    cannot be read; `sums` (N, 2, channels). The fields are `passed` and `notes`, as those of
    `decode_files`.

    Raises:
        DataError: an image that cannot be decoded, unless on_corrupt is skip.
    """
    decoded, size = sizes
    attempt = _attempt(decoded, size, reading)
    digests = np.zeros((len(files), 32), dtype=np.uint8)
    kinds = np.zeros(len(files), dtype=np.int64)
    sums: list[Sums] = []
    passed: list[tuple[int, str]] = []
    notes: Counter[str] = Counter()
    progress = Progress("read", len(files), "files")
    say(f"reading {counted(len(files), 'file')} once, to hash them and to sum up their pixels")
    with closing(side_by_side(attempt, files)) as attempts:
        for row, found in enumerate(attempts):
            if isinstance(found, DataError):
                if config.on_corrupt == "refuse":
                    raise DataError(f"{found}; dataset.on_corrupt=skip leaves such files out")
                passed.append((row, reason_of(found, files[row].path)))
                sums.append(np.zeros((2, 1), dtype=np.int64))
                continue
            digest, own, more = found
            digests[row] = np.frombuffer(digest, dtype=np.uint8)
            kinds[row] = own.shape[1]
            sums.append(own)
            notes.update(more)
            progress.at(row + 1)
    most = max(3, int(kinds.max(initial=0)))
    whole = np.zeros((len(files), 2, most), dtype=np.int64)
    for row, own in enumerate(sums):
        whole[row, :, : own.shape[1]] = own
    return Stored(
        {
            "digests": torch.from_numpy(digests),
            "kinds": torch.from_numpy(kinds),
            "sums": torch.from_numpy(whole),
        },
        {"passed": passed, "notes": dict(notes)},
    )


def _attempt(
    decoded: Size, size: Size, reading: Reading
) -> Callable[[ImageFile], tuple[bytes, Sums, tuple[str, ...]] | DataError]:
    def attempt(file: ImageFile) -> tuple[bytes, Sums, tuple[str, ...]] | DataError:
        try:
            pixels, content, notes = decode_file(file.path, decoded, reading)
        except DataError as error:
            return error
        image = seen(torch.from_numpy(pixels), size, pixels.shape[2])
        return hashlib.sha256(content).digest(), sums_of(image), notes

    return attempt
