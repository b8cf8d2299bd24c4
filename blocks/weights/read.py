"""The tensors of a weights file, whatever wrote it: nothing in it is run."""

import argparse
import re
import warnings
import zipfile
from collections.abc import Mapping
from pathlib import Path
from pickle import UnpicklingError
from typing import Any, Final

import numpy as np
import torch
from torch import Tensor

from blocks.errors import WeightsError, one_line
from blocks.weights.safetensors import read_safetensors

State = dict[str, Tensor]

_SCALAR: Final = np._core.multiarray.scalar  # type: ignore[attr-defined]
_HARMLESS: Final[list[Any]] = [
    argparse.Namespace,
    (_SCALAR, "numpy._core.multiarray.scalar"),
    (_SCALAR, "numpy.core.multiarray.scalar"),
    np.dtype,
    *{type(np.dtype(name)) for name in ("float16", "float32", "float64", "int32", "int64", "bool")},
]
"""Data, not code, that training scripts save beside the weights: arguments and scores."""
_WRAPPERS: Final = (
    "state_dict_ema",
    "ema_state_dict",
    "model_ema",
    "ema",
    "state_dict",
    "model_state_dict",
    "model_state",
    "model",
    "module",
    "net",
)
"""Where training scripts (timm's, torchvision's, DeepSpeed's) put the weights of a checkpoint."""
_PREFIXES: Final = ("module.", "_orig_mod.", "model.", "net.")
"""What DistributedDataParallel, torch.compile and Lightning put before every name."""


_MOST_PACKED: Final = 2**24
"""Bytes that may come of packing: somebody may have packed the names, not the weights."""


def read_state(path: Path) -> State:
    """The tensors of a weights file: safetensors, or PyTorch's own format without code.

    A checkpoint is unwrapped, its averaged weights (EMA) before its last ones; the prefixes of
    DistributedDataParallel and torch.compile are dropped.

    Raises:
        WeightsError: not there, truncated, no tensors in it, or a pickle with code (refused).
    """
    return _named_tensors(read_content(path), path)


def read_content(path: Path) -> Any:
    """What a weights file holds, its wrappers included.

    Raises:
        WeightsError: see `read_state`.
    """
    try:
        with path.open("rb") as stream:
            start = stream.read(9)
    except OSError as error:
        raise WeightsError(f"cannot read {path}: {error.strerror}") from None
    try:
        # A safetensors file is the length of its header and the header, JSON; whatever its name.
        if path.suffix == ".safetensors" or start[8:] == b"{":
            return read_safetensors(path)
        _check_packed(path)
        with warnings.catch_warnings(), torch.serialization.safe_globals(_HARMLESS):
            # Its remarks on a pickle's age tell a user nothing: the file loads or does not.
            warnings.simplefilter("ignore")
            return torch.load(path, map_location="cpu", weights_only=True)
    except WeightsError:
        raise
    except Exception as error:  # bytes that are no pickle make the unpickler stumble anywhere
        reason = one_line(error) or type(error).__name__
        refused = re.search(r"GLOBAL (\S+)", reason) if isinstance(error, UnpicklingError) else None
        if refused is not None:
            raise WeightsError(
                f"{path} is a pickle with code in it ({refused[1]}), which would run on loading: "
                "refused; expected tensors alone (torch.save(model.state_dict(), …))"
            ) from None
        if "TorchScript" in reason:
            raise WeightsError(
                f"{path} is a TorchScript program; expected tensors alone "
                "(torch.save(model.state_dict(), …))"
            ) from None
        if isinstance(error, UnpicklingError):  # whose words are an advice to trust the file
            reason = "no pickle of PyTorch's"
        raise WeightsError(f"{path} is truncated or not a weights file: {reason[:120]}") from None


def _check_packed(path: Path) -> None:
    """Refuse a file that unpacks to more than itself: PyTorch packs nothing.

    Raises:
        WeightsError: by its own list of what is in it.
    """
    if not zipfile.is_zipfile(path):
        return
    with zipfile.ZipFile(path) as packed:
        unpacked = sum(entry.file_size for entry in packed.infolist())
    size = path.stat().st_size
    if unpacked > size + _MOST_PACKED:
        raise WeightsError(
            f"{path} has {size:,} bytes, which unpack to {unpacked:,}; PyTorch's own files are not "
            "packed: refused"
        )


def _named_tensors(content: Any, path: Path) -> State:
    """The weights within a checkpoint, under the names of the module that they belong to."""
    while isinstance(content, Mapping):
        inner = [content[key] for key in _WRAPPERS if isinstance(content.get(key), Mapping)]
        filled = [each for each in inner if each]
        if not filled:
            break
        content = filled[0]
    if not isinstance(content, Mapping):
        raise WeightsError(f"{path} holds a {type(content).__name__}; expected named tensors")
    state = {str(name): value for name, value in content.items() if isinstance(value, Tensor)}
    state.pop("n_averaged", None)  # the counter of torch's AveragedModel
    if not state:
        entries = ", ".join(map(str, list(content)[:5])) or "nothing"
        raise WeightsError(f"{path} holds no tensors, but {entries}")
    while prefix := next((p for p in _PREFIXES if all(n.startswith(p) for n in state)), None):
        state = {name.removeprefix(prefix): tensor for name, tensor in state.items()}
    check_numbers(state, path)
    return state


def check_numbers(state: State, path: Path) -> None:
    """Refuse tensors that no weights can be.

    Raises:
        WeightsError: names the tensor and what it is.
    """
    for name, tensor in state.items():
        odd = tensor.layout != torch.strided or tensor.is_meta
        counter = name.endswith("num_batches_tracked")
        if odd or not (tensor.is_floating_point() or counter):
            kind = str(tensor.dtype).removeprefix("torch.")
            raise WeightsError(
                f"{path}: {name} is a tensor of {kind}{' that is sparse or empty' if odd else ''}; "
                "expected dense floating-point numbers"
            )
