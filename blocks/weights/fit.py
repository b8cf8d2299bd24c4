"""Tensors loaded into a network: all of them, and no others."""

from collections.abc import Mapping
from pathlib import Path

from torch import Tensor

from blocks.arch import ArchSpec
from blocks.errors import WeightsError
from blocks.network import Network
from blocks.weights.choose import read_fitting
from blocks.weights.layouts import SOURCES
from blocks.weights.read import State
from blocks.weights.rename import detect_source, from_foreign


def load_weights(network: Network, path: Path, source: str = "auto") -> str:
    """Load a weights file of any known layout into `network`, every tensor of it.

    Returns the layout that the file was in. Conventions that are no tensors (padding, epsilon)
    are the network's own affair: see `source_arch`.

    Raises:
        WeightsError: see `read_state`; or tensors are missing, too many or of another shape.
    """
    state = read_fitting(path, network.arch).state
    load_state(network, state, source, str(path))
    return source if source != "auto" else detect_source(state, network.arch)


def load_state(network: Network, state: Mapping[str, Tensor], source: str, where: str) -> None:
    """`load_weights` for tensors already read; `where` names them in messages."""
    put_state(network, fit_state(network, state, source, where))


def put_state(network: Network, fitted: State) -> None:
    """Copy what `fit_state` gave for an equal network into this one."""
    network.load_state_dict(fitted, strict=False)  # but for the counters, which fit_state checked


def fit_state(network: Network, state: Mapping[str, Tensor], source: str, where: str) -> State:
    """`state` under our names: all tensors of `network`, which may be on the meta device.

    Older files lack the counters of batch norm, which nothing here reads, and so may this.

    Raises:
        WeightsError: tensors are missing, too many or of another shape.
    """
    if source == "auto":
        source = detect_source(state, network.arch)
    return check_fit(network, from_foreign(state, network.arch, source), source, where, state)


def check_fit(
    network: Network, ours: State, source: str, where: str, state: Mapping[str, Tensor]
) -> State:
    """`ours`, already under our names, which stood in the file as `state`; see `fit_state`."""
    wanted = network.state_dict()
    nothing_known = not set(ours) & set(wanted)
    problems = [
        f"{name} is {_shape(ours[name])}, expected {_shape(tensor)}"
        for name, tensor in wanted.items()
        if name in ours and ours[name].shape != tensor.shape
    ]
    problems += [
        f"{name} is missing"
        for name in wanted
        if name not in ours and not name.endswith("num_batches_tracked")
    ]
    problems += [f"{name} is not in the network" for name in ours if name not in wanted]
    if problems:
        where = f"{where} (read as {source})"
        if nothing_known:
            raise WeightsError(
                f"{where} has no tensor of {_short(network.arch)}, but "
                f"{', '.join(list(state)[:3])}, …; expected a file of {', '.join(SOURCES[1:])}"
            )
        more = f", and {len(problems) - 3} more" if len(problems) > 3 else ""
        hint = ""
        if problems == [f"classifier.{leaf} is missing" for leaf in ("weight", "bias")]:
            raise WeightsError(
                f"{where} has no classifier, only what comes before it; expected a whole network "
                "(python -m scaling train … weights=FILE trains a new classifier on it)"
            )
        bias = ours.get("classifier.bias")
        of_classes = all(problem.startswith("classifier.") for problem in problems)
        if of_classes and bias is not None and bias.ndim == 1:
            hint = f"; for its own number of classes: --num-classes {len(bias)}"
        raise WeightsError(
            f"{where} is of another network than {_short(network.arch)}: "
            f"{'; '.join(problems[:3])}{more}{hint}"
        )
    return ours


def _shape(tensor: Tensor) -> str:
    return "×".join(map(str, tensor.shape)) or "a number"


def _short(arch: ArchSpec) -> str:
    text = str(arch)
    return text if len(text) <= 60 else text[:57] + "…"
