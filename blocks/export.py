"""Networks written to files that other programs run: ONNX, `torch.export`, safetensors.

Every writer is whole-or-nothing: the file appears under its name complete, or not at all.
`export` also runs what it wrote on images and compares the logits with those of PyTorch
before the file gets its name.
"""

import copy
import importlib
import io
import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
import torch
from torch import Tensor

from blocks.arch import format_arch, parse_arch
from blocks.errors import ExportError, WeightsError, one_line
from blocks.files import whole_file
from blocks.images.batches import batch_size
from blocks.names import did_you_mean
from blocks.network import Network
from blocks.subject import Subject
from blocks.weights.fit import load_weights

RELATIVE_TOLERANCE: Final = 1e-4
"""The largest allowed difference of two logits, relative to the largest logit.

The same sums in another order (fused normalisation, other convolution kernels) differ by a few
float32 roundings a layer, in all 1e-6 to 2e-5 of the largest logit for the networks of the zoo.
A mistake is far above 1e-4: padding off by one pixel moves logits by percents. Relative, since an
untrained network's logits may be of order 0.01 and a trained one's of order 10.
"""

INPUT: Final = "image"
"""The name of the ONNX file's input; that of its output is `logits`."""

_ONNX_BYTES_MOST: Final = 2**31 - 1
"""A protobuf message, and so an ONNX file with its weights inside, ends here."""


def optional_package(name: str) -> Any:
    """The module `name` of a package that only exporting needs.

    Raises:
        ExportError: it is not installed, or a part of it is not.
    """
    try:
        return importlib.import_module(name)
    except ImportError as error:
        raise ExportError(
            f'exporting needs {error.name or name}: pip install "compound-nas[export]"'
        ) from None


