"""A trained network, ready to be asked: from a YAML file, a folder, a study, ONNX or safetensors.

Whatever it comes from, the same file says how its images are read and what its classes are called.
"""

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Final

import torch
from torch import Tensor

from blocks.arch import ArchSpec
from blocks.cost import count
from blocks.images.batches import batch_size
from blocks.images.read import moments_of
from blocks.names import did_you_mean
from blocks.subject import Subject, file_of, read_subject
from scaling.compound import ScalingError
from scaling.inference.config import UseConfig
from search.record.folder import StudyFolder
from search.training.device import resolve_device

if TYPE_CHECKING:
    from blocks.network import Network

IMAGENET_CLASSES: Final = 1000
READ: Final = (".yaml", ".yml", ".onnx", ".safetensors")


@dataclass(frozen=True)
class Model:
    """A network and all that its file says. `run` gives the logits (N, classes) of normalised
    images (N, C, H, W), on the CPU; `network` is None of an ONNX file.

    `source`: the file that it was read from. `mean` and `std` are (channels, 1, 1).
    """

    subject: Subject
    source: Path | None
    classes: tuple[str, ...]
    run: Callable[[Tensor], Tensor] = field(repr=False)
    mean: Tensor = field(repr=False)
    std: Tensor = field(repr=False)
    network: "Network | None" = field(repr=False, default=None)

    @property
    def name(self) -> str:
        return self.subject.name

    @property
    def arch(self) -> ArchSpec:
        return self.subject.arch

    @property
    def macs(self) -> int:
        """Multiply-adds of one image."""
        return count(self.arch, self.subject.num_classes).macs

    @property
    def threshold(self) -> float:
        """From which probability on a label is given, where an image may have several."""
        return 0.5 if self.subject.threshold is None else self.subject.threshold

    def logits(self, pixels: Tensor) -> Tensor:
        """Of images (N, C, H, W) of pixels in 0…1: (N, classes)."""
        return self.run((pixels - self.mean) / self.std)

    def probabilities(self, pixels: Tensor) -> Tensor:
        """Of images (N, C, H, W) of pixels in 0…1: (N, classes); they sum to 1, or each label has
        its own."""
        return self.probable(self.logits(pixels))

    def probable(self, logits: Tensor) -> Tensor:
        """Logits as probabilities."""
        return logits.sigmoid() if self.subject.several else logits.softmax(1)

    def at_a_time(self, batch: int | None) -> int:
        """Images in a batch."""
        return batch or batch_size(self.arch.image)


def read_model(config: UseConfig, text: str | None = None) -> Model:
    """The network that `text` names, or the member of a study.

    Raises:
        ScalingError, ArchError, WeightsError, ExportError, StudyError: there is none such, or it
            has no weights.
    """
    source = member_file(config) if text is None else file_of(Path(text).expanduser())
    if source.is_dir():
        raise ScalingError(f"{source} holds neither model.yaml nor b0.yaml")
    if text is not None and _looks_like_a_file(text) and not source.exists():
        raise ScalingError(
            f"there is no {source}; expected a YAML, .onnx or .safetensors file, a folder with "
            "model.yaml or b0.yaml, or study=NAME"
        )
    if source.is_file() and source.suffix not in READ:
        raise ScalingError(
            f"{source} is no network by itself; expected a file of {', '.join(READ)}, a folder, or "
            "weights=FILE beside the name of a network"
        )
    if config.device == "cuda" and not torch.cuda.is_available():
        raise ScalingError("device=cuda: PyTorch sees no CUDA device here; expected cpu")
    subject, run, network = _opened(config, source, text)
    if config.mean is not None and config.std is not None:
        subject = replace(subject, mean=tuple(config.mean), std=tuple(config.std))
    mean, std = moments_of(subject.arch.in_channels, subject.mean, subject.std)
    file = source if source.exists() else None
    return Model(subject, file, _classes(subject), run, mean, std, network)


def _opened(
    config: UseConfig, source: Path, text: str | None
) -> "tuple[Subject, Callable[[Tensor], Tensor], Network | None]":
    if source.suffix == ".onnx":
        from scaling.inference.onnx_model import open_onnx

        return (*open_onnx(source), None)
    from blocks.export.safetensors import read_spec
    from blocks.loading import load_from
    from blocks.weights.find import find_weights

    if source.suffix == ".safetensors":
        subject = read_spec(source)
    else:
        subject = read_subject(str(source) if source.exists() else str(text))
    path = find_weights(config.weights) if config.weights is not None else subject.weights
    if path is None:
        raise ScalingError(
            f"{text or source} has no weights, so that it knows nothing of images; train it, or "
            "name them: weights=FILE"
        )
    network = load_from(path, subject).network
    # Padding and batch norm are those of the library that the weights are from.
    return replace(subject, arch=network.arch), _torch_run(network, config.device), network


def _torch_run(network: "Network", device: str) -> Callable[[Tensor], Tensor]:
    place = resolve_device(device)
    ready = network.to(place).to(memory_format=torch.channels_last)

    def run(images: Tensor) -> Tensor:
        with torch.inference_mode():
            out: Tensor = ready(images.to(place, memory_format=torch.channels_last))
            return out.float().cpu()

    return run


def member_file(config: UseConfig, member: str | None = None) -> Path:
    """The file of a study's member; what was trained wins over the search's own B0.

    Raises:
        ScalingError, StudyError: there is no such study or member, or it is not trained.
    """
    member = config.member if member is None else member
    if config.study is None:
        raise ScalingError("no network is named: expected MODEL, or study=NAME member=b0")
    base = StudyFolder(config.results_dir, config.study)
    trained = base / "trained" / member / "model.yaml"
    if trained.is_file():
        return trained
    base.require()
    if member == "b0" and (base / "b0.yaml").is_file():
        return base / "b0.yaml"
    known = trained_members(base)
    if (base / "family" / f"{member}.yaml").is_file():
        raise ScalingError(
            f"{member} of {base.path} is not trained; python -m scaling train study={config.study} "
            f"member={member}"
        )
    raise ScalingError(
        f"{base.path} has no trained member {member!r}{did_you_mean(member, known)}; it has "
        f"{', '.join(known) or 'none: finish its search'}"
    )


def trained_members(base: StudyFolder) -> list[str]:
    """Names of the members of a study that have weights."""
    trained = {path.parent.name for path in (base / "trained").glob("*/model.yaml")}
    return sorted(trained | ({"b0"} if (base / "b0.yaml").is_file() else set()))


def study_of(config: UseConfig, model: Model) -> StudyFolder | None:
    """The study that is named, or in whose folder the network lies; None: it is of none."""
    if config.study is not None:
        return StudyFolder(config.results_dir, config.study)
    if model.source is None:
        return None
    for folder in list(model.source.absolute().parents)[:3]:
        if (folder / "config.yaml").is_file():
            return StudyFolder(str(folder.parent), folder.name)
    return None


def _classes(subject: Subject) -> tuple[str, ...]:
    """Their names: the file's; ImageNet's of a published network; else numbers."""
    if subject.classes is not None:
        return subject.classes
    if subject.num_classes == IMAGENET_CLASSES:
        from torchvision.models import EfficientNet_B0_Weights

        names = EfficientNet_B0_Weights.IMAGENET1K_V1.meta["categories"]
        # Two pairs of classes share a name.
        return tuple(
            name if names.count(name) == 1 else f"{name} ({number})"
            for number, name in enumerate(names)
        )
    return tuple(map(str, range(subject.num_classes)))


def _looks_like_a_file(text: str) -> bool:
    path = Path(text)
    return "[" not in text and (path.suffix != "" or "/" in text)
