"""Batches of an epoch, from any place in it: the same ones however often it is interrupted.

Everything random follows (seed, epoch, batch), so nothing but these numbers has to be remembered.
Recipes that change whole batches are fed as a search's proxy is. Those that change image by image
are fed by a `DataLoader` and its processes.
"""

import math
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor

from blocks.arch import Size
from blocks.latency.device import available_cores
from scaling.training.config import RecipeConfig
from scaling.training.parallel import ALONE, World
from scaling.training.transforms import Changed, drawn_from
from search.config.schema import usual_padding
from search.data.augment import Augmentation, cut_and_mix
from search.data.batches import Batches, shrink
from search.data.loading import Plain, loaded
from search.data.splits import ImageData
from search.record.trials import derive_seed
from search.training.schedule import size_of


@dataclass(frozen=True)
class Feed:
    """What training batches are made of. `loaders`: processes that change images one by one."""

    batches: Batches
    data: ImageData
    recipe: RecipeConfig
    size: Size
    seed: int
    loaders: int = 0
    world: World = ALONE

    @property
    def one_by_one(self) -> bool:
        """Whether images are changed one by one."""
        return changes_one_by_one(self.recipe)

    @property
    def batch_size(self) -> int:
        """Images of a step."""
        return min(self.recipe.batch_size, len(self.data.train))

    @property
    def steps(self) -> int:
        """Steps of an epoch; a last batch that is not full is left out."""
        return len(self.data.train) // self.batch_size

    def share(self, epoch: int) -> float:
        """Of the regularisation in an epoch, linearly up to all of it in the last."""
        start, epochs = self.recipe.start_regularisation, self.recipe.epochs
        return 1.0 if epochs == 1 else start + (1 - start) * min(1, epoch / (epochs - 1))

    def epoch(self, epoch: int, first: int = 0) -> Iterator[tuple[Tensor, Tensor]]:
        """The batches of an epoch (from 0) from its `first` on: float (N, C, H, W) normalised, and
        labels int64 (N,), or float (N, num_classes) where they are mixed; of several processes
        each has its part of every batch."""
        size = size_of(self.size, self.recipe.start_resolution, epoch, self.recipe.epochs)
        source = self._loaded if self.one_by_one else self._whole
        for images, labels in source(epoch, first):
            yield shrink(images, size), labels

    def _order(self, epoch: int) -> list[Tensor]:
        generator = self._drawn("order", epoch)
        order = self.batches.order(generator, self.recipe.balanced_batches)
        return list(torch.split(order, self.batch_size))[: self.steps]

    def _drawn(self, *what: object) -> torch.Generator:
        return torch.Generator().manual_seed(derive_seed(self.seed, *what))

    def _whole(self, epoch: int, first: int) -> Iterator[tuple[Tensor, Tensor]]:
        """Every process makes the whole batch, which takes little, and keeps its part: so many
        processes train on what one would."""
        augmentation = augmentation_of(self.recipe, self.size, self.share(epoch))
        order = self._order(epoch)[first:]
        pixels = loaded(Plain(self.batches.train), order, self.batches.train, self.loaders)
        for number, (images, kept) in enumerate(pixels, first):
            images, labels = self.batches.augmented(
                images,
                self.batches.train.labels[kept],
                augmentation,
                self.data.num_classes,
                self._drawn("batch", epoch, number),
            )
            images, labels = self.world.part(images), self.world.part(labels)
            yield self._erase(images, epoch, number), labels

    def _loaded(self, epoch: int, first: int) -> Iterator[tuple[Tensor, Tensor]]:
        share = self.share(epoch)
        dataset = Changed(self.data.train, self.recipe, self.size, self.seed, epoch, share)
        parts = [self.world.part(chosen) for chosen in self._order(epoch)[first:]]
        pixels = loaded(dataset, parts, self.data.train, self.loaders)
        mixing = replace(
            augmentation_of(self.recipe, self.size, share),
            flip=False,
            crop_padding=0,
            rand_augment=0.0,
        )
        for number, (images, kept) in enumerate(pixels, first):
            generator = self._drawn("batch", epoch, number, self.world.rank)
            normalised, labels = cut_and_mix(
                self.batches.normalise(images),
                self.data.train.labels[kept],
                self.data.num_classes,
                mixing,
                generator,
            )
            yield self._erase(normalised, epoch, number), labels

    def _erase(self, images: Tensor, epoch: int, number: int) -> Tensor:
        if not self.recipe.erasing:
            return images
        from timm.data.random_erasing import RandomErasing

        erase: Any = RandomErasing(  # type: ignore[no-untyped-call]
            self.recipe.erasing, mode="pixel", device="cpu"
        )
        with drawn_from(derive_seed(self.seed, "erase", epoch, number, self.world.rank)):
            erased: Tensor = erase(images)
        return erased


def changes_one_by_one(recipe: RecipeConfig) -> bool:
    """Whether a recipe changes images one by one and not whole batches."""
    return recipe.policy is not None or recipe.crop == "resized"


def augmentation_of(recipe: RecipeConfig, size: Size, share: float = 1.0) -> Augmentation:
    """What a recipe does to whole batches, `share` of its strength."""
    padding = recipe.crop_padding
    return Augmentation(
        flip=bool(recipe.flip),
        crop_padding=usual_padding(size) if padding is None else padding,
        rand_augment=recipe.rand_augment * share,
        cutout=recipe.cutout,
        mixup=recipe.mixup * share,
        cutmix=recipe.cutmix,
    )


def loaders_for(asked: int | None, device: str) -> int:
    """Processes that read or change images one by one: as asked for, or a core each: beside
    training on the CPU half of them, beside a GPU all, up to 8."""
    if asked is not None:
        return asked
    return min(8, math.ceil(available_cores() / (1 if device == "cuda" else 2)))


def about_feed(feed: Feed) -> str:
    """How batches are made, in words."""
    several = "a process" if feed.loaders == 1 else f"{feed.loaders} processes"
    where = f"{several} beside this" if feed.loaders else "this process"
    streamed = feed.data.train.files is not None
    if not feed.one_by_one:
        read = f"decoded one by one by {where}, " if streamed else ""
        return f"{read}changed as whole batches"
    return f"{'decoded and ' if streamed else ''}changed one by one by {where}"