def export_onnx(network: Network, path: Path) -> None:
    """Write `network` as one ONNX file, in evaluation mode and of a dynamic batch size.

    Input `image` (batch, in_channels, resolution, resolution) float32, normalised; output
    `logits` (batch, num_classes). Normalisation layers are folded into the convolutions.

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
    network, images, dynamic_shapes = _prepared(network)
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
    program.model.metadata_props.update(_spec_of(network))
    with whole_file(path) as temporary:
        program.save(temporary, external_data=False)


def export_program(network: Network, path: Path) -> None:
    """Write `network` as a `torch.export` program (`.pt2`), evaluation mode, dynamic batch size.

    `torch.export.load(path).module()` is a module that needs nothing of this project.

    Raises:
        ExportError: the file cannot be written.
    """
    network, images, dynamic_shapes = _prepared(network)
    program = torch.export.export(network, (images,), dynamic_shapes=dynamic_shapes)
    for node in program.graph.nodes:
        node.meta.pop("stack_trace", None)
    # By way of memory: a full disk is an OSError of ours, and not what torch makes of it.
    content = io.BytesIO()
    torch.export.save(program, content, extra_files=_spec_of(network))
    with whole_file(path) as temporary:
        temporary.write_bytes(content.getbuffer())


def save_safetensors(
    network: Network,
    path: Path,
    mean: Sequence[float] | None = None,
    std: Sequence[float] | None = None,
) -> None:
    """Write the weights of `network` with its specification as metadata: one whole network.

    `mean` and `std` are what its images are normalised by, per channel, of pixels in 0…1.
    `read_spec` and `load_safetensors` are the inverse.

    Raises:
        ExportError: safetensors is missing, or the file cannot be written.
    """
    safetensors = optional_package("safetensors.torch")
    metadata = {"format": "pt", **_spec_of(network)}
    if mean is not None and std is not None:
        metadata |= {"mean": json.dumps(list(mean)), "std": json.dumps(list(std))}
    state = {name: tensor.cpu().contiguous() for name, tensor in network.state_dict().items()}
    content: bytes = safetensors.save(state, metadata)
    with whole_file(path) as temporary:
        temporary.write_bytes(content)


def read_spec(path: Path) -> Subject:
    """What `save_safetensors` wrote beside the weights; the tensors are not read.

    Raises:
        WeightsError: not there, not safetensors, or without a specification.
        ArchError: the specification cannot be read.
    """
    safetensors = optional_package("safetensors")
    try:
        with safetensors.safe_open(path, "pt") as file:
            metadata: dict[str, str] = file.metadata() or {}
    except OSError as error:
        reason = error.strerror or "not there"
        raise WeightsError(f"cannot read {path}: {reason}") from None
    except safetensors.SafetensorError as error:
        raise WeightsError(f"{path} is truncated or not a safetensors file: {error}") from None
    if "arch" not in metadata:
        raise WeightsError(
            f"{path} has no 'arch' in its metadata; expected a file of `save_safetensors`"
        )
    try:
        mean, std = (
            tuple(map(float, json.loads(metadata[key]))) if key in metadata else None
            for key in ("mean", "std")
        )
        num_classes = int(metadata["num_classes"])
    except (KeyError, TypeError, ValueError) as error:
        raise WeightsError(f"{path}: its metadata cannot be read: {error}") from None
    return Subject(path.stem, parse_arch(metadata["arch"]), num_classes, path, mean, std)


def load_safetensors(path: Path) -> Network:
    """The network that `save_safetensors` wrote, in evaluation mode.

    Raises:
        WeightsError, ArchError: see `read_spec`; or the tensors are of another network.
    """
    spec = read_spec(path)
    network = Network(spec.arch, spec.num_classes)
    load_weights(network, path, "compound_nas")
    return network.eval()


@dataclass(frozen=True)
class Format:
    """A kind of file: its suffix, what writes it, and what runs it on images.

    `run` takes a file and normalised images (N, C, H, W) and gives logits (N, num_classes).
    """

    suffix: str
    write: Callable[[Network, Path, Sequence[float] | None, Sequence[float] | None], None]
    run: Callable[[Path, Tensor], Tensor]


def run_onnx(path: Path, images: Tensor) -> Tensor:
    """Logits (N, num_classes) of an ONNX file in ONNX Runtime on the CPU.

    Raises:
        ExportError: ONNX Runtime is missing, or does not run the file.
    """
    return run_session(onnx_session(path), images)


def run_session(session: Any, images: Tensor) -> Tensor:
    """Logits (N, num_classes) of an ONNX Runtime session on images (N, C, H, W)."""
    chunks = torch.split(images, batch_size(images.shape[-1]))
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


def run_network(network: torch.nn.Module, images: Tensor) -> Tensor:
    """Logits (N, num_classes) of a module that is in evaluation mode."""
    with torch.inference_mode():
        return torch.cat(
            [network(chunk) for chunk in torch.split(images, batch_size(images.shape[-1]))]
        )


FORMATS: Final[dict[str, Format]] = {
    "onnx": Format(
        ".onnx",
        lambda network, path, mean, std: export_onnx(network, path),
        run_onnx,
    ),
    "torch_export": Format(
        ".pt2",
        lambda network, path, mean, std: export_program(network, path),
        lambda path, images: run_network(torch.export.load(path).module(), images),
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


def export(
    network: Network,
    path: Path,
    format_name: str,
    images: Tensor,
    mean: Sequence[float] | None = None,
    std: Sequence[float] | None = None,
) -> float:
    """Write `network` to `path` and prove the file on `images` (N, C, H, W), normalised.

    Returns the largest absolute difference between the file's logits and PyTorch's.

    Raises:
        ExportError: an unknown format, a file that cannot be written, weights of which PyTorch
            itself has no certain logits, or a file whose logits differ by more than
            `RELATIVE_TOLERANCE`; then no file is left.
    """
    file_format = find_format(format_name)
    reference = _reference_logits(network, images, path)
    with whole_file(path) as temporary:
        file_format.write(network, temporary, mean, std)
        return check_logits(file_format.run(temporary, images), reference, path)


def check_logits(logits: Tensor, reference: Tensor, path: Path) -> float:
    """The largest absolute difference of the two; `path` names the file in messages.

    Raises:
        ExportError: it is over `RELATIVE_TOLERANCE`, or a logit is not a number.
    """
    difference = (logits - reference).abs().max().item()
    largest = reference.abs().max().item()
    # Written so that NaN, which is not smaller than anything, is refused.
    if not difference <= RELATIVE_TOLERANCE * largest:
        raise ExportError(
            f"{path}: logits differ from PyTorch's by {difference:.2e} where the largest is "
            f"{largest:.3g}; expected at most {RELATIVE_TOLERANCE * largest:.2e}"
        )
    return difference


def _reference_logits(network: Network, images: Tensor, path: Path) -> Tensor:
    """PyTorch's logits in float32, where float64 confirms them.

    The random weights of a deep network, without statistics to normalise by, may amplify a
    rounding to the size of the logits: then a faithful file differs as much as a wrong one.
    """
    network = copy.deepcopy(network).cpu().eval()
    reference = run_network(network, images)
    if not reference.isfinite().all():
        raise ExportError(
            f"{path}: the network's own logits are not finite on the images, so that an export "
            "cannot be checked; expected trained weights, and the mean and std they are for"
        )
    rounding = (run_network(network.double(), images.double()) - reference).abs().max().item()
    largest = reference.abs().max().item()
    if rounding > RELATIVE_TOLERANCE * largest:
        raise ExportError(
            f"{path}: PyTorch's own logits in float32 and float64 differ by {rounding:.2e} where "
            f"the largest is {largest:.3g}, so that an export cannot be checked; expected trained "
            "weights, and the mean and std they are for"
        )
    return reference


def _prepared(network: Network) -> tuple[Network, Tensor, tuple[dict[int, Any]]]:
    """A copy on the CPU in evaluation mode, an input, and which of its dimensions are dynamic.

    The example has 2 images: a batch of 1 would be taken for a constant. Weights in channels-last
    memory, as training leaves them, would make the exporter spell out strides by gathering.
    """
    network = copy.deepcopy(network).cpu().eval().to(memory_format=torch.contiguous_format)
    arch = network.arch
    images = torch.zeros(2, arch.in_channels, arch.resolution, arch.resolution)
    return network, images, ({0: torch.export.Dim("batch")},)


def _spec_of(network: Network) -> dict[str, str]:
    return {
        "arch": format_arch(network.arch),
        "num_classes": str(network.classifier.out_features),
    }
