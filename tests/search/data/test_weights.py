"""Weights of a table: how often an image is trained on."""

from collections import Counter
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from PIL import Image

from blocks.arch import square
from search.config.face import config_from
from search.config.schema import ColumnsConfig, DatasetConfig
from search.data.augment import Augmentation
from search.data.batches import prepare, prepare_folds, weighted_order
from search.data.datasets import load_data
from search.errors import ConfigError, DataError
from search.study.settle import check_settings


@pytest.fixture
def labels(tmp_path: Path) -> pd.DataFrame:
    """Sixty grey squares of two classes, each of its own grey; every third has the weight 0, every
    third 1, every third 3."""
    rows = []
    for number in range(60):
        Image.new("L", (8, 8), 4 * number).save(tmp_path / f"{number}.png")
        split = ("train", "train", "val", "test")[number // 15]
        rows.append((f"{number}.png", "ab"[number % 2], (0, 1, 3)[number % 3], split))
    return pd.DataFrame(rows, columns=["file", "label", "care", "split"])


def settings(folder: Path, labels: pd.DataFrame, **given: object) -> DatasetConfig:
    labels.to_csv(folder / "labels.csv", index=False)
    columns = ColumnsConfig(weight="care")
    config = DatasetConfig(name="table", path=str(folder / "labels.csv"), columns=columns)
    return replace(config, **given)  # type: ignore[arg-type]


@pytest.mark.parametrize("cache", [None, "cache"])
def test_an_epoch_has_images_by_their_weights(
    cache: str | None, tmp_path: Path, labels: pd.DataFrame
) -> None:
    config = settings(tmp_path, labels, cache=cache and str(tmp_path / cache))
    for _ in range(2):  # decoded, and from the cache
        data = load_data(config, 8)
        assert any("weights in care" in note for note in data.notes)
        batches = prepare(data, square(8))
        assert batches.train.weights is not None
        seen: Counter[int] = Counter()
        for epoch in range(12):
            generator = torch.Generator().manual_seed(epoch)
            for images, _ in batches.shuffled(10, Augmentation(), 2, generator):
                pixels = images * batches.std + batches.mean
                seen.update(pixels[:, 0, 0, 0].round().long().tolist())
        assert sum(seen.values()) == 12 * 30
        by_weight = {weight: [seen[4 * n] for n in range(weight, 30, 3)] for weight in (0, 1, 2)}
        assert by_weight[0] == [0] * 10
        # 30 images of a weight of 40 in all: 0.75 and 2.25 times an epoch.
        assert 9 * 0.7 < np.mean(by_weight[1]) < 9 * 1.3
        assert 27 * 0.9 < np.mean(by_weight[2]) < 27 * 1.1
    plain = replace(config, columns=ColumnsConfig())
    assert load_data(plain, 8).sha256 != data.sha256
    assert load_data(plain, 8).train.weights is None


def test_orders_are_as_long_as_there_are_images() -> None:
    weights = torch.tensor([0.0, 1.0, 1.0, 2.0, 6.0], dtype=torch.float64)
    for seed in range(50):
        rows = weighted_order(weights, torch.Generator().manual_seed(seed))
        counts = torch.bincount(rows, minlength=5)
        assert counts.sum() == 5
        assert counts[0] == 0
        assert counts[3] == 1
        assert counts[4] == 3
    alike = weighted_order(torch.full((7,), 0.1, dtype=torch.float64), torch.Generator())
    assert sorted(alike.tolist()) == list(range(7))


def test_folds_keep_the_weights_of_their_images(tmp_path: Path, labels: pd.DataFrame) -> None:
    config = settings(tmp_path, labels.drop(columns="split"), folds=3, cache=None)
    for batches in prepare_folds(load_data(config, 8), square(8)):
        for split in (batches.train, batches.val):
            assert split.weights is not None
            numbers = split.images[:, 0, 0, 0].long() // 4
            assert split.weights.tolist() == [(0, 1, 3)[number % 3] for number in numbers]


@pytest.mark.parametrize(
    ("care", "message"),
    [
        ("-1", "row 2: care '-1' is not a weight; expected 0 or more"),
        ("much", "row 2: care 'much' is not a weight"),
        ("inf", "row 2: care 'inf' is not a weight"),
        ("", "row 2: care '' is not a weight"),
    ],
)
def test_what_is_no_weight_is_refused(
    care: str, message: str, tmp_path: Path, labels: pd.DataFrame
) -> None:
    labels["care"] = labels["care"].astype(str)
    labels.loc[0, "care"] = care
    with pytest.raises(DataError, match=message):
        load_data(settings(tmp_path, labels, cache=None), 8)


def test_weights_that_train_nothing_are_refused(tmp_path: Path, labels: pd.DataFrame) -> None:
    labels.loc[labels["label"] == "b", "care"] = 0
    with pytest.raises(DataError, match="all training images of class 'b' have the weight 0"):
        load_data(settings(tmp_path, labels, cache=None), 8)
    again = pd.concat([labels, labels[:1].assign(care=2)])
    with pytest.raises(DataError, match="has the weight 2, and 0 in a row before"):
        load_data(settings(tmp_path, again, cache=None), 8)
    with pytest.raises(ConfigError, match="both say how often an image is trained on"):
        check_settings(config_from(**{
            "dataset": "table", "dataset.path": "labels.csv", "dataset.columns.weight": "care",
            "proxy.balanced_batches": True,
        }))  # fmt: skip
