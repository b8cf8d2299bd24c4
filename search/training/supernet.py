"""Weight sharing: one set of tensors of which every member of a search space is a slice.

A member takes of each tensor the first channels, the centre of the kernel, the first repeats; a
stage without expansion or squeeze-excite lacks theirs. Sources: BigNAS (arXiv 2003.11142),
Slimmable networks (1903.05134), the kernels' centre of Once-for-All (1908.09791).
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from torch import Tensor

from blocks.arch import ArchSpec
from blocks.functional import Shape, tensor_shapes
from blocks.network import Network
from search.errors import ConfigError
from search.space.budget import Budget
from search.space.choices import SearchSpace
from search.space.widths import DEPTHS, Widths, deepened, widest

_Index = tuple[slice, ...]


@dataclass(frozen=True)
class Supernet:
    """The shared tensors, by the names that they have in `Network`."""

    tensors: dict[str, Tensor]
    num_classes: int

    def slices(self, arch: ArchSpec) -> Iterator[tuple[str, _Index]]:
        """(name, part of the shared tensor), batch norm's statistics left out.

        Raises:
            ConfigError: the network is no member of the space that the supernet was made for.
        """
        for name, shape in tensor_shapes(arch, self.num_classes).items():
            whole = self.tensors.get(name)
            if whole is None or any(n > of for n, of in zip(shape, whole.shape, strict=True)):
                expected = "no such tensor" if whole is None else f"at most {tuple(whole.shape)}"
                raise ConfigError(
                    f"{arch} is not a subnet of the supernet: {name} of shape {tuple(shape)}; "
                    f"it has {expected}"
                )
            yield name, _part(shape, whole.shape)

    def holds(self, arch: ArchSpec) -> bool:
        """Whether the network is a subnet."""
        try:
            return all(True for _ in self.slices(arch))
        except ConfigError:
            return False

    def state(self, arch: ArchSpec) -> dict[str, Tensor]:
        """The subnet's weights as a state_dict of `Network(arch)`, copied; statistics are new.

        Raises:
            ConfigError: see `slices`.
        """
        state = {name: copy_of(self.tensors[name][part]) for name, part in self.slices(arch)}
        for name, tensor in list(state.items()):
            if name.endswith(".norm.weight"):
                norm = name.removesuffix("weight")
                state[f"{norm}running_mean"] = torch.zeros_like(tensor)
                state[f"{norm}running_var"] = torch.ones_like(tensor)
                state[f"{norm}num_batches_tracked"] = torch.tensor(0)
        return state

    def subnet(self, arch: ArchSpec) -> Network:
        """`Network(arch)` with a copy of its part of the weights.

        Raises:
            ConfigError: see `slices`.
        """
        state = self.state(arch)
        with torch.device("meta"):
            network = Network(arch, self.num_classes)
        network.load_state_dict(state, assign=True)
        return network.to(memory_format=torch.channels_last)


def copy_of(tensor: Tensor) -> Tensor:
    """A copy outside of the graph, kernels in channels-last memory."""
    layout = torch.channels_last if tensor.ndim == 4 else torch.contiguous_format
    return tensor.detach().clone(memory_format=layout)


def build_supernet(space: SearchSpace, budget: Budget, num_classes: int, seed: int) -> Supernet:
    """The supernet of a space, weights drawn as `blocks.layers.initialise` draws them.

    Its tensors hold every member, those whose widths are solved for a target included: each is as
    large as the widest member needs.
    """
    shapes: dict[str, Shape] = {}
    for corner, prefix in _corners(space, budget, num_classes):
        for name, shape in tensor_shapes(corner, num_classes).items():
            if name.startswith("stages.") == bool(prefix) and name.startswith(prefix):
                shapes[name] = tuple(map(max, shapes.get(name, shape), shape))
    generator = torch.Generator().manual_seed(seed)
    tensors = {name: _draw(name, shapes[name], generator) for name in sorted(shapes)}
    return Supernet(tensors, num_classes)


def _draw(name: str, shape: Shape, generator: torch.Generator) -> Tensor:
    tensor = torch.zeros(shape)
    if name.endswith("norm.weight"):
        tensor.fill_(1.0)
    elif len(shape) == 4:
        outputs = 1 if name.endswith("depthwise.conv.weight") else shape[0]
        tensor.normal_(0.0, (2.0 / (outputs * shape[2] * shape[3])) ** 0.5, generator=generator)
    elif len(shape) == 2:
        bound = shape[0] ** -0.5
        tensor.uniform_(-bound, bound, generator=generator)
    return tensor.requires_grad_()


def _corners(
    space: SearchSpace, budget: Budget, num_classes: int
) -> Iterator[tuple[ArchSpec, str]]:
    """Networks as wide and deep as any member, and whose tensors (a prefix; empty: all outside of
    the stages) they bound: of each stage with each of its expansions one."""
    widths = _widths(space, budget, num_classes, {})
    yield _corner(space, budget, widths, {}), ""
    for number in range(1, len(space.config.stages) + 1):
        name = f"stage{number}.expand_ratio"
        for expand_ratio in space.choices[name]:
            fixed = {name: expand_ratio}
            widths = _widths(space, budget, num_classes, fixed)
            yield _corner(space, budget, widths, fixed), f"stages.{number - 1}."


def _corner(
    space: SearchSpace, budget: Budget, widths: Widths, fixed: Mapping[str, Any]
) -> ArchSpec:
    most = {
        name: values[0] if name.endswith(".skip") else max(values)
        for name, values in space.choices.items()
    }
    arch = space.build({**most, **fixed})
    factor = max(DEPTHS) if budget.target is not None and budget.solve == "width_depth" else 1.0
    stages = tuple(
        replace(
            stage,
            channels=channels,
            repeats=int(deepened(np.array(stage.repeats), factor)),
        )
        for stage, channels in zip(arch.stages, widths.channels, strict=True)
    )
    return replace(arch, stem=widths.stem, head=widths.head, stages=stages)


def _widths(
    space: SearchSpace, budget: Budget, num_classes: int, fixed: Mapping[str, Any]
) -> Widths:
    """The widest that each layer is in any member with the choices `fixed`."""
    least = {name: min(values) for name, values in space.choices.items()}
    least |= dict(fixed)
    # A layer is widest beside others as narrow as can be: one width at a time.
    shapes = [least] + [
        least | {name: value}
        for name, values in space.choices.items()
        if name.endswith(".width")
        for value in values
    ]
    codes = np.array(
        [[space.choices[name].index(shape[name]) for name in space.choices] for shape in shapes]
    )
    return widest(budget, space.columns(codes), num_classes)


def _part(shape: Shape, whole: Shape) -> _Index:
    """The first channels, the centre of the kernel."""
    sizes = enumerate(zip(shape, whole, strict=True))
    starts = [0 if place < 2 else (of - n) // 2 for place, (n, of) in sizes]
    return tuple(slice(start, start + n) for start, n in zip(starts, shape, strict=True))
