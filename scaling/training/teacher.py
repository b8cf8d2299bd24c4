"""Distillation: a student learns what a teacher answers beside what the labels say.

Of logits: Hinton et al., "Distilling the knowledge in a neural network" (arXiv 1503.02531, §2):
the divergence of both's answers at a temperature T, times T². Of features: Romero et al., FitNets
(arXiv 1412.6550), of what comes before the classifiers, by a linear map of the student's.
"""

import hashlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from blocks.arch import Size
from blocks.errors import CompoundNasError
from blocks.names import few
from blocks.network import Network
from blocks.subject import read_subject
from scaling.compound import ScalingError
from scaling.training.config import DistilConfig, TrainConfig
from scaling.training.setup import Machine, Parts
from search.data.batches import Batches, shrink
from search.data.splits import ImageData
from search.record.folder import StudyFolder


@dataclass(frozen=True)
class Teacher:
    """A trained network at rest. `scale` and `shift` bring images that are normalised for the
    student to what the teacher is used to; `size` is in pixels, `digest` the SHA-256 of its
    weights' file, in hex."""

    name: str
    network: nn.Module
    scale: Tensor
    shift: Tensor
    size: Size
    channels: int
    digest: str = ""

    @torch.no_grad()
    def answer(self, images: Tensor, machine: Machine) -> tuple[Tensor, Tensor]:
        """Logits (N, num_classes) and features (N, C) of the student's images."""
        pixels = images * self.scale.to(images.device) + self.shift.to(images.device)
        if pixels.shape[1] != self.channels:
            pixels = pixels.expand(-1, self.channels, -1, -1)
        pixels = shrink(pixels, self.size)
        with features_of(self.network) as features, machine.autocast():
            logits = self.network(pixels)
        return logits.float(), features[0].float()


@contextmanager
def features_of(network: nn.Module) -> Iterator[list[Tensor]]:
    """Within, what the classifier is fed is put into the list."""
    found: list[Tensor] = []
    classifier = network.classifier if isinstance(network, Network) else _classifier(network)
    handle = classifier.register_forward_pre_hook(lambda _, inputs: found.append(inputs[0]))
    try:
        yield found
    finally:
        handle.remove()


def _classifier(network: Any) -> nn.Module:
    """timm's networks say which module it is."""
    found: nn.Module = network.get_classifier()
    return found


@dataclass(frozen=True)
class Distillation:
    """A teacher, and how much is learnt of it. `several`: whether an image may have several
    labels."""

    teacher: Teacher
    settings: DistilConfig
    several: bool = False

    def loss(self, parts: Parts, machine: Machine, images: Tensor, labels: Tensor) -> Tensor:
        """The mean loss of a batch: the share α is the teacher's."""
        alpha, heat = self.settings.alpha, self.settings.temperature
        known, theirs = self.teacher.answer(images, machine)
        with features_of(parts.network) as features, machine.autocast():
            logits = parts.model(images)
        logits = logits.float()
        if self.several:
            soft = F.binary_cross_entropy_with_logits(logits / heat, torch.sigmoid(known / heat))
        else:
            soft = F.kl_div(
                F.log_softmax(logits / heat, 1),
                F.log_softmax(known / heat, 1),
                reduction="batchmean",
                log_target=True,
            )
        loss = (1 - alpha) * parts.loss(logits, labels) + alpha * heat**2 * soft
        if parts.projection is not None:
            brought = parts.projection(features[0].float())
            apart = F.mse_loss(F.normalize(brought, dim=1), F.normalize(theirs, dim=1))
            loss = loss + self.settings.features * apart * theirs.shape[1]
        return loss

    def projection(self, network: Network, device: str) -> nn.Module | None:
        """What brings the student's features to the teacher's size, where they are learnt."""
        if not self.settings.features:
            return None
        own = network.classifier.in_features
        theirs = self.teacher.network
        classifier: Any = theirs.classifier if isinstance(theirs, Network) else _classifier(theirs)
        return nn.Linear(own, int(classifier.in_features), bias=False).to(device)


