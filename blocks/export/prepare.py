"""What every format starts from: the network at rest, its specification, optional packages."""

import copy
import importlib
import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

import torch
from torch import Tensor

from blocks.arch import Size, format_arch
from blocks.errors import ExportError
from blocks.images.batches import batch_size
from blocks.images.reading import USUAL, Reading, whole_mapping
from blocks.network import Network


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


def prepared(network: Network) -> tuple[Network, Tensor, tuple[dict[int, Any]]]:
    """A copy on the CPU in evaluation mode, an input, and which of its dimensions are dynamic.

    The example has 2 images: a batch of 1 would be taken for a constant. Weights in channels-last
    memory, as training leaves them, would make the exporter spell out strides by gathering.
    """
    network = copy.deepcopy(network).cpu().eval().to(memory_format=torch.contiguous_format)
    arch = network.arch
    images = torch.zeros(2, arch.in_channels, *arch.image)
    return network, images, ({0: torch.export.Dim("batch")},)


@dataclass(frozen=True)
class Meaning:
    """What a network's input and output mean: `mean` and `std`, by which its images are normalised,
    per channel, of pixels in 0…1; the names of its classes; how its images were read; whether an
    image may have several labels (`task`: multilabel), those of a probability of `threshold`."""

    mean: Sequence[float] | None = None
    std: Sequence[float] | None = None
    classes: Sequence[str] | None = None
    reading: Reading = USUAL
    task: str = "classes"
    threshold: float | None = None


NOTHING_KNOWN: Final = Meaning()


def spec_of(network: Network, meaning: Meaning = NOTHING_KNOWN) -> dict[str, str]:
    """What is written beside the weights, so that they are a whole network; in JSON, what is not
    one word."""
    found = {
        "arch": format_arch(network.arch),
        "num_classes": str(network.classifier.out_features),
    }
    if meaning.mean is not None and meaning.std is not None:
        found |= {"mean": json.dumps(list(meaning.mean)), "std": json.dumps(list(meaning.std))}
    if meaning.classes is not None:
        found["classes"] = json.dumps(list(meaning.classes))
    if meaning != NOTHING_KNOWN:
        found["reading"] = json.dumps(whole_mapping(meaning.reading))
    if meaning.task != "classes":
        found["task"] = meaning.task
    if meaning.threshold is not None:
        found["threshold"] = repr(meaning.threshold)
    return found


def run_network(network: torch.nn.Module, images: Tensor) -> Tensor:
    """Logits (N, num_classes) of a module that is in evaluation mode."""
    with torch.inference_mode():
        return torch.cat(
            [network(chunk) for chunk in torch.split(images, batch_size(Size(*images.shape[-2:])))]
        )
