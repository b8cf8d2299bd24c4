"""Decoded images on disk, named by the contents they were decoded from, mapped into memory.

A file is whole or not there. What is read was hashed when it was written, and is hashed again:
a damaged file is built anew. Worker processes map the same file, so that a machine holds the
images once, in memory that it can take back.
"""

import contextlib
import fcntl
import hashlib
import json
import os
from collections.abc import Callable, Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Final

import PIL
from PIL import features

from blocks.errors import CompoundNasError
from blocks.messages import say
from search.data.stored import Stored, read_stored, write_stored

DECODER: Final = 2
"""The way images are decoded, and of the files here: another one is another key."""


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


def existing(folder: Path) -> Path:
    """The folder, or the nearest above it that is there: on the same disk."""
    return next(each for each in (folder, *folder.parents) if each.exists())


def cache_key(identity: Any) -> str:
    """A file name of what JSON holds, the decoders' versions, and this file's own."""
    decoders = [DECODER, PIL.__version__, features.version("jpg"), features.version("webp")]
    decoders += [find_spec(name) is not None for name in ("pillow_heif", "tifffile", "imagecodecs")]
    return hashlib.sha256(json.dumps([decoders, identity]).encode()).hexdigest()[:32]


def load_or_build(
    cache: Path, identity: Callable[[], str], build: Callable[[], Stored]
) -> tuple[Stored, Path | None]:
    """What the cache holds under this identity, and the folder it lies in; if nothing, what `build`
    makes, put there. What cannot be written stays in memory, and has no folder."""
    key = identity()
    folder = cache / key
    stored = obtain(folder / "images.bin", build, lambda: identity() == key)
    return stored, folder if (folder / "images.bin").exists() else None


def obtain(
    path: Path, build: Callable[[], Stored], still: Callable[[], bool] = lambda: True
) -> Stored:
    """What a file of the cache holds; if nothing, what `build` makes, put there if that is `still`
    what it should hold.

    Of two processes that want the same file one builds it, and the other waits for it. What cannot
    be written stays in memory.
    """
    stored = read_stored(path)
    if stored is not None:
        return stored
    folder = path.parent
    with contextlib.ExitStack() as stack:
        try:
            folder.mkdir(parents=True, exist_ok=True)
            alone = stack.enter_context(_locked(folder))
        except OSError as error:
            say(f"cannot cache images in {folder.parent}: {error.strerror}")
            return build()
        stored = read_stored(path)
        if stored is not None:
            return stored
        if alone:
            for left in folder.glob(f".{path.stem}.*"):  # by a builder that was killed
                left.unlink(missing_ok=True)
        built = build()
        if not still():
            return built  # a file changed meanwhile: it may be either content
        try:
            return write_stored(path, built)
        except CompoundNasError as error:
            say(f"images are not cached: {error}")
            return built


def keep(path: Path, stored: Stored) -> Stored:
    """The same, mapped from a file that is written first, where it can be: for a while, so that
    nobody waits for the disk."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        return write_stored(path, stored, durably=False)
    except (OSError, CompoundNasError):
        return stored.whole()


@contextlib.contextmanager
def _locked(folder: Path) -> Iterator[bool]:
    """Hold the folder alone; False where its file system knows no locks."""
    handle = os.open(folder, os.O_RDONLY)
    try:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            say("another process decodes these images: waiting for it")
            fcntl.flock(handle, fcntl.LOCK_EX)
        except OSError:
            yield False
            return
        yield True
    finally:
        os.close(handle)
