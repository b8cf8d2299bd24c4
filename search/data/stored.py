"""Tensors in a file that is mapped into memory, and hashed before it is believed.

What was hashed once is believed as long as the file is not touched.
"""

import contextlib
import hashlib
import json
import math
import os
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from io import BufferedRandom, BufferedReader
from pathlib import Path
from typing import IO, Any, Final

import torch
from torch import Tensor

from blocks.errors import CompoundNasError
from blocks.files import whole_file, write_whole

_ALIGNMENT: Final = 64
_KINDS: Final = {str(kind): kind for kind in (torch.uint8, torch.int64, torch.float64)}
"""Of tensors that are kept, by the name that they have in a file."""
SETTLED_SECONDS: Final = 2.0
"""A file changed within so short a time before it was hashed may change again unseen, as its
clock ticks no finer."""


@dataclass(frozen=True)
class Streamed:
    """A contiguous tensor in pieces along its first dimension, made as they are asked for."""

    dtype: torch.dtype
    shape: tuple[int, ...]
    pieces: Callable[[], Iterator[Tensor]]

    def whole(self) -> Tensor:
        """All pieces, in memory."""
        return torch.cat(list(self.pieces())) if self.shape[0] else torch.empty(self.shape)


@dataclass(frozen=True)
class Stored:
    """Contiguous tensors (uint8 or int64) by name, and what else JSON holds."""

    tensors: dict[str, Tensor | Streamed]
    fields: dict[str, Any]

    def tensor(self, name: str) -> Tensor:
        """One of the tensors, whole."""
        found = self.tensors[name]
        return found.whole() if isinstance(found, Streamed) else found

    def whole(self) -> "Stored":
        """The same, all tensors in memory."""
        return Stored({name: self.tensor(name) for name in self.tensors}, self.fields)


def write_stored(path: Path, stored: Stored, durably: bool = True) -> Stored:
    """The SHA-256 of the rest, in hex; a line of JSON; the tensors' bytes, aligned.

    Returns the same, mapped from the file. `durably`: wait until it is on the disk.

    Raises:
        CompoundNasError: it cannot be written.
    """
    layout: dict[str, Any] = {}
    offset = 0
    for name, tensor in stored.tensors.items():
        layout[name] = [str(tensor.dtype), list(tensor.shape), offset]
        offset += _aligned(_size(tensor))
    head = json.dumps({"tensors": layout, "fields": stored.fields}).encode()
    head += b" " * (_aligned(64 + len(head) + 1) - 64 - len(head) - 1) + b"\n"
    digest = hashlib.sha256(head)
    with (
        whole_file(path) as temporary,
        open(temporary, "w+b") as file,
        ThreadPoolExecutor(1) as pool,
    ):
        file.write(b"0" * 64 + head)
        for tensor in stored.tensors.values():
            pieces = tensor.pieces() if isinstance(tensor, Streamed) else [tensor]
            for piece in pieces:
                content = piece.contiguous().numpy().data.cast("B")
                written = pool.submit(file.write, content)
                digest.update(content)
                written.result()
            padding = b"\0" * (_aligned(_size(tensor)) - _size(tensor))
            digest.update(padding)
            file.write(padding)
        file.seek(0)
        file.write(digest.hexdigest().encode())
        file.flush()
        if durably:
            os.fsync(file.fileno())
        return _mapped(file, temporary, head)


def _size(tensor: Tensor | Streamed) -> int:
    """In bytes."""
    return math.prod(tensor.shape) * tensor.dtype.itemsize


def _aligned(size: int) -> int:
    return math.ceil(size / _ALIGNMENT) * _ALIGNMENT


def read_stored(path: Path) -> Stored | None:
    """None: there is no such file, or a damaged one."""
    try:
        # Written to by nobody, but a mapping that processes share has to be writable.
        file: BufferedReader | BufferedRandom = (
            path.open("r+b") if os.access(path, os.W_OK) else path.open("rb")
        )
    except OSError:
        return None
    with file:
        expected = file.read(64).decode("latin-1")
        if not _sealed(path, file, expected):
            before = _stamp(file)
            if hashlib.file_digest(file, "sha256").hexdigest() != expected:
                return None
            _seal(path, before, expected)
        file.seek(64)
        return _mapped(file, path, file.readline())


def _mapped(file: BufferedReader | BufferedRandom, path: Path, head: bytes) -> Stored:
    """What an open file holds whose line of JSON is `head`."""
    content = json.loads(head)
    whole = _map(file, path)
    start = 64 + len(head)
    tensors: dict[str, Tensor | Streamed] = {}
    for name, (dtype, shape, offset) in content["tensors"].items():
        kind = _KINDS[dtype]
        size = math.prod(shape) * kind.itemsize
        tensors[name] = whole[start + offset : start + offset + size].view(kind).view(shape)
    return Stored(tensors, content["fields"])


def _stamp(file: IO[bytes]) -> list[int]:
    """Size, times and number of an open file: another content has others."""
    state = os.fstat(file.fileno())
    return [state.st_size, state.st_mtime_ns, state.st_ctime_ns, state.st_ino]


def _seal(path: Path, stamp: list[int], digest: str) -> None:
    """Note that the file of this stamp was hashed and found whole, unless it was changed just now:
    it may be changed again, and its clock ticks no finer."""
    if max(stamp[1:3]) < time.time_ns() - 1e9 * SETTLED_SECONDS:
        # Without it the file is hashed again, and nothing else.
        with contextlib.suppress(CompoundNasError):
            write_whole(path.with_suffix(".seal"), json.dumps([*stamp, digest]).encode())


def _sealed(path: Path, file: IO[bytes], digest: str) -> bool:
    try:
        return bool(json.loads(path.with_suffix(".seal").read_bytes()) == [*_stamp(file), digest])
    except (OSError, ValueError):
        return False


def _map(file: BufferedReader | BufferedRandom, path: Path) -> Tensor:
    """The file as uint8 (N,), mapped into memory."""
    size = os.fstat(file.fileno()).st_size
    if file.writable():
        # As torch opens what another process shares: what it sends on then is the open file, so
        # that a worker maps it too. `torch.from_file` cannot be sent without a copy.
        with contextlib.suppress(RuntimeError):  # a file system without shared mappings
            storage = torch.UntypedStorage._new_shared_fd_cpu(  # type: ignore[attr-defined]
                file.fileno(), size
            )
            return torch.empty(0, dtype=torch.uint8).set_(storage)
    return torch.from_file(str(path), shared=False, size=size, dtype=torch.uint8)
