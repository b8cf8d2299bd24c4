"""A plan for images and GPUs that are not here: arithmetic from one step that was measured there.

A step of any candidate is taken to be as long as that of the measured network, or longer as its
multiply-adds are more: on a fast GPU a step of few images is as long as its kernels take to be
started. Validation is the forward pass, a third of a step.
"""

from dataclasses import dataclass
from typing import Final

import numpy as np

from blocks.arch import parse_arch
from blocks.cost import Cost, count
from blocks.zoo import find_arch
from search.assess.pace import Pace
from search.assess.plan import TYPICAL, steps_of
from search.config.checks import check_at_least
from search.config.elsewhere import PREFIX, Elsewhere
from search.config.schema import RunConfig
from search.config.settled import SettledConfig
from search.errors import ConfigError
from search.record.trials import derive_seed
from search.space.members import draw_members, too_few
from search.study.settle import members_for, with_epochs, with_rung

FORWARD: Final = 1 / 3
"""Of a training step: the backward pass takes twice as long as the forward one."""
KEPT: Final = 3
"""Tensors that a training keeps for its backward pass, of each output of a convolution."""
COPIES: Final = 5
"""Of the weights in a training: themselves, gradients, two of AdamW, averaged ones."""


@dataclass(frozen=True)
class FarPlan:
    """`steps` are (what, seconds). Bytes: `gpu_bytes` of a training, `pixels` of all images at the
    proxy's resolution, `files` of all as they are, `reads` a second of one GPU, `result` of a
    trained network. `macs` and `step_macs`: of a mean candidate, of the measured network."""

    config: SettledConfig
    elsewhere: Elsewhere
    steps: tuple[tuple[str, float], ...]
    macs: int
    step_macs: int
    gpu_bytes: float
    pixels: float
    files: float
    reads: float
    result: float

    @property
    def seconds(self) -> float:
        """In all."""
        return sum(seconds for _, seconds in self.steps)

    @property
    def nodes(self) -> int:
        """How many nodes the GPUs are."""
        return -(-self.elsewhere.gpus // self.elsewhere.node_gpus)


def plan_elsewhere(config: RunConfig, elsewhere: Elsewhere) -> FarPlan:
    """Hours, memory and network of a search on images and GPUs that are not here.

    Raises:
        ConfigError: a number that is missing, or impossible.
    """
    names = ("images", "val_images", "classes", "step_images", "gpus", "node_gpus", "channels")
    check_at_least({f"{PREFIX}{name}": (getattr(elsewhere, name), 1) for name in names})
    for name in ("step_ms", "image_kb"):
        if not 0 < getattr(elsewhere, name) < float("inf"):
            raise ConfigError(
                f"{PREFIX}{name}={getattr(elsewhere, name):g} is not a positive number"
            )
    settled = _settled(config, elsewhere)
    members = members_for(settled, elsewhere.channels, elsewhere.classes)
    spellings = draw_members(members, TYPICAL, derive_seed(settled.seed, "plan"))
    if not spellings:
        raise too_few(members.budget, 0, 1)
    costs = [count(parse_arch(each), elsewhere.classes) for each in spellings]
    macs = [cost.macs for cost in costs]
    size = settled.proxy.size
    measured = find_arch(elsewhere.step_arch).with_image(size)
    reference = count(measured, elsewhere.classes).macs
    each = elsewhere.step_ms / 1000 / elsewhere.step_images
    each *= max(1.0, float(np.mean(macs)) / reference)
    pace = Pace((each, 0.0), (FORWARD * each, 0.0), 0.0)
    shape = elsewhere.channels, elsewhere.classes
    steps = steps_of(settled, shape, pace, macs, elsewhere.images, elsewhere.val_images)
    pixels = elsewhere.channels * size.area
    return FarPlan(
        settled,
        elsewhere,
        steps,
        round(float(np.mean(macs))),
        reference,
        float(np.mean([_gpu_bytes(cost, settled.proxy.batch_size) for cost in costs])),
        pixels * (elsewhere.images + elsewhere.val_images),
        1000 * elsewhere.image_kb * (elsewhere.images + elsewhere.val_images),
        pixels / each,
        4 * float(np.mean([cost.params for cost in costs])),
    )


def _settled(config: RunConfig, elsewhere: Elsewhere) -> SettledConfig:
    known = with_rung(with_epochs(config, elsewhere.images), elsewhere.images)
    precision = "bf16" if config.proxy.precision == "bf16" else "fp32"
    return SettledConfig.of(known, elsewhere.gpus, "cuda", precision)


def _gpu_bytes(cost: Cost, batch_size: int) -> float:
    return 4.0 * (COPIES * cost.params + KEPT * cost.activations * batch_size)
