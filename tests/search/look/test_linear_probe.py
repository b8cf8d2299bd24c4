"""The linear probe against what a hand sees, and against scikit-learn's."""

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from sklearn.linear_model import LogisticRegression

from search.look.linear_probe import Features, _fit, fit_probe, probe_pixels
from tests.search.look.conftest import Pixels, data_of

Fashion = tuple[Pixels, NDArray[np.int64]]


def test_what_a_line_separates_is_separated() -> None:
    """Bright and dark images; a constant value beside them says nothing."""
    shades = np.array([10, 20, 30, 40, 200, 210, 220, 230], np.uint8)
    images = shades[:, None, None].repeat(2, 1).repeat(2, 2)
    images[:, 0, 0] = 7
    labels = [0] * 4 + [1] * 4
    probe = probe_pixels(data_of(images, images, images[3:], [labels, labels, labels[3:]]), 2)
    assert (probe.val_accuracy, probe.test_accuracy, probe.balanced) == (1, 1, 1)
    assert probe.on == "raw pixels"
    # Of five test images one is wrong, the only one of its class.
    wrong = probe_pixels(data_of(images, images, images[3:], [labels, labels, [1, 1, 0, 1, 1]]), 2)
    assert wrong.test_accuracy == pytest.approx(3 / 5)
    assert wrong.balanced == pytest.approx((0 + 3 / 4) / 2)


def test_labels_of_chance_are_not_learned() -> None:
    generator = torch.Generator().manual_seed(0)
    values = torch.randn(600, 20, generator=generator)
    labels = torch.randint(0, 2, (600,), generator=generator)
    parts = dict(zip(("train", "val", "test"), values.split([200, 200, 200]), strict=True))
    own = dict(zip(parts, labels.split([200, 200, 200]), strict=True))
    probe = fit_probe(Features(**parts, labels=own, num_classes=2), "noise")
    assert probe.penalty >= 0.3
    assert abs(probe.test_accuracy - 0.5) < 0.15


def test_a_fit_is_that_of_scikit_learn(fashion: Fashion) -> None:
    images, labels = fashion
    values = torch.from_numpy(images[:300].reshape(300, -1)[:, ::28].astype(np.float32) / 255)
    penalty = 0.1
    layer = torch.zeros(values.shape[1] + 1, 10)
    for _ in range(5):
        layer = _fit(layer, values, torch.from_numpy(labels[:300]), penalty)
    # Its penalty is beside the sum, not the mean, of the losses.
    known = LogisticRegression(C=1 / (300 * penalty), tol=1e-6, max_iter=1000)
    known.fit(values.double().numpy(), labels[:300])
    np.testing.assert_allclose(layer[:-1].T, known.coef_, atol=2e-3)


def test_many_pixels_are_averaged_and_said(fashion: Fashion) -> None:
    images, labels = fashion
    colour = images[..., None].repeat(3, 3)
    parts = [colour[:300], colour[300:400], colour[400:]]
    data = data_of(*parts, [labels[:300], labels[300:400], labels[400:]], classes=10)
    probe = probe_pixels(data, 28)
    assert probe.on == "raw pixels, averaged to 16×16"
    assert probe == probe_pixels(data, 28)
    assert probe.test_accuracy > 0.6
