"""Files that a training goes on from: whole, or as good as not there."""

import errno
import io
import pickle
import struct
import warnings
import zlib
from pathlib import Path
from typing import Any, Final
from zipfile import BadZipFile, ZipFile

import torch

from blocks.errors import DAMAGED, one_line
from blocks.files import write_durably
from blocks.messages import say

_DAMAGE: Final = (
    RuntimeError, EOFError, NotImplementedError, OSError, pickle.UnpicklingError, zlib.error,
    struct.error, BadZipFile, *DAMAGED,
)  # fmt: skip
"""What reading a damaged file raises."""
_OF_THE_DISK: Final = (
    errno.EIO,
    errno.EACCES,
    errno.EPERM,
    errno.EMFILE,
    errno.ENFILE,
    errno.ENOMEM,
)
"""Errors that say nothing of what is in a file."""


def save_whole(content: Any, path: Path) -> None:
    """`torch.save` that leaves the whole file or the old one.

    Raises:
        OSError: the disk is full, or refuses.
    """
    # Through memory: torch's own writer calls a full disk a RuntimeError, like a bad network.
    buffer = io.BytesIO()
    torch.save(content, buffer)
    write_durably(path, buffer.getbuffer())


def read_checkpoint(path: Path) -> Any:
    """What `train` left, or None: of a damaged file nothing is missed but time, as the training
    from the start is the same one. It is found by the checksums that PyTorch writes and does not
    look at."""
    try:
        with ZipFile(path) as records:
            damaged = records.testzip()
        if damaged is not None:
            raise BadZipFile(f"{damaged} has another checksum")
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of what a damaged file seems to be
            return torch.load(path, weights_only=True, map_location="cpu")
    except FileNotFoundError:
        return None
    except _DAMAGE as error:
        if "allocate memory" in str(error) or getattr(error, "errno", None) in _OF_THE_DISK:
            raise  # the file may be whole
        say(f"{path} is damaged ({one_line(error)[:80]}): what it was of begins anew")
        path.unlink()
        return None
