"""Whether a map is faithful: what it points at is taken away first, and the answer must go.

Source: the deletion metric of RISE (Petsiuk et al., arXiv 1806.07421), over patches instead of
pixels, and blurred instead of grey: the edges of holes confuse a network by themselves, most where
they lie scattered at random.
"""

from collections.abc import Callable
from typing import Final

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor
from torchvision.transforms.v2.functional import gaussian_blur

GRID: Final = 14
"""Patches along a side, or fewer where an image has not twice as many pixels."""
STEPS: Final = 14
RANDOM: Final = 3
"""Random orders, whose mean curve a map has to beat."""
Array = NDArray[np.float64]
Probable = Callable[[Tensor], Tensor]
"""Normalised images (N, C, H, W) → probabilities (N, classes)."""


def deletion_curve(run: Probable, image: Tensor, heat: Tensor, target: int) -> Array:
    """The probability of `target`, (STEPS + 1,), while patches of the image (1, C, H, W) are
    blurred, those first that `heat` (H, W) points at; the first is of the whole image."""
    grid = _grid(image)
    score = F.adaptive_avg_pool2d(heat[None, None], grid)[0, 0].flatten()
    return _curve(run, image, score.argsort(descending=True, stable=True), grid, target)


def random_curve(run: Probable, image: Tensor, target: int, seed: int) -> Array:
    """The mean curve of `RANDOM` random orders."""
    grid = _grid(image)
    generator = torch.Generator().manual_seed(seed)
    orders = [torch.randperm(grid * grid, generator=generator) for _ in range(RANDOM)]
    return np.asarray(np.mean([_curve(run, image, each, grid, target) for each in orders], 0))


def area(curve: Array) -> float:
    """Under the curve, over the probability of the whole image: the less, the sooner it fell."""
    trapezoids = (curve[:-1] + curve[1:]) / 2
    return float(trapezoids.mean() / max(curve[0], 1e-9))


def blurred(image: Tensor) -> Tensor:
    """An image without anything that is smaller than an eighth of its side."""
    sigma = min(image.shape[2:]) / 8
    # A kernel is reflected at the borders, and no longer than the image.
    kernel = min(2 * round(2 * sigma) + 1, 2 * (min(image.shape[2:]) // 2) - 1)
    out: Tensor = gaussian_blur(image, [kernel, kernel], [sigma, sigma])
    return out


def _grid(image: Tensor) -> int:
    return max(2, min(GRID, min(image.shape[2:]) // 2))


def _curve(run: Probable, image: Tensor, order: Tensor, grid: int, target: int) -> Array:
    height, width = image.shape[2:]
    rank = torch.empty_like(order)
    rank[order] = torch.arange(len(order))
    places = F.interpolate(rank.reshape(1, 1, grid, grid).float(), (height, width), mode="nearest")
    taken = torch.linspace(0, len(order), STEPS + 1).round().reshape(-1, 1, 1, 1)
    images = torch.where(places < taken, blurred(image), image)
    chunks = torch.split(images, max(1, 2**20 // (height * width)))
    return np.asarray(torch.cat([run(chunk)[:, target] for chunk in chunks]).double().numpy())
