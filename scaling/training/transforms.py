"""What recipes of others do to training images, one image after the other: torchvision's and
timm's transforms, drawn anew from the number of the image and the epoch alone.

So an epoch is the same however many processes prepare it, and may be entered at any batch.
"""

import random
import re
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Final

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import Dataset
from torchvision.transforms import v2

from blocks.arch import Size
from scaling.compound import ScalingError
from scaling.training.checks import POLICIES
from scaling.training.config import RecipeConfig
from search.config.schema import usual_padding
from search.data.splits import Split
from search.record.trials import derive_seed

_MAGNITUDE: Final = re.compile(r"(?<=-m)(\d+(?:\.\d+)?)")
_GREY: Final = 128
"""Of pixels that a policy leaves empty, as in timm and AutoAugment."""


class Changed(Dataset[Tensor]):
    """Training images as uint8 (C, *size), each changed by its own draw of an epoch.

    `share`: of the policy's strength, which may grow over the epochs.
    """

    def __init__(
        self, split: Split, recipe: RecipeConfig, size: Size, seed: int, epoch: int, share: float
    ) -> None:
        self.split = split
        self.seed, self.epoch = seed, epoch
        self.change = transform_of(recipe, size, split.images.shape[1], share)

    def __len__(self) -> int:
        return len(self.split)

    def __getitem__(self, number: int) -> Tensor:
        with drawn_from(derive_seed(self.seed, "image", self.epoch, number)):
            changed: Tensor = self.change(self.split.image(number))
        return changed


@contextmanager
def drawn_from(seed: int) -> Iterator[None]:
    """Within, what Python, NumPy and PyTorch draw on the CPU follows `seed`; afterwards they go on
    as if nothing had been."""
    python, numpy_state = random.getstate(), np.random.get_state()
    random.seed(seed)
    np.random.seed(seed % 2**32)
    try:
        with torch.random.fork_rng(devices=[]):
            torch.default_generator.manual_seed(seed)
            yield
    finally:
        random.setstate(python)
        np.random.set_state(numpy_state)


def transform_of(recipe: RecipeConfig, size: Size, channels: int, share: float = 1.0) -> Any:
    """Of an image, uint8 (H, W, C), what the network is to see, uint8 (C, *size).

    Raises:
        ScalingError: an unknown policy, or one of colours for images that have none.
    """
    if recipe.policy is not None and channels not in (1, 3):
        raise ScalingError(
            f"recipe.policy={recipe.policy} changes colours, which images of {channels} channels "
            "have not; expected recipe.policy=null"
        )
    if recipe.crop == "resized":
        cut: Any = v2.RandomResizedCrop(tuple(size), (recipe.crop_scale, 1.0), antialias=True)
    else:
        padding = usual_padding(size) if recipe.crop_padding is None else recipe.crop_padding
        cut = v2.Compose(
            [v2.Resize(tuple(size), antialias=True), v2.RandomCrop(tuple(size), padding)]
        )
    steps = [_Picture() if channels in (1, 3) else _channels_first, cut]
    if recipe.flip:
        steps.append(v2.RandomHorizontalFlip())
    if recipe.policy is not None:
        steps.append(_policy(recipe.policy, size.shorter, share))
    return v2.Compose([*steps, _Bytes(channels)])


class _Picture:
    """uint8 (H, W, C) → Pillow's RGB, on which all policies work, and fastest."""

    def __call__(self, image: Tensor) -> Any:
        from PIL import Image

        if image.shape[-1] == 1:
            return Image.fromarray(image[..., 0].contiguous().numpy()).convert("RGB")
        return Image.fromarray(image.contiguous().numpy())


def _channels_first(image: Tensor) -> Tensor:
    return image.permute(2, 0, 1)


class _Bytes:
    """Pillow's image, or a tensor (C, H, W), → uint8 (C, H, W) of so many channels."""

    def __init__(self, channels: int) -> None:
        self.channels = channels

    def __call__(self, image: Any) -> Tensor:
        if not isinstance(image, Tensor):
            image = image.convert("L") if self.channels == 1 else image
            array = np.array(image, dtype=np.uint8)
            return torch.from_numpy(array.reshape(*array.shape[:2], -1)).permute(2, 0, 1)
        return image.as_subclass(Tensor)


class _Policy:
    """A policy of timm's. An image that it asks to be left without a bit, which Pillow refuses,
    stays as it is."""

    def __init__(self, change: Any) -> None:
        self.change = change

    def __call__(self, image: Any) -> Any:
        try:
            return self.change(image)
        except ValueError as error:
            if "bits" not in str(error):
                raise
            return image


def _policy(name: str, side: int, share: float) -> Any:
    if name == "ta_wide":
        return v2.TrivialAugmentWide(fill=_GREY)
    if name == "auto_augment":
        return v2.AutoAugment(fill=_GREY)
    from timm.data.auto_augment import (
        augment_and_mix_transform,
        auto_augment_transform,
        rand_augment_transform,
    )

    settings = {"translate_const": int(side * 0.45), "img_mean": (_GREY,) * 3}
    if share < 1:
        name = _MAGNITUDE.sub(lambda found: f"{float(found[1]) * share:.0f}", name)
    make = auto_augment_transform
    if name.startswith("rand"):
        make = rand_augment_transform
    elif name.startswith("augmix"):
        make = augment_and_mix_transform
        settings["translate_pct"] = 0.3
    try:
        return _Policy(make(name, settings))
    except (AssertionError, ValueError, KeyError, IndexError, AttributeError):
        raise ScalingError(
            f"recipe.policy={name} is unknown; expected {', '.join(POLICIES)}, or one of timm's "
            "such as rand-m9-mstd0.5, original, augmix-m5"
        ) from None
