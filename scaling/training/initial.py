"""What a network begins with: random weights, those of a file, or a smaller member's, grown."""

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

from blocks.errors import WeightsError
from blocks.loading import load_from
from blocks.network import Network
from blocks.subject import read_subject
from blocks.weights.adapt import adapt_state
from blocks.weights.choose import read_fitting
from blocks.weights.find import find_weights
from blocks.weights.fit import put_state
from blocks.weights.layouts import source_arch
from blocks.weights.rename import detect_source
from scaling.compound import ScalingError
from scaling.training.config import TrainConfig
from scaling.training.grow import grow
from scaling.training.targets import Target
from scaling.training.teacher import digest_of, trained_file
from search.evaluators.supernet import FILE
from search.record.folder import StudyFolder
from search.training.checkpoint import read_checkpoint
from search.training.supernet import Supernet

SUPERNET: Final = "supernet"
"""What `start` may be beside a member."""


@dataclass(frozen=True)
class Initial:
    """What known weights a network was given, and what was done to them, in lines; `digest`: the
    SHA-256 of their file."""

    name: str
    notes: tuple[str, ...]
    digest: str


def fit_conventions(config: TrainConfig, target: Target) -> Target:
    """The network with the padding and batch norm of the library whose weights it begins with,
    which no tensor shows.

    Raises:
        WeightsError: see `read_fitting`.
    """
    if config.weights is None:
        return target
    state = read_fitting(_file(config.weights), target.arch).state
    source = detect_source(state, target.arch)
    return replace(target, arch=source_arch(target.name, target.arch, source))


def begin(config: TrainConfig, folder: StudyFolder, network: Network, seed: int) -> Initial | None:
    """Give `network` the weights that the settings name; None: it keeps its random ones.

    Raises:
        WeightsError: the file cannot be read, or is of another network.
        ScalingError: a member to start from that is not trained, or not smaller.
    """
    if config.weights is not None:
        path = _file(config.weights)
        fitting = read_fitting(path, network.arch)
        adapted = adapt_state(network, fitting.state, str(path))
        put_state(network, adapted.state)
        said = f"begins with the weights of {path}"
        if fitting.within:
            said += f" ({fitting.within})"
        return Initial(config.weights, (said, *adapted.notes), digest_of(path))
    if config.start == SUPERNET:
        network.load_state_dict(_supernet(folder).state(network.arch))
        path = folder / FILE
        return Initial(SUPERNET, (f"begins with its part of {path}",), digest_of(path))
    if config.start is not None:
        path = trained_file(config.start, folder, "start")
        subject = read_subject(str(path))
        if subject.weights is None:
            raise ScalingError(f"start={config.start}: {path} names no weights")
        small = load_from(subject.weights, subject).network
        grown = grow(small, network, seed)
        name = f"{path.parent.name}"
        if grown.preserved:
            said = f"begins as {name}, grown: it gives {name}'s answers before its first step"
        else:
            said = f"begins with a copy of {name}'s weights where they fit: {grown.why}"
        return Initial(config.start, (said,), digest_of(subject.weights))
    return None


def _supernet(folder: StudyFolder) -> Supernet:
    stored = read_checkpoint(folder / FILE)
    if stored is None:
        raise ScalingError(
            f"start={SUPERNET}: there is no {folder / FILE}; a search with evaluator=supernet, or "
            "proxy.init_from=supernet, leaves one"
        )
    return Supernet(stored["tensors"], stored["num_classes"])


def _file(text: str) -> Path:
    path = find_weights(text)
    if not path.is_file():
        raise WeightsError(f"weights={text}: there is no such file")
    return path
