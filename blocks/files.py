"""Files that are there whole or not at all."""

import contextlib
import os
import secrets
from collections.abc import Iterator
from pathlib import Path

from blocks.errors import CompoundNasError


@contextlib.contextmanager
def whole_file(path: Path) -> Iterator[Path]:
    """A temporary name beside `path`, with its suffix, that takes its place on success.

    A full disk, a kill or an error leaves what was there before.

    Raises:
        CompoundNasError: the folder or the file cannot be written.
    """
    temporary = path.with_name(f".{path.stem}.{secrets.token_hex(4)}{path.suffix}")
    try:
        with _replacing(path, temporary):
            yield temporary
    except OSError as error:
        raise CompoundNasError(f"cannot write {path}: {error.strerror or error}") from None


def write_whole(path: Path, content: bytes) -> None:
    """Write `content` to `path` by way of `whole_file`."""
    with whole_file(path) as temporary:
        temporary.write_bytes(content)


def write_durably(path: Path, content: bytes | memoryview) -> None:
    """Write `content` to `path`, and wait until it is on the disk.

    A crash of the machine, too, leaves the whole file or the old one. The temporary name is
    always the same, so that writers that are killed, time and again, leave one file at most.

    Raises:
        OSError: the disk is full, or refuses.
    """
    temporary = _partial(path)
    with _replacing(path, temporary), open(temporary, "wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())


def remove_durable(path: Path) -> None:
    """Remove what `write_durably` wrote, and what a writer that was killed left beside it."""
    for each in (path, _partial(path)):
        each.unlink(missing_ok=True)


def _partial(path: Path) -> Path:
    return path.with_name(f".{path.name}.partial")


@contextlib.contextmanager
def _replacing(path: Path, temporary: Path) -> Iterator[None]:
    """`temporary`, written meanwhile, becomes `path`; after an error it is gone."""
    path.parent.mkdir(parents=True, exist_ok=True)
    try:
        yield
        temporary.replace(path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise
