"""Zero-cost proxies: scores of an untrained network on one batch, by which it may be ranked.

A score is worth something only where it ranks better than what counting gives for nothing, so
`score` always returns `params` and `macs` beside it. Larger is better in all of them.
"""

import math
from collections.abc import Callable, Sequence
from typing import Final

import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from blocks.arch import ArchSpec
from blocks.cost import count
from blocks.names import choose, counted
from blocks.network import Network
from search.data.batches import Batches
from search.errors import ConfigError, DataError, TrainingError
from search.training.reading import gradients_of, made_linear, observe, weights_of

BATCH_SIZE: Final = 64
"""Images of the one batch that all scores are of."""
MIN_IMAGES: Final = 4
"""Two halves (ZiCo) of the two images that batch normalisation needs."""
BASELINES: Final = ("params", "macs")


def draw_batch(batches: Batches, seed: int) -> tuple[Tensor, Tensor]:
    """Images (BATCH_SIZE, C, H, W), normalised, and their labels: drawn from train by `seed`.

    A smaller training split is taken whole.
    """
    generator = torch.Generator().manual_seed(seed)
    chosen = torch.randperm(len(batches.train), generator=generator)[:BATCH_SIZE]
    return batches.normalise(batches.train.images[chosen]), batches.train.labels[chosen]


def score(
    arch: ArchSpec,
    num_classes: int,
    images: Tensor,
    labels: Tensor,
    seed: int = 0,
    names: Sequence[str] | None = None,
) -> dict[str, float]:
    """The scores `names` (None: all of `SCORES`) of `arch`, with its `params` and `macs`.

    `images` (N, C, H, W) are normalised, `labels` those of a `Split`. The weights are drawn by
    `seed`; random numbers drawn elsewhere are not disturbed.

    Raises:
        ConfigError: an unknown name.
        DataError: fewer than `MIN_IMAGES` images.
        TrainingError: a score that is no finite number (kind nan).
    """
    chosen = [
        choose("scores", name, SCORES, ConfigError) for name in (SCORES if names is None else names)
    ]
    if len(images) < MIN_IMAGES:
        raise DataError(
            f"{counted(len(images), 'image is', 'images are')} too few to score on; expected "
            f"{MIN_IMAGES}"
        )
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        network = Network(arch, num_classes).to(memory_format=torch.channels_last)
    scores = {name: SCORES[name](network, images, labels) for name in chosen}
    for name, value in scores.items():
        if not math.isfinite(value):
            raise TrainingError("nan", f"the score {name} became {value}")
    cost = count(arch, num_classes)
    return {**scores, "params": float(cost.params), "macs": float(cost.macs)}


def synflow(network: nn.Module, images: Tensor, labels: Tensor) -> float:
    """log Σ |θ| ⊙ ∂R/∂|θ| over the weights θ of convolutions and linear layers. Larger is better.

    R is the sum of the logits of one image of ones through |θ|; of `images` only the shape is
    used. Normalisations and activations hand their input on, as the theory is of a homogeneous
    network: each layer of a chain then carries the same flow, R. In float64; a flow beyond its
    range (10³⁰⁸) gives inf.

    Source: Tanaka et al., arXiv 2006.05467, algorithm 1; summed to a score, and without
    normalisation: Abdelfattah et al., 2101.08134, §3.
    """
    network.eval()
    state = {name: tensor.double().abs() for name, tensor in network.state_dict().items()}
    weights = {name: state[name].requires_grad_() for name in weights_of(network)}
    ones = torch.ones(1, *images.shape[1:], dtype=torch.float64)
    with made_linear(network):
        flow = torch.func.functional_call(network, state, (ones,)).sum()
    gradients = torch.autograd.grad(flow, list(weights.values()))
    pairs = zip(weights.values(), gradients, strict=True)
    return math.log(sum((weight * gradient).sum().item() for weight, gradient in pairs))


def naswot(network: nn.Module, images: Tensor, labels: Tensor) -> float:
    """log |K + I|, K_ij the units that are active or inactive in both images. Larger is better.

    A unit is active where its pre-activation is above 0: for ReLU the paper's own pattern, and
    for the smooth activations the sign that they bend at. The identity keeps images of equal
    patterns, whose K is singular, finite; beside the units of K's diagonal it is nothing.

    Source: Mellor et al., arXiv 2006.04647, the kernel K_H and the score log |K_H|.
    """
    kernel = torch.zeros(len(images), len(images), dtype=torch.float64)
    units = 0

    def add(active: Tensor) -> None:
        nonlocal units
        units += active.shape[1]
        signs = active.float().mul_(2).sub_(1)
        kernel.add_(signs @ signs.T)  # agreements less disagreements

    observe(network, images, add)
    kernel.add_(units).div_(2)
    return float(torch.linalg.slogdet(kernel + torch.eye(len(images)))[1])


def swap(network: nn.Module, images: Tensor, labels: Tensor) -> float:
    """How many different patterns the units have, each over the batch. Larger is better.

    A unit's pattern is in which images it is active (see `naswot`), so the score is at most the
    units of the network. Not the regularised form: its centre and width pick a size of network.

    Source: Peng et al., arXiv 2403.04161, the definition of SWAP-Score.
    """
    packed: list[NDArray[np.uint8]] = []
    observe(network, images, lambda active: packed.append(np.packbits(active.numpy(), axis=0)))
    patterns = np.concatenate(packed, axis=1)
    codes = np.zeros(patterns.shape[1], dtype=np.int64)
    for row in patterns:
        # Number the distinct prefixes: below units × 256, however many images there are.
        codes = pd.factorize(codes * 256 + row)[0].astype(np.int64)
    return float(codes.max() + 1)


def grad_norm(network: nn.Module, images: Tensor, labels: Tensor) -> float:
    """Σ over layers of the Euclidean norm of the loss's gradient by their weights, one batch.

    Larger is better.

    Source: Abdelfattah et al., arXiv 2101.08134, §3.
    """
    return math.fsum(part.norm().item() for part in gradients_of(network, images, labels))


def zico(network: nn.Module, images: Tensor, labels: Tensor) -> float:
    """Σ over layers of log Σ over weights of mean |g| / deviation of |g|. Larger is better.

    g is the loss's gradient on each half of the batch, two being the paper's batches. Weights
    whose |g| does not vary are left out, and so are layers without any other.

    Source: Li et al., arXiv 2301.11300, the definition of ZiCo (their code takes the deviation
    of g instead).
    """
    halves = zip(torch.tensor_split(images, 2), torch.tensor_split(labels, 2), strict=True)
    gradients = [gradients_of(network, *half) for half in halves]
    total = 0.0
    for layer in zip(*gradients, strict=True):
        one, other = (part.double().abs() for part in layer)
        # Of two values the mean is half their sum, the deviation half their distance.
        distance = (one - other).abs()
        ratios = ((one + other) / distance)[distance > 0]
        if len(ratios):
            total += math.log(ratios.sum().item())
    return total


SCORES: Final[dict[str, Callable[[nn.Module, Tensor, Tensor], float]]] = {
    "synflow": synflow,
    "naswot": naswot,
    "swap": swap,
    "grad_norm": grad_norm,
    "zico": zico,
}
"""Name → score of (network, images, labels), the network as initialised.

The weights stay as they were; the mode and the running statistics of the network, which no
score reads, do not."""
