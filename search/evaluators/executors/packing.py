"""What a worker does, with its images, as bytes that are read without a copy.

Pickle would write a tensor once for each view of it, and a reader would copy it. Here each storage
is a buffer beside the pickle, written once: Ray keeps it in shared memory, workers of Slurm map it
from a file.
"""

import io
import mmap
import pickle
import struct
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from blocks.files import whole_file

Bytes = NDArray[np.uint8]
_ALIGNMENT: Final = 64


class _Pickler(pickle.Pickler):
    """Tensors as views of storages, of which each is one buffer."""

    def __init__(self, file: io.BytesIO) -> None:
        super().__init__(file, protocol=5)
        self.storages: list[Bytes] = []
        self._known: dict[int, int] = {}

    def reducer_override(self, value: Any) -> Any:
        if type(value) is Tensor and value.device.type == "cpu" and not value.requires_grad:
            storage = value.untyped_storage()
            place = self._known.get(storage.data_ptr())
            if place is None or not storage.nbytes():
                place = len(self.storages)
                whole = torch.empty(0, dtype=torch.uint8).set_(storage)
                self.storages.append(whole.numpy())
                self._known[storage.data_ptr()] = place
            view = value.dtype, value.storage_offset(), tuple(value.shape), value.stride()
            return _Storage, (place, *view)
        return NotImplemented


class _Unpickler(pickle.Unpickler):
    """Reads what a process of the same user and the same run has packed."""

    def __init__(self, head: bytes, storages: Sequence[Bytes]) -> None:
        super().__init__(io.BytesIO(head))
        self._storages = storages

    def find_class(self, module: str, name: str) -> Any:
        if module == __name__ and name == "_Storage":
            return self._view
        return super().find_class(module, name)

    def _view(
        self,
        place: int,
        dtype: torch.dtype,
        offset: int,
        shape: tuple[int, ...],
        stride: tuple[int, ...],
    ) -> Tensor:
        buffer = self._storages[place]
        if not buffer.size:
            return torch.empty(shape, dtype=dtype)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # that it must not be written to: nobody does
            storage = torch.from_numpy(buffer).untyped_storage()
        return torch.empty(0, dtype=dtype).set_(storage, offset, shape, stride)


def _Storage(*view: Any) -> Tensor:  # noqa: N802 (stands for a class in a pickle)
    raise TypeError("packed tensors are read by unpack")


def pack(value: Any) -> tuple[bytes, list[Bytes]]:
    """`value` as a pickle, and the storages of its tensors, each once."""
    file = io.BytesIO()
    pickler = _Pickler(file)
    pickler.dump(value)
    return file.getvalue(), pickler.storages


def unpack(head: bytes, storages: Sequence[Bytes]) -> Any:
    """What `pack` packed; its tensors are views of `storages`, which may be read-only."""
    return _Unpickler(head, storages).load()


def write_packed(path: Path, value: Any) -> None:
    """A file of it, which `read_packed` maps: the sizes, the pickle, the storages, aligned."""
    head, storages = pack(value)
    sizes = [len(head), *(each.size for each in storages)]
    with whole_file(path) as temporary, open(temporary, "wb") as file:
        file.write(struct.pack(f"<{len(sizes) + 1}q", len(sizes), *sizes))
        for content in (np.frombuffer(head, np.uint8), *storages):
            file.write(b"\0" * (-file.tell() % _ALIGNMENT))
            file.write(content.data)


def read_packed(path: Path) -> Any:
    """What `write_packed` wrote, its tensors mapped from the file."""
    with open(path, "rb") as file:
        whole = np.frombuffer(mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_COPY), np.uint8)
    (count,) = struct.unpack_from("<q", whole.data)
    sizes = struct.unpack_from(f"<{count}q", whole.data, 8)
    parts, at = [], 8 * (count + 1)
    for size in sizes:
        at += -at % _ALIGNMENT
        parts.append(whole[at : at + size])
        at += size
    return unpack(parts[0].tobytes(), parts[1:])
