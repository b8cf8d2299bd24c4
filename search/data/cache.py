"""Decoded images on disk, named by the contents they were decoded from, mapped into memory.

A file is whole or not there. What is read was hashed when it was written, and is hashed again:
a damaged file is built anew. Worker processes map the same file, so that a machine holds the
images once, in memory that it can take back.
"""

import contextlib
import fcntl
import hashlib
import json
import math
import os
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from io import BufferedRandom, BufferedReader
from pathlib import Path
from typing import Any, Final

import PIL
import torch
from PIL import features
from torch import Tensor

from blocks.console import console
from blocks.errors import CompoundNasError
from blocks.files import whole_file, write_whole
from search.data.folder import side_by_side

_VERSION: Final = 1
"""Of the files here, and of the way images are decoded: another one is another key."""

_ALIGNMENT: Final = 64
_SETTLED_SECONDS: Final = 2.0
"""A file changed within so short a time before it was hashed may change again unseen, as its
clock ticks no finer."""


@dataclass(frozen=True)
class Stored:
    """Contiguous tensors (uint8 or int64) by name, and what else JSON holds."""

    tensors: dict[str, Tensor]
    fields: dict[str, Any]


def cache_folder(setting: str | None) -> Path | None:
    """The folder that `dataset.cache` means; None is no cache."""
    if setting is None:
        return None
    if setting != "auto":
        return Path(setting).expanduser()
    base = os.environ.get("XDG_CACHE_HOME") or "~/.cache"
    try:
        return Path(base).expanduser() / "compound-nas"
    except RuntimeError:  # a user without a home
        return None


def cache_key(identity: Any) -> str:
    """A file name of what JSON holds, the decoders' versions, and this file's own."""
    decoders = [_VERSION, PIL.__version__, features.version("jpg"), features.version("webp")]
    return hashlib.sha256(json.dumps([decoders, identity]).encode()).hexdigest()[:32]


def content_hashes(root: Path, names: Sequence[str], cache: Path) -> list[str]:
    """The SHA-256, in hex, of these files under `root`, read where size or times are not as known.

    The times are those of the content and of the inode, in ns: a file that was moved in the place
    of another has its own. An unreadable file has a hash of zeros.
    """
    resolved = hashlib.sha256(str(root.resolve()).encode()).hexdigest()[:32]
    manifest = cache / f"folder-{resolved}.json"
    known = _read_manifest(manifest)
    now = time.time_ns()
    found: dict[str, list[Any]] = {}
    unknown = []
    for name in names:
        try:
            state = os.stat(root / name)
        except OSError:
            unknown.append(name)
            continue
        stamp = [state.st_size, state.st_mtime_ns, state.st_ctime_ns]
        entry = known.get(name)
        if entry is not None and entry[:3] == stamp:
            found[name] = entry
        else:
            found[name] = [*stamp, ""]
            unknown.append(name)
    hashed = side_by_side(_hash, [root / name for name in unknown])
    for name, digest in zip(unknown, hashed, strict=True):
        found.setdefault(name, [0, 0, 0, ""])[3] = digest
    settled = {
        name: entry
        for name, entry in found.items()
        if max(entry[1], entry[2]) < now - 1e9 * _SETTLED_SECONDS and int(entry[3], 16)
    }
    if settled != known:
        # Without it the files are hashed again, and nothing else.
        with contextlib.suppress(CompoundNasError):
            write_whole(manifest, json.dumps({"version": _VERSION, "files": settled}).encode())
    return [found[name][3] for name in names]


def _hash(path: Path) -> str:
    try:
        with open(path, "rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError:
        return "0" * 64


def _read_manifest(path: Path) -> dict[str, list[Any]]:
    try:
        content = json.loads(path.read_bytes())
        if content["version"] != _VERSION:
            return {}
        return {
            str(name): [int(size), int(mtime), int(ctime), bytes.fromhex(digest).hex()]
            for name, (size, mtime, ctime, digest) in content["files"].items()
            if len(digest) == 64
        }
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return {}


def load_or_build(cache: Path, identity: Callable[[], str], build: Callable[[], Stored]) -> Stored:
    """What the cache holds under this identity; if nothing, what `build` makes, put there.

    Of two processes that want the same one builds, and the other waits for it. What cannot be
    written stays in memory, with one remark.
    """
    key = identity()
    folder = cache / key
    path = folder / "images.bin"
    stored = _read(path)
    if stored is not None:
        return stored
    with contextlib.ExitStack() as stack:
        try:
            folder.mkdir(parents=True, exist_ok=True)
            alone = stack.enter_context(_locked(folder))
        except OSError as error:
            console.print(f"cannot cache images in {cache}: {error.strerror}", markup=False)
            return build()
        stored = _read(path)
        if stored is not None:
            return stored
        if alone:
            for left in folder.glob(".images.*"):  # by a builder that was killed
                left.unlink(missing_ok=True)
        built = build()
        if identity() != key:
            return built  # a file changed meanwhile: it may be either content
        try:
            _write(path, built)
        except CompoundNasError as error:
            console.print(f"images are not cached: {error}", markup=False)
            return built
    return _read(path) or built


@contextlib.contextmanager
def _locked(folder: Path) -> Iterator[bool]:
    """Hold the folder alone; False where its file system knows no locks."""
    handle = os.open(folder, os.O_RDONLY)
    try:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            console.print("another process decodes these images: waiting for it")
            fcntl.flock(handle, fcntl.LOCK_EX)
        except OSError:
            yield False
            return
        yield True
    finally:
        os.close(handle)


def _write(path: Path, stored: Stored) -> None:
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


def _read(path: Path) -> Stored | None:
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
