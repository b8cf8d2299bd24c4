"""Files that are there whole or not at all."""

import contextlib
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
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            yield temporary
            temporary.replace(path)
        finally:
            temporary.unlink(missing_ok=True)
    except OSError as error:
        raise CompoundNasError(f"cannot write {path}: {error.strerror or error}") from None


def write_whole(path: Path, content: bytes) -> None:
    """Write `content` to `path` by way of `whole_file`."""
    with whole_file(path) as temporary:
        temporary.write_bytes(content)
