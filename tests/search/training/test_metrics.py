"""What counts classes alike: metrics, weights of the loss, batches."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given
from hypothesis import strategies as st
from sklearn.metrics import balanced_accuracy_score, f1_score

from blocks.arch import parse_arch
from blocks.latency.device import torch_threads
from blocks.network import Network
from search.config.schema import ProxyConfig
from search.data.batches import Batches, balanced_order, prepare
from search.data.datasets import load_data
from search.data.splits import Split
from search.training.class_weights import BETA, class_weights, cross_entropy
from search.training.evaluate import evaluate, logits_of
from search.training.metrics import confusion_of, mean_over_classes
from search.training.outcomes import inverse_temperature
from search.training.train import train
from tests.search.config.test_checks import config_of

ARCH = parse_arch("r8-i1-s8-[ds_r1_k3_s2_e1_c8]-h16")
PROXY = ProxyConfig(resolution=8, batch_size=64, flip=False, lr=0.02)


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    """Networks of this size train no faster on two."""
    with torch_threads(1):
        yield


def test_metrics_by_hand() -> None:
    # Of class 0 two of three are right, of 1 one of two, of 3 the only one; 2 has no image.
    labels = torch.tensor([0, 0, 0, 1, 1, 3])
    answers = torch.tensor([0, 0, 1, 1, 3, 3])
    found = confusion_of(answers, labels, 4)
    assert found.recall.tolist() == pytest.approx([2 / 3, 1 / 2, 1])
    # 2·right / (images + given): 4/5, 2/4, 2/3.
    assert found.f1.tolist() == pytest.approx([4 / 5, 1 / 2, 2 / 3])
    losses = torch.tensor([3.0, 0.0, 0.0, 4.0, 2.0, 5.0])
    assert mean_over_classes(losses, labels) == pytest.approx((1 + 3 + 5) / 3)
    # A class that is answered and has no image does not count.
    found = confusion_of(torch.tensor([0, 2]), torch.tensor([0, 0]), 4)
    assert found.recall.tolist() == [0.5]
    assert found.f1.tolist() == pytest.approx([2 / 3])


@given(st.lists(st.tuples(st.integers(0, 4), st.integers(0, 4)), min_size=1, max_size=40))
def test_metrics_are_those_of_scikit_learn(pairs: list[tuple[int, int]]) -> None:
    labels, answers = torch.tensor(pairs).T
    found = confusion_of(answers, labels, 5)
    present = sorted(set(labels.tolist()))
    by_f1 = f1_score(labels, answers, labels=present, average="macro", zero_division=0)
    assert found.f1.mean().item() == pytest.approx(by_f1)
    # Of classes without images it warns, and of one class alone; it leaves the former out too.
    if len(present) > 1 and set(answers.tolist()) <= set(present):
        by_recall = balanced_accuracy_score(labels, answers)
        assert found.recall.mean().item() == pytest.approx(by_recall)


@pytest.fixture(scope="module")
def batches(digits: Path) -> Batches:
    """The digits, of which each class of the training images has half as many as the one before."""
    data = load_data(config_of("dataset=npz", f"dataset.root={digits}").dataset, 8)
    whole = prepare(data, 8)
    rows = torch.cat(
        [
            (whole.train.labels == number).nonzero().flatten()[: max(3, 120 >> number)]
            for number in range(10)
        ]
    )
    return replace(whole, train=Split(whole.train.images[rows], whole.train.labels[rows]))


def test_an_evaluation_is_what_its_logits_say(batches: Batches) -> None:
    torch.manual_seed(0)
    network = Network(ARCH, 10)
    found = evaluate(network, batches, batches.val)
    with torch.inference_mode():
        logits = torch.cat([each for each, _ in logits_of(network, batches, batches.val)])
    labels = batches.val.labels
    of_class = [logits[labels == each] for each in range(10)]
    recall = [(each.argmax(1) == number).float().mean() for number, each in enumerate(of_class)]
    losses = [
        F.cross_entropy(each, torch.full((len(each),), number))
        for number, each in enumerate(of_class)
    ]
    assert found.loss == pytest.approx(F.cross_entropy(logits, labels).item(), rel=1e-5)
    assert found.balanced_accuracy == pytest.approx(torch.stack(recall).mean().item(), rel=1e-5)
    assert found.balanced_loss == pytest.approx(torch.stack(losses).mean().item(), rel=1e-5)
    assert list(found.metrics("val"))[:2] == ["val_accuracy", "val_loss"]


def test_weights_of_classes_by_hand() -> None:
    labels = torch.tensor([0] * 6 + [1] * 3 + [3])
    assert class_weights("none", labels, 4) is None
    balanced = class_weights("balanced", labels, 4)
    assert balanced is not None
    # N / (K·n), of the three classes that have images.
    assert balanced.tolist() == pytest.approx([10 / 18, 10 / 9, 0, 10 / 3])
    effective = class_weights("effective", labels, 4)
    assert effective is not None
    for weights in (balanced, effective):
        assert weights[labels].mean().item() == pytest.approx(1)
    ratio = (1 - BETA**6) / (1 - BETA)
    assert (effective[3] / effective[0]).item() == pytest.approx(ratio)  # 1 / E(6), as E(1) is 1
    # Of many images, more make hardly a difference.
    many = torch.tensor([0] * 8000 + [1] * 4000 + [2] * 10)
    found = class_weights("effective", many, 3)
    assert found is not None
    assert (found[1] / found[0]).item() < 1.02
    assert (found[2] / found[1]).item() > 90


def test_effective_numbers_are_those_of_timm() -> None:
    loss = pytest.importorskip("timm.loss")
    if not hasattr(loss, "compute_class_weights"):
        pytest.skip("this timm has no weights of classes")
    images = [500, 40, 7]
    _, theirs = loss.compute_class_weights(images, sum(images), "effective_num", beta=BETA)
    labels = torch.repeat_interleave(torch.arange(3), torch.tensor(images))
    ours = class_weights("effective", labels, 3)
    assert ours is not None
    assert (ours / ours.mean()).tolist() == pytest.approx(theirs.tolist(), rel=1e-5)


@pytest.mark.parametrize("smoothing", [0.0, 0.1])
def test_a_label_and_its_share_of_a_mixed_one_lose_the_same(smoothing: float) -> None:
    generator = torch.Generator().manual_seed(0)
    logits = torch.randn((6, 3), generator=generator)
    labels = torch.tensor([0, 1, 2, 0, 1, 0])
    weights = torch.tensor([0.5, 1.0, 4.0])
    hard = F.one_hot(labels, 3).float()
    plain = cross_entropy(logits, labels, smoothing)
    assert plain == F.cross_entropy(logits, labels, label_smoothing=smoothing)
    one = cross_entropy(logits, labels, smoothing, weights)
    assert one.item() == pytest.approx(cross_entropy(logits, hard, smoothing, weights).item())
    each = F.cross_entropy(logits, labels, reduction="none", label_smoothing=smoothing)
    assert one.item() == pytest.approx(sum((weights[labels] * each).tolist()) / 6)
    # Of a mixed label the loss is that of its two, by their shares.
    mixed = 0.3 * hard + 0.7 * hard.roll(1, 0)
    shares = 0.3 * one + 0.7 * cross_entropy(logits, labels.roll(1), smoothing, weights)
    assert cross_entropy(logits, mixed, smoothing, weights).item() == pytest.approx(shares.item())
    alike = cross_entropy(logits, mixed, smoothing, torch.ones(3))
    assert alike.item() == pytest.approx(cross_entropy(logits, mixed, smoothing).item())


@given(st.lists(st.integers(0, 12), min_size=1, max_size=6).filter(sum), st.integers(0, 9))
def test_a_balanced_epoch_has_as_many_of_each_class(images: list[int], seed: int) -> None:
    labels = torch.repeat_interleave(torch.arange(len(images)), torch.tensor(images))
    rows = balanced_order(labels, torch.Generator().manual_seed(seed))
    assert len(rows) == len(labels)
    drawn = torch.bincount(labels[rows], minlength=len(images))[torch.tensor(images) > 0]
    assert drawn.max() - drawn.min() <= 1
    taken = torch.bincount(rows, minlength=len(labels))
    for number in set(labels.tolist()):
        own = taken[labels == number]
        assert own.max() - own.min() <= 1


@pytest.mark.parametrize(
    "settings",
    [{"class_weights": "effective", "mixup": 0.2}, {"balanced_batches": True}],
)
def test_what_counts_classes_alike_goes_on_exactly(
    batches: Batches, tmp_path: Path, settings: dict[str, object]
) -> None:
    proxy = replace(PROXY, **settings)  # type: ignore[arg-type]
    whole = train(ARCH, 10, batches, proxy, 3, seed=0)
    path = tmp_path / "0.pt"
    for until in (1, 2, 3):
        piece = train(ARCH, 10, batches, proxy, 3, seed=0, until=until, checkpoint=path)
    assert (piece.train_loss, piece.val) == (whole.train_loss, whole.val)
    plain = train(ARCH, 10, batches, PROXY, 3, seed=0)
    assert whole.train_loss != plain.train_loss


def test_rare_classes_are_learnt_where_all_count_alike(batches: Batches) -> None:
    proxy = replace(PROXY, batch_size=16, label_smoothing=0.0)
    plain = train(ARCH, 10, batches, proxy, 12, seed=0).val
    for settings in ({"class_weights": "balanced"}, {"balanced_batches": True}):
        alike = train(ARCH, 10, batches, replace(proxy, **settings), 12, seed=0).val  # type: ignore[arg-type]
        assert alike.balanced_accuracy > plain.balanced_accuracy + 0.05


def test_a_balanced_temperature_is_that_of_the_classes_alike() -> None:
    # Class 0 is sure and right, class 1, which is rare, sure and mostly wrong.
    logits = torch.tensor([[4.0, 0.0]] * 90 + [[2.0, 0.0]] * 8 + [[0.0, 2.0]] * 2)
    labels = torch.tensor([0] * 90 + [1] * 10)
    plain = inverse_temperature(logits, labels)
    balanced = inverse_temperature(logits, labels, balanced=True)
    assert balanced < plain
