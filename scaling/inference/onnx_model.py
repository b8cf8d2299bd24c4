"""A network in an ONNX file that `python -m blocks export` wrote."""

from collections.abc import Callable
from pathlib import Path

from torch import Tensor

from blocks.errors import ExportError
from blocks.export.onnx import onnx_session, run_session
from blocks.export.safetensors import subject_of
from blocks.subject import Subject


def open_onnx(path: Path) -> tuple[Subject, Callable[[Tensor], Tensor]]:
    """What its metadata says, and what runs it: normalised images (N, C, H, W) to logits.

    Raises:
        ExportError: ONNX Runtime is missing or cannot read it, or it says nothing of itself.
    """
    session = onnx_session(path, threads=1)  # batches run side by side
    metadata = session.get_modelmeta().custom_metadata_map
    if "arch" not in metadata or "num_classes" not in metadata:
        raise ExportError(
            f"{path} says nothing of its network; expected a file of `python -m blocks export`"
        )
    return subject_of(metadata, path), lambda images: run_session(session, images)
