"""A trained network grown into a wider and deeper one that begins where it ended.

Wider: channels are copied, and what is made of the copies is divided among them, so that all sums
stay (Net2WiderNet, Chen et al., arXiv 1511.05641, §2.2). The shares are random: copies with equal
shares would have equal gradients for ever. Deeper: a further block is given the residual branch
that adds nothing, its last normalisation being scaled by zero. Larger kernels have zeros around.

Where that is not possible (a layer that is narrower, a further block without a shortcut, another
kind of block, another activation) weights are copied where they fit, and the rest stays random.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from blocks.layers import ConvNormAct, MBConv, SqueezeExcitation
from blocks.network import Network


@dataclass(frozen=True)
class Grown:
    """Whether the large network answers as the small one does, and if not, why not."""

    preserved: bool
    why: str = ""


@dataclass(frozen=True)
class _Spread:
    """How channels of a small layer lie in a large one: `of` is int64 (large,), the small channel
    that each is a copy of, -1: new; `share` (large,) what part of it each stands for, 0 of new."""

    of: Tensor
    share: Tensor

    def outputs(self, values: Tensor, into: Tensor) -> Tensor:
        """`values` (small, …) as the first dimension of `into` (large, …)."""
        known = self.of >= 0
        result = into.clone()
        result[known] = values[self.of[known]]
        return result

    def inputs(self, values: Tensor) -> Tensor:
        """`values` (out, small, …) as (out, large, …): each copy's weight by its share."""
        spread = values[:, self.of.clamp_min(0)]
        shape = [1, -1] + [1] * (values.ndim - 2)
        return spread * (self.share * (self.of >= 0)).view(shape)


