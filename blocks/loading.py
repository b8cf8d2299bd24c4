"""A network with its weights, from what names it."""

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch

from blocks.arch import ArchSpec
from blocks.export.safetensors import read_spec
from blocks.network import Network
from blocks.subject import Subject, read_subject
from blocks.weights.choose import read_fitting
from blocks.weights.find import find_weights
from blocks.weights.fit import fit_state, put_state
from blocks.weights.layouts import source_arch
from blocks.weights.rename import detect_source
from blocks.weights.safetensors import read_arch


def load(
    subject: str | Path | ArchSpec,
    weights: str | Path | None = None,
    num_classes: int | None = None,
) -> Network:
    """The network that `subject` names, in evaluation mode, with its weights.

    `subject` is a name of the zoo, a spelling, an architecture, a YAML file that a search or a
    family wrote, or a `.safetensors` file that `python -m blocks export` wrote. `weights` is a
    file of a layout that `blocks.weights` reads, or `package:NAME`; None: those that the file
    names, else random ones. `num_classes`, where given, is instead of the file's, or of
    ImageNet's 1,000.

        network = load("results/main/b0.yaml")
        network = load("efficientnet_b0", weights="efficientnet_b0.pth")
        logits = network(images)  # (N, 3, H, W), normalised → (N, num_classes)

    Raises:
        ArchError: `subject` is none of these.
        WeightsError: the weights cannot be read, or are of another network.
    """
    found = _subject(subject, num_classes)
    path = find_weights(str(weights)) if weights is not None else found.weights
    if path is None:
        return Network(found.arch, found.num_classes).eval()
    return load_from(path, found).network


def _subject(subject: str | Path | ArchSpec, num_classes: int | None) -> Subject:
    if isinstance(subject, ArchSpec):
        subject = str(subject)
    if Path(subject).suffix != ".safetensors":
        return read_subject(str(subject), num_classes)
    found = read_spec(Path(subject))
    return found if num_classes is None else replace(found, num_classes=num_classes)


@dataclass(frozen=True)
class Loaded:
    """A network with its weights, and the layout that they were in."""

    network: Network
    source: str


def load_from(path: Path, subject: Subject, source: str = "auto") -> Loaded:
    """The network of `subject`, in evaluation mode, with the weights in `path`, every tensor.

    Padding and batch norm are those of the layout's library, or those that a safetensors file of
    ours was written with.

    Raises:
        WeightsError: see `blocks.weights.read.read_state`; or the file is of another network.
    """
    state = read_fitting(path, subject.arch).state
    if source == "auto":
        source = detect_source(state, subject.arch)
    arch = source_arch(subject.name, subject.arch, source)
    written = read_arch(path)
    if written is not None and replace(written, **_conventions(arch)) == arch:
        arch = written
    with torch.device("meta"):  # before memory for a network that the file is not of
        fitted = fit_state(Network(arch, subject.num_classes), state, source, str(path))
    network = Network(arch, subject.num_classes).eval()
    put_state(network, fitted)
    return Loaded(network, source)


def _conventions(arch: ArchSpec) -> dict[str, Any]:
    """What of an architecture its tensors do not show."""
    return {name: getattr(arch, name) for name in ("padding", "norm_eps", "norm_momentum")}
