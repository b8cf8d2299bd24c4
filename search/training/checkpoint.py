"""Files that a training goes on from: whole, or as good as not there."""

import io
import pickle
import warnings
from pathlib import Path
from typing import Any, Final

import torch

from blocks.files import write_durably

_DAMAGE: Final = (
    RuntimeError, EOFError, ValueError, LookupError, pickle.UnpicklingError,
)  # fmt: skip
"""What `torch.load` raises of a damaged file."""


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
    from the start is the same one."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of what a damaged file seems to be
            return torch.load(path, weights_only=True, map_location="cpu")
    except FileNotFoundError:
        return None
    except _DAMAGE as error:
        if "allocate memory" in str(error):
            raise  # the file may be whole
        path.unlink()
        return None
