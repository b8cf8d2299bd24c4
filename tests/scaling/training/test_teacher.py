"""What a student learns of a teacher, by hand, and which teachers are refused."""

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
import torch.nn.functional as F

from blocks.arch import Size, parse_arch
from blocks.network import Network
from scaling.compound import ScalingError
from scaling.training.config import DistilConfig
from scaling.training.setup import Machine
from scaling.training.teacher import Distillation, Teacher, _teacher
from tests.scaling.training.conftest import LARGER, NETWORK, Train

RECIPE = {"name": "small", "epochs": 1, "batch_size": 256}


def answering(spelling: str) -> Network:
    """A network whose logits are no constants, as untrained ones nearly are."""
    network = Network(parse_arch(spelling), 10)
    network.train()(torch.rand(64, 1, 8, 8))
    for module in network.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            module.momentum = None
            module.reset_running_stats()
    network(torch.rand(64, 1, 8, 8))
    network.classifier.weight.data *= 20
    return network.eval()


def distillation(alpha: float, temperature: float = 3.0, features: float = 0.0) -> Distillation:
    torch.manual_seed(0)
    network = answering(LARGER)
    one = torch.ones(1, 1, 1, 1)
    teacher = Teacher("t", network, one, 0 * one, Size(10, 10), 1)
    return Distillation(teacher, DistilConfig(alpha, temperature, features))


def parts(network: Network, projection: Any = None) -> Any:
    return SimpleNamespace(
        network=network, model=network, loss=F.cross_entropy, projection=projection
    )


def test_the_loss_by_hand() -> None:
    student = answering(NETWORK)
    images, labels = torch.rand(6, 1, 8, 8), torch.arange(6)
    machine = Machine("cpu", "fp32")
    with torch.no_grad():
        own = student(images)
        large = F.interpolate(images, (10, 10), mode="bilinear", antialias=True)
        known = distillation(0.5).teacher.network(large)
        hard = distillation(0.0).loss(parts(student), machine, images, labels)
        soft = distillation(1.0).loss(parts(student), machine, images, labels)
        both = distillation(0.3).loss(parts(student), machine, images, labels)
    theirs, ours = (known / 3).log_softmax(1), (own / 3).log_softmax(1)
    expected = 9 * (theirs.exp() * (theirs - ours)).sum(1).mean()
    assert hard.item() == pytest.approx(F.cross_entropy(own, labels).item(), rel=1e-5)
    assert soft.item() == pytest.approx(expected.item(), rel=1e-4)
    assert both.item() == pytest.approx(0.7 * hard.item() + 0.3 * soft.item(), rel=1e-5)


def test_features_are_learnt_through_a_map() -> None:
    student = Network(parse_arch(NETWORK), 10).eval()
    learning = distillation(0.5, features=2.0)
    projection = learning.projection(student, "cpu")
    assert projection is not None
    images, labels = torch.rand(4, 1, 8, 8), torch.arange(4)
    loss = learning.loss(parts(student, projection), Machine("cpu", "fp32"), images, labels)
    loss.backward()
    [weight] = projection.parameters()
    assert weight.shape == (96, 64)
    assert weight.grad is not None
    assert weight.grad.abs().max() > 0
    assert all(each.grad is None for each in learning.teacher.network.parameters())


def test_a_teacher_sees_images_as_it_was_trained_on_them() -> None:
    batches: Any = SimpleNamespace(
        mean=torch.full((1, 1, 1), 0.4 * 255), std=torch.full((1, 1, 1), 0.2 * 255)
    )
    found = _teacher(
        "t", Network(parse_arch(NETWORK), 10), torch.tensor([0.5]), torch.tensor([0.1]), Size(8, 8),
        batches, "cpu",
    )  # fmt: skip
    pixel = 0.7
    for_student = (pixel - 0.4) / 0.2
    assert (for_student * found.scale + found.shift).item() == pytest.approx((pixel - 0.5) / 0.1)


def test_a_trained_member_teaches(train_digits: Train, tmp_path: Path) -> None:
    train_digits(network=LARGER, name="b3", recipe=RECIPE)
    result = train_digits(
        name="student", recipe=RECIPE, teacher="b3", compare="teacher", distil={"features": 0.1}
    )
    [comparison] = result.comparisons
    assert comparison.what == "taught by b3"
    assert comparison.without.folder.name == "student-plain"
    assert "teacher" not in comparison.without.content
    teacher = comparison.with_it.content["teacher"]
    assert teacher == {"name": "b3", "alpha": 0.5, "temperature": 4.0, "features": 0.1}
    reached = [each.test["accuracy"]["value"] for each in (comparison.with_it, comparison.without)]
    assert comparison.gain.value == pytest.approx(reached[0] - reached[1], abs=1e-6)
    assert comparison.gain.low <= comparison.gain.value <= comparison.gain.high
    with pytest.raises(ScalingError, match=r"no trained member there.*which holds b3, student"):
        train_digits(name="other", recipe=RECIPE, teacher="b4")
    path = tmp_path / "results/digits/trained/b3/model.yaml"
    path.write_text(path.read_text().replace("- '7'", "- seven"))
    with pytest.raises(ScalingError, match=r"has 10 classes .*the images 10 .*expected the same"):
        train_digits(name="other", recipe=RECIPE, teacher="b3")
