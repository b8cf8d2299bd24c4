"""ONNX files, and ONNX Runtime, which runs them."""

from pathlib import Path
from typing import Any, Final

import numpy as np
import torch
from torch import Tensor

from blocks.arch import Size
from blocks.errors import ExportError, one_line
from blocks.export.prepare import NOTHING_KNOWN, Meaning, optional_package, prepared, spec_of
from blocks.files import whole_file
from blocks.images.batches import batch_size
from blocks.network import Network

INPUT: Final = "image"
"""The name of the ONNX file's input; that of its output is `logits`."""

_ONNX_BYTES_MOST: Final = 2**31 - 1
"""A protobuf message, and so an ONNX file with its weights inside, ends here."""


def export_onnx(network: Network, path: Path, meaning: Meaning = NOTHING_KNOWN) -> None:
    """Write `network` as one ONNX file, in evaluation mode and of a dynamic batch size.

    Input `image` (batch, in_channels, height, width) float32, normalised; output
    `logits` (batch, num_classes). Normalisation layers are folded into the convolutions. The
    model's metadata holds the spelling, and the `meaning` of input and output.

    Raises:
        ExportError: a package is missing, the weights are over ONNX's 2 GB, or the file cannot
            be written.
    """
    size = sum(tensor.numel() * tensor.element_size() for tensor in network.state_dict().values())
    if size > _ONNX_BYTES_MOST:
        raise ExportError(
            f"{path}: weights of {size:,} bytes are over the 2 GB of an ONNX file; "
            "expected a smaller network, or the format torch_export or safetensors"
        )
    network, images, dynamic_shapes = prepared(network)
    for package in ("onnx", "onnxscript"):
        optional_package(package)
    program = torch.onnx.export(
        network,
        (images,),
        dynamo=True,
        dynamic_shapes=dynamic_shapes,
        input_names=[INPUT],
        output_names=["logits"],
        verbose=False,
    )
    assert program is not None  # what dynamo=True returns
    graph = program.model.graph
    # The exporter's notes hold stack traces: paths of the machine that wrote the file.
    for noted in (graph, *graph, *graph.inputs, *graph.outputs, *graph.initializers.values()):
        noted.metadata_props.clear()
    program.model.metadata_props.update(spec_of(network, meaning))
    with whole_file(path) as temporary:
        program.save(temporary, external_data=False)


def run_onnx(path: Path, images: Tensor) -> Tensor:
    """Logits (N, num_classes) of an ONNX file in ONNX Runtime on the CPU.

    Raises:
        ExportError: ONNX Runtime is missing, or does not run the file.
    """
    return run_session(onnx_session(path), images)


def run_session(session: Any, images: Tensor) -> Tensor:
    """Logits (N, num_classes) of an ONNX Runtime session on images (N, C, H, W)."""
    chunks = torch.split(images, batch_size(Size(*images.shape[-2:])))
    logits = [session.run(None, {INPUT: chunk.numpy()})[0] for chunk in chunks]
    return torch.from_numpy(np.concatenate(logits))


def onnx_session(path: Path, threads: int | None = None) -> Any:
    """An ONNX Runtime session of the file, on the CPU, with so many threads (None: PyTorch's).

    Raises:
        ExportError: ONNX Runtime is missing, or cannot read the file.
    """
    onnxruntime = optional_package("onnxruntime")
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads or torch.get_num_threads()
    options.log_severity_level = 3  # errors; its warnings speak of nodes that it optimises away
    try:
        return onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
    except Exception as error:  # its errors have no common class of their own
        reason = one_line(error)
        raise ExportError(f"ONNX Runtime cannot read {path}: {reason[:200]}") from None
