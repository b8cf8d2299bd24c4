"""Safetensors files that hold a whole network: the weights, and its specification beside them."""

import json
from collections.abc import Mapping
from pathlib import Path

from blocks.arch import parse_arch
from blocks.errors import DAMAGED, WeightsError
from blocks.export.prepare import NOTHING_KNOWN, Meaning, optional_package, spec_of
from blocks.files import whole_file
from blocks.images.reading import reading_from
from blocks.network import Network
from blocks.subject import Subject, usual_reading
from blocks.weights.fit import load_weights


def save_safetensors(network: Network, path: Path, meaning: Meaning = NOTHING_KNOWN) -> None:
    """Write the weights of `network` with its specification as metadata: one whole network.

    `read_spec` and `load_safetensors` are the inverse.

    Raises:
        ExportError: safetensors is missing, or the file cannot be written.
    """
    safetensors = optional_package("safetensors.torch")
    metadata = {"format": "pt", **spec_of(network, meaning)}
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
    return subject_of(metadata, path)


def subject_of(metadata: Mapping[str, str], path: Path) -> Subject:
    """What `blocks.export.prepare.spec_of` wrote into the metadata of a file.

    Raises:
        WeightsError, ArchError: it cannot be read.
    """
    try:
        mean, std = (
            tuple(map(float, json.loads(metadata[key]))) if key in metadata else None
            for key in ("mean", "std")
        )
        num_classes = int(metadata["num_classes"])
        classes = (
            tuple(map(str, json.loads(metadata["classes"]))) if "classes" in metadata else None
        )
        reading = usual_reading(mean)
        if "reading" in metadata:
            reading = reading_from(json.loads(metadata["reading"]))
        threshold = float(metadata["threshold"]) if "threshold" in metadata else None
    except DAMAGED as error:
        raise WeightsError(f"{path}: its metadata cannot be read: {error}") from None
    return Subject(
        path.stem,
        parse_arch(metadata["arch"]),
        num_classes,
        path,
        mean,
        std,
        classes,
        reading,
        metadata.get("task", "classes"),
        threshold,
    )


def load_safetensors(path: Path) -> Network:
    """The network that `save_safetensors` wrote, in evaluation mode.

    Raises:
        WeightsError, ArchError: see `read_spec`; or the tensors are of another network.
    """
    spec = read_spec(path)
    network = Network(spec.arch, spec.num_classes)
    load_weights(network, path, "compound_nas")
    return network.eval()
