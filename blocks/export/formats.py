"""The formats that are known: what writes each, and what runs it."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from torch import Tensor

from blocks.errors import ExportError
from blocks.export.onnx import export_onnx, run_onnx
from blocks.export.prepare import Meaning, run_network
from blocks.export.program import export_program, run_program
from blocks.export.safetensors import load_safetensors, save_safetensors
from blocks.names import did_you_mean
from blocks.network import Network


@dataclass(frozen=True)
class Format:
    """A kind of file: its suffix, what writes it, and what runs it on images.

    `run` takes a file and normalised images (N, C, H, W) and gives logits (N, num_classes).
    """

    suffix: str
    write: Callable[[Network, Path, Meaning], None]
    run: Callable[[Path, Tensor], Tensor]


FORMATS: Final[dict[str, Format]] = {
    "onnx": Format(
        ".onnx",
        export_onnx,
        run_onnx,
    ),
    "torch_export": Format(
        ".pt2",
        export_program,
        run_program,
    ),
    "safetensors": Format(
        ".safetensors",
        save_safetensors,
        lambda path, images: run_network(load_safetensors(path), images),
    ),
}


def find_format(name: str) -> Format:
    """The format of that name.

    Raises:
        ExportError: there is none.
    """
    if name not in FORMATS:
        raise ExportError(
            f"unknown format {name!r}{did_you_mean(name, FORMATS)}; expected {', '.join(FORMATS)}"
        )
    return FORMATS[name]
