"""Weights written to a file."""

import io
from collections.abc import Mapping
from pathlib import Path

import torch
from torch import Tensor

from blocks.errors import WeightsError
from blocks.files import write_whole
from blocks.weights.safetensors import to_safetensors


def write_state(
    state: Mapping[str, Tensor], path: Path, metadata: dict[str, str] | None = None
) -> None:
    """Write tensors as safetensors or PyTorch's own format, by the suffix: whole or not at all.

    `metadata` goes into a safetensors file; PyTorch's format has no place for it.

    Raises:
        WeightsError: another suffix, or safetensors is not installed.
    """
    if path.suffix not in (".safetensors", ".pt", ".pth"):
        raise WeightsError(f"cannot write {path}: expected .safetensors, .pt or .pth")
    # In memory first: a full disk is then an OSError of ours and not of each library's own kind.
    if path.suffix == ".safetensors":
        content = to_safetensors(state, metadata, path)
    else:
        buffer = io.BytesIO()
        torch.save(dict(state), buffer)
        content = buffer.getvalue()
    write_whole(path, content)
