"""Weights as safetensors, an optional package; an architecture may stand beside the tensors."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from torch import Tensor

from blocks.arch import ArchSpec, parse_arch
from blocks.errors import WeightsError


def read_safetensors(path: Path) -> dict[str, Tensor]:
    """The tensors of a file.

    Raises:
        WeightsError: it is damaged, or safetensors is not installed.
    """
    library = _safetensors(path)
    try:
        state: dict[str, Tensor] = library.torch.load_file(path)
    except library.SafetensorError as error:
        raise WeightsError(f"{path} is truncated or not a safetensors file: {error}") from None
    return state


def to_safetensors(
    state: Mapping[str, Tensor], metadata: dict[str, str] | None, path: Path
) -> bytes:
    """The content of the file `path` with these tensors.

    Raises:
        WeightsError: safetensors is not installed.
    """
    contiguous = {name: tensor.contiguous() for name, tensor in state.items()}
    content: bytes = _safetensors(path).torch.save(contiguous, metadata)
    return content


def _safetensors(path: Path) -> Any:
    try:
        import safetensors.torch
    except ImportError:
        raise WeightsError(
            f'{path} needs safetensors: pip install "compound-nas[export]"'
        ) from None
    return safetensors


def read_arch(path: Path) -> ArchSpec | None:
    """The architecture that stands in a safetensors file beside the tensors, if one does."""
    if path.suffix != ".safetensors":
        return None
    with _safetensors(path).safe_open(path, "pt") as file:
        spelling = (file.metadata() or {}).get("arch")
    return None if spelling is None else parse_arch(spelling)
