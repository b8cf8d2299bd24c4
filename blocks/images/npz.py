"""NumPy's files, whose headers are believed only as far as the file can keep their word.

NumPy makes room for what a header promises before it reads on: a few bytes may promise more memory
than there is, and a small compressed file may hold it.
"""

import contextlib
import io
import math
import struct
import tokenize
import zlib
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any, BinaryIO, Final
from zipfile import BadZipFile, ZipFile

import numpy as np
from numpy.typing import NDArray

from blocks.errors import DAMAGED

NPZ_DAMAGE: Final = (
    OSError, EOFError, SyntaxError, NotImplementedError, RuntimeError, MemoryError, zlib.error,
    struct.error, tokenize.TokenError, BadZipFile, *DAMAGED,
)  # fmt: skip
"""What NumPy raises of a damaged file, or of one that is something else."""


def read_npz(
    file: BinaryIO | Path, choose: Callable[[list[str]], Iterable[str]] | None = None
) -> dict[str, NDArray[Any]]:
    """The arrays of an `.npz` file, by name; those that `choose` takes of their names.

    Raises:
        NPZ_DAMAGE: it is damaged, or promises more than it holds or than memory has room for.
    """
    with ZipFile(file) as packed:
        room = _free_bytes()
        names = [entry.filename.removesuffix(".npy") for entry in packed.infolist()]
        chosen = set(names if choose is None else choose(names))
        for entry, name in zip(packed.infolist(), names, strict=True):
            if name not in chosen:
                continue
            with packed.open(entry) as stream:
                _check(stream, entry.file_size, entry.filename)
            if room is not None and (room := room - entry.file_size) < 0:
                raise ValueError(
                    f"{entry.filename} takes {entry.file_size:,} bytes when it is unpacked, more "
                    "than this machine has free"
                )
    if not isinstance(file, Path):
        file.seek(0)
    with np.load(file, allow_pickle=False) as arrays:
        if not hasattr(arrays, "files"):
            raise ValueError("a single array; expected an .npz file of several")
        found = {name: arrays[name] for name in arrays.files if name in chosen}
    for name, array in found.items():
        if not isinstance(array, np.ndarray):
            raise ValueError(f"{name} is no array")
    return found


def read_npy(content: bytes) -> NDArray[Any]:
    """The array of the bytes of an `.npy` file.

    Raises:
        NPZ_DAMAGE: it is damaged, or promises more than it holds.
    """
    _check(io.BytesIO(content), len(content), "the array")
    array: NDArray[Any] = np.load(io.BytesIO(content), allow_pickle=False)
    return array


def _check(stream: Any, size: int, name: str) -> None:
    """Refuse a header of more values than so many bytes can hold."""
    version = np.lib.format.read_magic(stream)
    read = np.lib.format.read_array_header_1_0
    if version != (1, 0):
        read = np.lib.format.read_array_header_2_0
    shape, _, kind = read(stream)
    if any(side < 0 for side in shape) or math.prod(shape) * kind.itemsize > size:
        raise ValueError(
            f"{name} says that it has {'×'.join(map(str, shape))} values of {kind}, but there are "
            f"{size:,} bytes"
        )


def _free_bytes() -> int | None:
    """Memory that this machine has free; None where Linux does not tell."""
    with contextlib.suppress(OSError, ValueError, IndexError):
        for line in Path("/proc/meminfo").read_text(encoding="utf-8").splitlines():
            if line.startswith("MemAvailable:"):
                return 1024 * int(line.split()[1])
    return None
