"""Which network is asked about: a study's B0, or one that is named, with a study or without."""

from dataclasses import replace
from pathlib import Path

from blocks.subject import Subject, read_subject
from blocks.zoo import ZOO
from scaling.compound import ScalingError
from scaling.config import ScalingConfig
from search.errors import StudyError
from search.record.folder import StudyFolder
from search.study.baseline import read_baseline
from search.study.study import OpenStudy


def network_alone(config: ScalingConfig, network: str) -> tuple[StudyFolder, Subject]:
    """A network without a study, whose costs alone are told, and the folder for them."""
    settings = config.resolution
    if settings.train or settings.weights is not None:
        named = "resolution.train=true" if settings.train else f"weights={settings.weights}"
        raise ScalingError(f"{named} needs images to judge by; name their study with study=…")
    subject = read_subject(network)
    if not network.endswith((".yaml", ".yml")):
        subject = replace(subject, num_classes=config.num_classes)
    folder = StudyFolder(config.results_dir, subject.name if network not in ZOO else network)
    if (folder / "config.yaml").exists():
        raise ScalingError(
            f"{folder.path} is the study of a search; name it with study=… to judge {network} by "
            "its images, or give the costs a results_dir=… of their own"
        )
    return folder, subject


def network_of_study(config: ScalingConfig, folder: StudyFolder) -> tuple[Subject, str]:
    """The network that is asked about, its weights, and the name of its files."""
    weights = config.resolution.weights
    if config.baseline is None:
        chosen = read_baseline(folder)
        path = folder / "b0.pt" if weights is None else Path(weights)
        if not path.is_file():
            wanted = "finish its search" if weights is None else "expected a file of weights"
            raise StudyError(f"there is no {path}; {wanted}")
        return Subject("b0", chosen.arch, chosen.num_classes, path), "resolution"
    subject = read_subject(config.baseline)
    if not config.baseline.endswith((".yaml", ".yml")):
        subject = replace(subject, num_classes=read_baseline(folder).num_classes)
    if weights is not None:
        subject = replace(subject, weights=Path(weights))
    if subject.weights is not None and not subject.weights.is_file():
        raise StudyError(f"there is no {subject.weights}; expected a file of weights")
    return subject, f"resolution_{subject.name}"


def check_images(study: OpenStudy, subject: Subject) -> None:
    """Refuse a network that the images of the study do not fit.

    Raises:
        StudyError: other classes or channels.
    """
    data = study.data
    if (data.num_classes, data.in_channels) != (subject.num_classes, subject.arch.in_channels):
        raise StudyError(
            f"the network has {subject.num_classes} classes and {subject.arch.in_channels} input "
            f"channels, the data of {study.name} {data.num_classes} and {data.in_channels}"
        )
