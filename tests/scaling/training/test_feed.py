"""Batches of an epoch: the same from any place in it, for any number of processes."""

from dataclasses import replace
from pathlib import Path

import pytest
import torch

from blocks.arch import Size
from scaling.compound import ScalingError
from scaling.training.config import recipe_named
from scaling.training.feed import Feed
from scaling.training.parallel import World
from scaling.training.transforms import drawn_from, transform_of
from search.config.options import options
from search.data.batches import prepare
from search.data.face import load_data


@pytest.fixture(scope="module")
def feed(digits: Path) -> Feed:
    data = load_data("npz", root=str(digits), resolution=8)
    recipe = replace(
        recipe_named("small"), batch_size=100, epochs=3, flip=True, mixup=0.2, rand_augment=3
    )
    return Feed(prepare(data, 8), data, recipe, Size(8, 8), seed=1)


@pytest.mark.parametrize("policy", [None, "rand-m9-mstd0.5", "ta_wide"])
@pytest.mark.parametrize("erasing", [0.0, 0.5])
def test_an_epoch_is_the_same_from_any_place(
    feed: Feed, policy: str | None, erasing: float
) -> None:
    magnitude = 3.0 if policy is None else 0.0
    recipe = replace(feed.recipe, policy=policy, erasing=erasing, rand_augment=magnitude)
    feed = replace(feed, recipe=recipe)
    torch.manual_seed(0)
    whole = list(feed.epoch(1))
    assert len(whole) == feed.steps == len(feed.data.train) // 100
    torch.manual_seed(5)  # what is drawn elsewhere changes nothing
    for (images, labels), (again, others) in zip(whole[4:], feed.epoch(1, 4), strict=True):
        assert torch.equal(images, again)
        assert torch.equal(labels, others)
    assert not torch.equal(whole[0][0], next(iter(feed.epoch(2)))[0])
    if policy is not None:
        other = replace(feed, loaders=2)
        assert all(
            torch.equal(one[0], two[0]) for one, two in zip(whole, other.epoch(1), strict=True)
        )


def test_processes_share_every_batch(feed: Feed) -> None:
    parts = [list(replace(feed, world=World(rank, 2)).epoch(0)) for rank in range(2)]
    for (whole, labels), one, other in zip(feed.epoch(0), *parts, strict=True):
        assert torch.equal(whole[0::2], one[0])
        assert torch.equal(whole[1::2], other[0])
        assert torch.equal(labels[1::2], other[1])


def test_strength_grows_over_the_epochs(feed: Feed) -> None:
    grows = replace(feed, recipe=replace(feed.recipe, start_regularisation=0.5))
    assert [grows.share(epoch) for epoch in range(3)] == [0.5, 0.75, 1.0]


def test_drawing_for_an_image_leaves_all_else_alone() -> None:
    torch.manual_seed(3)
    expected = torch.rand(2)
    torch.manual_seed(3)
    with drawn_from(7):
        drawn = torch.rand(2)
    assert torch.equal(torch.rand(2), expected)
    with drawn_from(7):
        assert torch.equal(torch.rand(2), drawn)


def test_images_of_many_channels_keep_their_values() -> None:
    recipe = replace(recipe_named("v2"), policy=None, flip=True, crop_scale=1.0)
    image = torch.full((12, 12, 5), 9, dtype=torch.uint8)
    changed = transform_of(recipe, Size(8, 6), 5)(image)
    assert changed.shape == (5, 8, 6)
    assert changed.dtype == torch.uint8
    assert (changed == 9).all()
    with pytest.raises(ScalingError, match="changes colours, which images of 5 channels have not"):
        transform_of(recipe_named("timm"), Size(8, 8), 5)
    with pytest.raises(ScalingError, match=r"recipe\.policy=fog is unknown; expected ta_wide"):
        transform_of(replace(recipe, policy="fog"), Size(8, 8), 3)


@pytest.mark.parametrize("name", options("recipe"))
@pytest.mark.parametrize("channels", [1, 3])
def test_every_recipe_makes_images(name: str, channels: int) -> None:
    recipe = replace(recipe_named(name), flip=True)
    image = torch.randint(256, (20, 20, channels), dtype=torch.uint8)
    for seed in range(20):
        with drawn_from(seed):
            changed = transform_of(recipe, Size(16, 12), channels, share=0.3)(image)
        assert changed.shape == (channels, 16, 12)
        assert changed.dtype == torch.uint8