class _Growing:
    """The work on one pair of networks; `problems` are why the large one answers otherwise."""

    def __init__(self, seed: int) -> None:
        self.generator = torch.Generator().manual_seed(seed)
        self.problems: list[str] = []

    def spread(self, small: int, large: int, where: str) -> _Spread:
        """Channels copied until there are enough; too many are cut off."""
        if large < small:
            self.problems.append(f"{where} is narrower, {small} → {large} channels")
            return _Spread(torch.arange(large), torch.ones(large))
        extra = torch.randint(small, (large - small,), generator=self.generator)
        of = torch.cat([torch.arange(small), extra])
        weight = 0.5 + torch.rand(large, generator=self.generator)
        whole = torch.zeros(small).index_add_(0, of, weight)
        return _Spread(of, weight / whole[of])

    def conv(
        self, small: nn.Module, large: nn.Module, inputs: _Spread, outputs: _Spread, where: str
    ) -> None:
        """A convolution or a linear layer."""
        assert isinstance(small, nn.Conv2d | nn.Linear)
        assert isinstance(large, nn.Conv2d | nn.Linear)
        weight = small.weight
        if isinstance(large, nn.Conv2d):
            weight = self.kernel(weight, large.weight.shape[-1], where)
        depthwise = isinstance(large, nn.Conv2d) and large.groups > 1
        if not depthwise:
            weight = inputs.inputs(weight)
        large.weight.copy_(outputs.outputs(weight, large.weight))
        if small.bias is not None and large.bias is not None:
            large.bias.copy_(outputs.outputs(small.bias, large.bias))

    def kernel(self, weight: Tensor, side: int, where: str) -> Tensor:
        """A kernel with zeros around it, or its middle."""
        apart = side - weight.shape[-1]
        if apart == 0:
            return weight
        if apart < 0:
            self.problems.append(f"{where} has a smaller kernel, {weight.shape[-1]} → {side}")
            cut = -apart // 2
            return weight[..., cut : cut + side, cut : cut + side]
        return nn.functional.pad(weight, [apart // 2, apart - apart // 2] * 2)

    def norm(self, small: nn.Module, large: nn.Module, outputs: _Spread) -> None:
        """Batch norm, its statistics too."""
        for name in ("weight", "bias", "running_mean", "running_var"):
            own, other = getattr(large, name, None), getattr(small, name, None)
            if isinstance(own, Tensor) and isinstance(other, Tensor):
                own.copy_(outputs.outputs(other, own))

    def layer(
        self, small: nn.Module, large: nn.Module, inputs: _Spread, outputs: _Spread, where: str
    ) -> None:
        """A convolution with its normalisation."""
        assert isinstance(small, ConvNormAct)
        assert isinstance(large, ConvNormAct)
        if type(small.act) is not type(large.act):
            self.problems.append(f"{where} has another activation")
        self.conv(small.conv, large.conv, inputs, outputs, where)
        self.norm(small.norm, large.norm, outputs)

    def block(
        self, small: MBConv, large: MBConv, inputs: _Spread, outputs: _Spread, where: str
    ) -> None:
        """An MBConv block of the small network in its place in the large one."""
        if (small.expand is None) != (large.expand is None):
            self.problems.append(f"{where} is of another kind")
            return
        if small.depthwise.conv.stride != large.depthwise.conv.stride or small.skip != large.skip:
            self.problems.append(f"{where} has another stride or shortcut")
        hidden = inputs
        if small.expand is not None and large.expand is not None:
            hidden = self.spread(
                small.expand.conv.out_channels, large.expand.conv.out_channels, f"{where}.expand"
            )
            self.layer(small.expand, large.expand, inputs, hidden, f"{where}.expand")
        self.layer(small.depthwise, large.depthwise, hidden, hidden, f"{where}.depthwise")
        if small.squeeze_excite is not None and large.squeeze_excite is not None:
            self.gate(small.squeeze_excite, large.squeeze_excite, hidden, where)
        elif small.squeeze_excite is not None or large.squeeze_excite is not None:
            self.problems.append(f"{where} has squeeze-excite in one network alone")
        self.layer(small.project, large.project, hidden, outputs, f"{where}.project")

    def gate(
        self, small: SqueezeExcitation, large: SqueezeExcitation, hidden: _Spread, where: str
    ) -> None:
        """Squeeze-excite."""
        first, second = small.fc1, small.fc2
        middle = self.spread(first.out_channels, large.fc1.out_channels, f"{where}.squeeze_excite")
        self.conv(first, large.fc1, hidden, middle, where)
        self.conv(second, large.fc2, middle, hidden, where)

    def further(self, block: nn.Module, where: str) -> None:
        """A block that the small network has not: its branch adds nothing."""
        if isinstance(block, MBConv) and block.skip:
            assert isinstance(block.project.norm, nn.BatchNorm2d)
            block.project.norm.weight.zero_()
        else:
            self.problems.append(f"{where} is a further block without a shortcut")


@torch.no_grad()
def grow(small: Network, large: Network, seed: int = 0) -> Grown:
    """Give `large` what `small` has learnt; see the head of this file."""
    work = _Growing(seed)
    if small.arch.in_channels != large.arch.in_channels:
        return Grown(False, "the images have other channels, so all weights are random")
    channels = small.arch.in_channels
    whole = _Spread(torch.arange(channels), torch.ones(channels))
    spread = work.spread(small.arch.stem, large.arch.stem, "the stem")
    work.layer(small.stem, large.stem, whole, spread, "the stem")
    if small.arch.stem_stride != large.arch.stem_stride:
        work.problems.append("the stem has another stride")
    for name in ("padding", "norm_eps"):
        if getattr(small.arch, name) != getattr(large.arch, name):
            work.problems.append(f"{name} is {getattr(large.arch, name)} in the larger network")
    spread = _grow_stages(work, small, large, spread)
    if small.arch.head and large.arch.head:
        features = work.spread(small.arch.head, large.arch.head, "the head")
        work.layer(small.head, large.head, spread, features, "the head")
    elif small.arch.head or large.arch.head:
        work.problems.append("one network alone has a head")
        return _result(work)
    else:
        features = spread
    if small.arch.head_hidden and large.arch.head_hidden:
        hidden = work.spread(small.arch.head_hidden, large.arch.head_hidden, "the hidden layer")
        work.conv(_first(small.hidden), _first(large.hidden), features, hidden, "hidden")
        features = hidden
    if small.classifier.out_features != large.classifier.out_features:
        work.problems.append("there are other classes, so the classifier is new")
        return _result(work)
    classes = small.classifier.out_features
    each = _Spread(torch.arange(classes), torch.ones(classes))
    work.conv(small.classifier, large.classifier, features, each, "the classifier")
    return _result(work)


def _first(hidden: nn.Module) -> nn.Module:
    return next(iter(hidden.children()))


def _result(work: _Growing) -> Grown:
    if not work.problems:
        return Grown(True)
    more = f", and {len(work.problems) - 1} more" if len(work.problems) > 1 else ""
    return Grown(False, f"{work.problems[0]}{more}")


def _grow_stages(work: _Growing, small: Network, large: Network, spread: _Spread) -> _Spread:
    if len(small.stages) != len(large.stages):
        work.problems.append(f"{len(small.stages)} stages have become {len(large.stages)}")
    if small.arch.global_residual or large.arch.global_residual:
        work.problems.append("a global residual is not grown")
    for number, (few, many) in enumerate(zip(small.stages, large.stages, strict=False)):
        olds, news = _blocks(few), _blocks(many)
        own, other = small.arch.stages[number].channels, large.arch.stages[number].channels
        # A shortcut adds what enters a block to what leaves it: channel by channel the same copies.
        through = isinstance(news[0], MBConv) and news[0].skip
        outputs = spread if through else work.spread(own, other, f"stage {number + 1}")
        if len(olds) > len(news):
            work.problems.append(f"stage {number + 1} has fewer blocks")
        for place, block in enumerate(news):
            where = f"block {place + 1} of stage {number + 1}"
            inputs = spread if place == 0 else outputs
            if place >= len(olds):
                work.further(block, where)
            elif isinstance(block, MBConv) and isinstance(old := olds[place], MBConv):
                work.block(old, block, inputs, outputs, where)
            else:
                work.problems.append(f"{where} is no MBConv block")
        spread = outputs
    return spread


def _blocks(stage: nn.Module) -> Sequence[nn.Module]:
    return list(stage.children())
