"""Tensors in a file that is mapped into memory, and hashed before it is believed."""

import contextlib
import hashlib
import json
import math
import os
from dataclasses import dataclass
from io import BufferedRandom, BufferedReader
from pathlib import Path
from typing import Any, Final

import torch
from torch import Tensor

from blocks.files import whole_file

_ALIGNMENT: Final = 64


@dataclass(frozen=True)
class Stored:
    """Contiguous tensors (uint8 or int64) by name, and what else JSON holds."""

    tensors: dict[str, Tensor]
    fields: dict[str, Any]


def write_stored(path: Path, stored: Stored) -> None:
    """The SHA-256 of the rest, in hex; a line of JSON; the tensors' bytes, aligned."""
    layout: dict[str, Any] = {}
    offset = 0
    for name, tensor in stored.tensors.items():
        layout[name] = [str(tensor.dtype), list(tensor.shape), offset]
        offset += _aligned(tensor.nbytes)
    head = json.dumps({"tensors": layout, "fields": stored.fields}).encode()
    head += b" " * (_aligned(64 + len(head) + 1) - 64 - len(head) - 1) + b"\n"
    digest = hashlib.sha256(head)
    with whole_file(path) as temporary, open(temporary, "wb") as file:
        file.write(b"0" * 64 + head)
        for tensor in stored.tensors.values():
            padding = b"\0" * (_aligned(tensor.nbytes) - tensor.nbytes)
            for content in (tensor.numpy().data.cast("B"), padding):
                digest.update(content)
                file.write(content)
        file.seek(0)
        file.write(digest.hexdigest().encode())
        file.flush()
        os.fsync(file.fileno())


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
        if hashlib.file_digest(file, "sha256").hexdigest() != expected:
            return None
        file.seek(64)
        head = file.readline()
        content = json.loads(head)
        whole = _map(file, path)
    start = 64 + len(head)
    tensors = {}
    for name, (dtype, shape, offset) in content["tensors"].items():
        kind = {"torch.uint8": torch.uint8, "torch.int64": torch.int64}[dtype]
        size = math.prod(shape) * kind.itemsize
        tensors[name] = whole[start + offset : start + offset + size].view(kind).view(shape)
    return Stored(tensors, content["fields"])


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