def find_teacher(
    config: TrainConfig, folder: StudyFolder, data: ImageData, batches: Batches, device: str
) -> Teacher:
    """The teacher that the settings name, for images normalised as `batches` does.

    Raises:
        ScalingError: it is not trained, or has other classes or channels.
        WeightsError: its weights cannot be read.
    """
    assert config.teacher is not None
    if config.teacher.startswith("timm:"):
        return _of_timm(config, data, batches, device)
    path = trained_file(config.teacher, folder, "teacher")
    from blocks.loading import load_from

    subject = read_subject(str(path))
    name = path.parent.name
    if subject.weights is None or subject.mean is None or subject.std is None:
        raise ScalingError(f"teacher={config.teacher}: {path} names no weights or normalisation")
    if subject.num_classes != data.num_classes or (
        subject.classes is not None and subject.classes != data.classes
    ):
        raise ScalingError(
            f"teacher={config.teacher} has {subject.num_classes} classes "
            f"({few(subject.classes or ('not named',))}), the images {data.num_classes} "
            f"({few(data.classes)}); expected the same"
        )
    if subject.arch.in_channels != data.in_channels:
        raise ScalingError(
            f"teacher={config.teacher} sees {subject.arch.in_channels} channels, the images have "
            f"{data.in_channels}"
        )
    network = load_from(subject.weights, subject).network
    mean, std = torch.tensor(subject.mean), torch.tensor(subject.std)
    found = _teacher(name, network, mean, std, subject.arch.image, batches, device)
    return replace(found, digest=digest_of(subject.weights))


def trained_file(text: str, folder: StudyFolder, what: str) -> Path:
    """The model.yaml of a trained member of a study, or in a folder.

    Raises:
        ScalingError: there is none; says how to train it.
    """
    for path in (Path(text), folder / "trained" / text):
        if path.is_file() and path.suffix in (".yaml", ".yml"):
            return path
        if (path / "model.yaml").is_file():
            return path / "model.yaml"
    known = sorted(path.parent.name for path in (folder / "trained").glob("*/model.yaml"))
    raise ScalingError(
        f"{what}={text}: no trained member there, nor in {folder / 'trained'}"
        f"{', which holds ' + ', '.join(known) if known else ''}; python -m scaling train "
        f"study={folder.study} member={text} trains it"
    )


def _of_timm(config: TrainConfig, data: ImageData, batches: Batches, device: str) -> Teacher:
    import timm

    name = str(config.teacher).removeprefix("timm:")
    path = Path(str(config.teacher_weights))
    if not path.is_file():
        raise ScalingError(f"teacher_weights={path}: there is no such file")
    try:
        network: Any = timm.create_model(name, num_classes=data.num_classes)
        timm.models.load_checkpoint(network, str(path), weights_only=True)
    except Exception as error:  # timm raises whatever its parts raise
        if isinstance(error, CompoundNasError):
            raise
        said = " ".join(str(error).split())[:160]
        raise ScalingError(f"teacher=timm:{name} with {path}: {said}") from None
    known = network.pretrained_cfg
    mean, std = torch.tensor(known["mean"]), torch.tensor(known["std"])
    if len(mean) != data.in_channels:
        raise ScalingError(
            f"teacher=timm:{name} sees {len(mean)} channels, the images have {data.in_channels}"
        )
    size = Size(*known["input_size"][-2:])
    found = _teacher(f"timm:{name}", network, mean, std, size, batches, device)
    return replace(found, digest=digest_of(path))


def digest_of(path: Path) -> str:
    """The SHA-256 of a file."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _teacher(
    name: str,
    network: nn.Module,
    mean: Tensor,
    std: Tensor,
    size: Size,
    batches: Batches,
    device: str,
) -> Teacher:
    # x = (p − m) / s of the student becomes (p − m') / s' = x · s / s' + (m − m') / s'.
    mean, std = (each.view(1, -1, 1, 1) for each in (mean, std))
    own_mean, own_std = (each.view(1, -1, 1, 1) / 255 for each in (batches.mean, batches.std))
    network = network.to(device).to(memory_format=torch.channels_last).eval()
    for parameter in network.parameters():
        parameter.requires_grad_(False)
    scale, shift = own_std / std, (own_mean - mean) / std
    return Teacher(name, network, scale, shift, size, mean.shape[1])
