"""How many images each class has, and what is said of it."""

from dataclasses import replace

import pytest
import torch

from search.commands.screens.search import describe_majority
from search.config.quality import ACCURACY, QUALITIES
from search.data.classes import Majority, describe_classes, majority_of, worth
from search.data.splits import ImageData, Split
from tests.search.config.test_checks import config_of

BALANCED = QUALITIES["balanced_accuracy"]


def split_of(*images: int) -> Split:
    labels = torch.repeat_interleave(torch.arange(len(images)), torch.tensor(images))
    return Split(torch.zeros((len(labels), 1, 1, 1), dtype=torch.uint8), labels)


def data_of(train: Split, test: Split) -> ImageData:
    return ImageData("made", ("rash", "mole", "healthy"), train, test, test, "")


def test_unequal_classes_are_said() -> None:
    data = data_of(split_of(12, 40, 4310), split_of(1, 2, 97))
    [line] = describe_classes(config_of(), data)
    assert line == (
        "classes: 12 (rash) to 4,310 (healthy) training images; search.metric=balanced_accuracy "
        "and proxy.class_weights=balanced count classes alike"
    )
    [line] = describe_classes(config_of("proxy.balanced_batches=true"), data)
    assert line.endswith("; search.metric=balanced_accuracy counts classes alike")
    both = config_of("search.metric=macro_f1", "proxy.class_weights=effective")
    [line] = describe_classes(both, data)
    assert line.endswith("training images")
    assert describe_classes(config_of(), replace(data, train=split_of(10, 20, 30))) == []


def test_a_class_without_images_to_judge_on_is_said() -> None:
    data = replace(data_of(split_of(9, 9, 9), split_of(3, 3, 3)), val=split_of(4, 0, 5))
    assert describe_classes(config_of(), data) == [
        "warning: 1 of 3 classes have no val image (mole): a network that never answers them seems "
        "better than it is"
    ]
    [line] = describe_classes(config_of(), replace(data, val=data.train, test=split_of(0, 0, 5)))
    assert line.startswith("warning: 2 of 3 classes have no test image (rash, mole)")


def test_few_images_of_one_class_are_few_of_all() -> None:
    assert worth(ACCURACY, split_of(1, 2, 97)) == 100
    assert worth(BALANCED, split_of(30, 30, 30)) == 90
    # K² / Σ 1/n = 4 / (1/2 + 1/100).
    assert worth(BALANCED, split_of(2, 100)) == round(4 / 0.51)


def test_what_always_answering_the_largest_class_reaches() -> None:
    data = data_of(split_of(1, 1, 1), split_of(1, 2, 97))
    found = majority_of(data, ACCURACY)
    assert found == Majority("healthy", 0.97, 100)
    found = majority_of(data, BALANCED)
    assert found is not None
    assert found.reached == pytest.approx(1 / 3)
    by_f1 = majority_of(data, QUALITIES["macro_f1"])
    assert by_f1 is not None
    assert by_f1.reached == pytest.approx(2 * 97 / (100 + 97) / 3)
    assert majority_of(replace(data, test=split_of(30, 30, 40)), ACCURACY) is None


def test_a_b0_that_equals_the_majority_is_said() -> None:
    majority = Majority("healthy", 0.97, 1000)

    def said(accuracy: float) -> str:
        return describe_majority(majority, {"test_accuracy": accuracy}, ACCURACY).strip()

    assert said(0.97) == (
        "always 'healthy' would reach a test accuracy of 0.9700; B0 is not above it (0.9700); "
        "search.metric=balanced_accuracy counts classes alike"
    )
    assert "B0 is above it (0.9750), but 1000 images do not tell that from chance" in said(0.975)
    assert said(0.99).endswith("B0 is above it (0.9900)")
    metrics = {"test_balanced_accuracy": 1 / 3}
    said_of = describe_majority(Majority("healthy", 1 / 3, 9), metrics, BALANCED)
    assert said_of.endswith("B0 is not above it (0.3333)")
