"""Which images are meant: a file, a folder, or what standard input says."""

import contextlib
import itertools
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO, Final

from blocks.images.decode import why_unread
from blocks.images.walk import Passed, Walk, describe_passed
from scaling.compound import ScalingError

_HEAD: Final = 64
"""Bytes that tell an image from a list of paths."""
_TEXT_CONTROLS: Final = frozenset(b"\t\n\r\f")


@contextlib.contextmanager
def open_source(text: str, stdin: BinaryIO) -> Iterator[tuple[Iterator[Path], list[Passed]]]:
    """The image files that are meant, as `images_in` gives them.

    `-` is standard input: paths, one a line, as `find` prints them; or the bytes of one image.

    Raises:
        ScalingError: there is nothing there.
    """
    if text == "-":
        with _from_stdin(stdin) as paths:
            yield paths, []
        return
    yield images_in(Path(text).expanduser())


def images_in(path: Path) -> tuple[Iterator[Path], list[Passed]]:
    """The image files of a folder, at any depth and in order, or the one that is named; and what of
    the folder is no image, known once they are read.

    Raises:
        ScalingError: there is nothing there.
    """
    if path.is_dir():
        walk = Walk(path, masks=True)
        found = walk.images(path)
        first = next(found, None)
        if first is None:
            passed = f" ({describe_passed(walk.passed)})" if walk.passed else ""
            raise ScalingError(f"{path} holds no images{passed}")
        return (Path(each) for each in itertools.chain([first], found)), walk.passed
    if not path.exists():
        raise ScalingError(f"there is no {path}; expected an image, a folder of images, or -")
    if (why := why_unread(path)) is not None:
        raise ScalingError(f"{path} is not read: {why}")
    return iter([path]), []


@contextlib.contextmanager
def _from_stdin(stdin: BinaryIO) -> Iterator[Iterator[Path]]:
    head = stdin.readline(_HEAD)
    if not head:
        raise ScalingError("standard input is empty; expected paths, one a line, or an image")
    if _is_text(head):
        yield _paths(head, stdin)
        return
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "-"
        path.write_bytes(head + stdin.read())
        yield iter([path])


def _is_text(head: bytes) -> bool:
    controls = any(byte < 32 and byte not in _TEXT_CONTROLS for byte in head)
    return not controls and not head.startswith((b"\xff\xd8", b"\x89PNG"))


def _paths(head: bytes, stdin: BinaryIO) -> Iterator[Path]:
    first = head if head.endswith(b"\n") else head + stdin.readline()
    for line in itertools.chain([first], stdin):
        name = line.rstrip(b"\r\n")
        if name:
            # A name that is not UTF-8 is still the name of a file.
            yield Path(name.decode("utf-8", "surrogateescape"))
