"""A linear probe: logistic regression, multinomial or of each label, which costs seconds and says
what is easy.

A network that is below a linear probe on raw pixels has learnt less than a straight line could.
"""

from dataclasses import dataclass
from typing import Final

import torch
import torch.nn.functional as F
from torch import Tensor

from blocks.arch import Size, size_from
from blocks.latency.device import torch_threads
from search.data.resized import resize
from search.data.splits import PARTS, ImageData
from search.training.label_metrics import mean_average_precision
from search.training.loss import label_loss
from search.training.metrics import mean_over_classes
from search.training.optimizer import without_compiler

MOST_PIXELS: Final = 1024
"""Values of an image that are taken as they are; a larger one is averaged to fewer."""
MOST_WORK: Final = 2 * 10**8
"""Images × values × classes of a step: some 20 ms of a core."""
LEAST_PER_CLASS: Final = 10
"""Training images that are kept in any case, on average."""
PENALTIES: Final = (1.0, 0.3, 0.1, 0.03, 0.01, 0.003, 0.001)
"""Of the mean squared weight: the strongest first, each begun at the solution of the one before."""
STEPS: Final = 40
_CHUNK: Final = 4096


@dataclass(frozen=True)
class Features:
    """Values of the images of the three splits, (N, D) of any type, and their labels."""

    train: Tensor
    val: Tensor
    test: Tensor
    labels: dict[str, Tensor]
    num_classes: int


@dataclass(frozen=True)
class Probe:
    """`on`: what it sees; `images`: those that it was fitted on. `balanced`: the mean over classes
    of the share of their test images that are right. Of several labels all three are mAP, as
    `metric` says."""

    on: str
    images: int
    penalty: float
    val_accuracy: float
    test_accuracy: float
    balanced: float
    metric: str = "accuracy"


def probe_pixels(data: ImageData, seen: Size | int) -> Probe:
    """Fitted on the pixels that networks see, averaged to fewer where they are many."""
    seen = size_from(seen)
    size = _averaged(data, seen)
    splits = {part: getattr(data, part) for part in PARTS}
    pixels = {part: resize(split.images, size).flatten(1) for part, split in splits.items()}
    labels = {part: split.labels for part, split in splits.items()}
    on = "raw pixels" if size == seen else f"raw pixels, averaged to {size.height}×{size.width}"
    return fit_probe(Features(**pixels, labels=labels, num_classes=data.num_classes), on)


def _averaged(data: ImageData, seen: Size) -> Size:
    """All pixels, or 16 of the shorter side, or 8 where there are many classes."""
    classes = data.num_classes
    images = min(len(data.train), 100 * classes)
    sizes = [seen, *(seen.scaled(side / seen.shorter) for side in (16, 8) if side < seen.shorter)]
    for size in sizes:
        values = data.in_channels * size.area
        if values <= MOST_PIXELS and images * values * classes <= MOST_WORK:
            return size
    return sizes[-1]


def fit_probe(features: Features, on: str) -> Probe:
    """A linear layer fitted by L-BFGS on some of the training images, its penalty chosen by the
    loss on val; test is looked at once. The same on every run.

    Each value has mean 0 and deviation 1 over the images that it is fitted on.
    """
    # On one thread: several, beside other work, took eight times as long.
    with torch_threads(1):
        return _fit_probe(features, on)


def _fit_probe(features: Features, on: str) -> Probe:
    chosen = _some(features)
    train = features.train[chosen].float()
    std, mean = torch.std_mean(train, 0, correction=0)
    std = torch.where(std > 1e-3 * std.max().clamp_min(1e-12), std, torch.inf)  # a constant: 0
    train = (train - mean) / std
    labels = features.labels["train"][chosen]
    layer = torch.zeros(train.shape[1] + 1, features.num_classes)  # the last row is the bias
    best: tuple[float, float, Tensor] | None = None
    for penalty in PENALTIES:
        layer = _fit(layer, train, labels, penalty)
        logits = _logits(features.val, layer, mean, std)
        loss = _loss(logits, features.labels["val"]).item()
        if best is not None and loss > best[0]:
            break
        best = loss, penalty, layer
    assert best is not None
    _, penalty, layer = best
    if labels.ndim == 2:
        val, test = (
            mean_average_precision(
                _logits(each, layer, mean, std).numpy(), features.labels[part].numpy()
            )
            for part, each in (("val", features.val), ("test", features.test))
        )
        return Probe(on, len(labels), penalty, val, test, test, "map")
    right = {
        part: _logits(getattr(features, part), layer, mean, std).argmax(1) == features.labels[part]
        for part in ("val", "test")
    }
    return Probe(
        on,
        len(labels),
        penalty,
        right["val"].double().mean().item(),
        right["test"].double().mean().item(),
        mean_over_classes(right["test"], features.labels["test"]),
    )


def _some(features: Features) -> Tensor:
    """The training images that are taken: all, or as many at random as are quick."""
    count, values = features.train.shape
    classes = features.num_classes
    most = max(MOST_WORK // (values * classes), LEAST_PER_CLASS * classes)
    if count <= most:
        return torch.arange(count)
    generator = torch.Generator().manual_seed(0)
    return torch.randperm(count, generator=generator)[:most].sort().values


def _fit(layer: Tensor, train: Tensor, labels: Tensor, penalty: float) -> Tensor:
    """The layer (D + 1, classes) of the least cross-entropy and penalty, begun at `layer`."""
    layer = layer.clone().requires_grad_()
    without_compiler()
    solver = torch.optim.LBFGS([layer], max_iter=STEPS, line_search_fn="strong_wolfe")

    def loss() -> Tensor:
        solver.zero_grad()
        fit = _loss(torch.addmm(layer[-1], train, layer[:-1]), labels)
        found = fit + penalty / 2 * layer[:-1].square().sum()
        found.backward()  # type: ignore[no-untyped-call]
        return found

    solver.step(loss)  # type: ignore[no-untyped-call]
    return layer.detach()


def _loss(logits: Tensor, labels: Tensor) -> Tensor:
    """Mean cross-entropy of classes (N,), or binary cross-entropy of labels (N, K), of each image
    the sum over its labels: a penalty is then as strong as beside classes."""
    if labels.ndim == 1:
        return F.cross_entropy(logits, labels)
    return label_loss(logits, labels) * labels.shape[1]


def _logits(values: Tensor, layer: Tensor, mean: Tensor, std: Tensor) -> Tensor:
    """Of values (N, D) as they are, a part at a time."""
    parts = [((part.float() - mean) / std) @ layer[:-1] for part in torch.split(values, _CHUNK)]
    return torch.cat(parts) + layer[-1]
