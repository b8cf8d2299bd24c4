"""The final round: who is the best of a few networks, and how sure that is."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from blocks.arch import parse_arch
from blocks.cost import Cost
from blocks.network import Network
from search.commands.screens.search import describe_gain
from search.config.quality import ACCURACY, QUALITIES
from search.config.settled import SettledConfig
from search.data.batches import prepare
from search.data.face import load_data
from search.errors import ConfigError, StudyError
from search.record.trials import TrialRecord
from search.space.references import Reference
from search.study.contender import Contender
from search.study.final import FinalRound, _entrants, _gain, _still_in, _values
from search.study.final_time import within
from search.study.memory import rungs
from search.study.objective import Objective
from search.study.race import (
    chance_of_best,
    class_weighted,
    f1_values,
    image_covariance,
    standing,
)
from search.study.run import _too_short
from search.study.settle import settle, with_epochs, with_rung
from search.training.evaluate import evaluate
from search.training.metrics import confusion_of
from search.training.outcomes import Outcomes, outcomes_of, read_outcomes
from tests.search.config.test_checks import config_of


def images(networks: int, means: list[float], seeds: int, seed: int = 0) -> list[np.ndarray]:
    """Values of 400 images, hard ones being hard for all."""
    generator = np.random.default_rng(seed)
    hard = generator.normal(size=400)
    return [
        mean + hard + 0.3 * generator.normal(size=(seeds, 400)) + 0.02 * generator.normal(
            size=(seeds, 1)
        )
        for mean in means[:networks]
    ]  # fmt: skip


def test_what_images_have_in_common_does_not_hide_a_lead() -> None:
    values = images(2, [0.0, 0.15], 3)
    found = standing(values)
    assert found.order == [1, 0]
    lead = found.lead(1, 0)
    # Apart by the levels' own errors they would not be told: each is known to ±0.1.
    assert np.sqrt(found.covariance[0, 0]) > 0.04
    assert lead.low < lead.mean < lead.high
    assert lead.told_apart
    assert lead.mean == pytest.approx(-found.lead(0, 1).mean)
    assert found.p_best[1] > 0.95
    assert found.p_best.sum() == pytest.approx(1)


def test_intervals_of_a_lead_hold_the_truth_as_often_as_they_say() -> None:
    held = 0
    for seed in range(300):
        lead = standing(images(2, [0.0, 0.1], 3, seed)).lead(1, 0)
        held += lead.low <= 0.1 <= lead.high
    assert 0.9 <= held / 300 <= 1.0


def test_a_single_training_is_less_sure_than_several() -> None:
    one = standing([each[:1] for each in images(2, [0.0, 0.05], 3)])
    three = standing(images(2, [0.0, 0.05], 3))
    widths = [found.lead(1, 0).high - found.lead(1, 0).low for found in (one, three)]
    assert widths[0] > widths[1]


def unequal(seed: int, networks: int = 2) -> tuple[np.ndarray, np.ndarray]:
    """Classes of 400, 40 and 8 images, and how often two networks are right: 0.9, 0.6 and 0.3 of
    them, the second 0.02, 0.06 and 0.1 more often; hard images are hard for both."""
    generator = np.random.default_rng(seed)
    classes = np.repeat([0, 1, 2], [400, 40, 8])
    chance = np.array([0.9, 0.6, 0.3])[classes] + np.outer(
        range(networks), np.array([0.02, 0.06, 0.1])[classes]
    )
    hard = generator.random(len(classes))
    own = generator.random((networks, len(classes)))
    # Nine images of ten are right or wrong for both, but for what one is better.
    return (np.where(own < 0.9, hard, own / 0.1 - 9) < chance).astype(float), classes


def test_values_of_classes_alike_have_the_metric_as_their_mean() -> None:
    right, classes = unequal(0)
    recall = [right[0][classes == each].mean() for each in range(3)]
    assert class_weighted(right[0], classes).mean() == pytest.approx(np.mean(recall))
    answers = np.random.default_rng(0).integers(0, 4, len(classes))
    by_f1 = confusion_of(torch.from_numpy(answers), torch.from_numpy(classes), 4).f1.mean()
    assert f1_values(answers, classes).mean() == pytest.approx(by_f1.item())


def test_the_error_of_a_mean_of_classes_is_that_of_each() -> None:
    """Var = Σ var_k / n_k / K²: by hand of large classes, by drawing images anew of small ones."""
    generator = np.random.default_rng(0)
    classes = np.repeat([0, 1], [3000, 1000])
    values = generator.normal(5.0 * classes, 1.0 + classes)
    found = image_covariance(class_weighted(values, classes)[None], classes)
    assert found[0, 0] == pytest.approx((1 / 3000 + 4 / 1000) / 4, rel=0.1)

    leads = [np.diff(class_weighted(*unequal(seed)).mean(1))[0] for seed in range(400)]
    said = []
    for seed in range(400):
        right, classes = unequal(seed)
        c = image_covariance(class_weighted(right, classes), classes)
        said.append(c[0, 0] + c[1, 1] - 2 * c[0, 1])
    assert np.mean(said) == pytest.approx(np.var(leads), rel=0.25)
    # A class of one image has the variance of the others, and not none.
    few = image_covariance(np.array([[1.0, 0.0, 1.0, 1.0]]), np.array([0, 0, 0, 1]))
    assert few[0, 0] > 0


def test_the_error_of_macro_f1_is_that_of_images_drawn_anew() -> None:
    generator = np.random.default_rng(0)
    classes = np.repeat([0, 1, 2], [300, 60, 30])
    chances = np.array([[0.9, 0.08, 0.02], [0.3, 0.6, 0.1], [0.3, 0.2, 0.5]]).cumsum(1)

    def drawn() -> np.ndarray:
        return (generator.random(len(classes))[:, None] > chances[classes]).sum(1).clip(max=2)

    values = [f1_values(drawn(), classes) for _ in range(400)]
    said = [image_covariance(each[None], classes)[0, 0] for each in values]
    assert np.mean(said) == pytest.approx(np.var([each.mean() for each in values]), rel=0.25)


def test_chances_of_equals_are_equal() -> None:
    chances = chance_of_best(np.zeros(4), np.eye(4))
    assert chances == pytest.approx(0.25, abs=0.02)


def test_outcomes_are_those_of_each_image(tmp_path: Path) -> None:
    torch.manual_seed(0)
    network = Network(parse_arch("r28-i1-s8-[ds_r1_k3_s2_e1_c8]-h16"), 10)
    batches = prepare(load_data("fashion_mnist", 28), 28)
    found = outcomes_of(network, batches)
    scores = evaluate(network, batches, batches.val)
    assert found.val_right.mean() == pytest.approx(scores.accuracy)
    assert found.val_right.shape == (len(batches.val),)
    assert found.test_loss.shape == (len(batches.test),)
    # The best temperature is no worse than none.
    assert found.val_loss.mean() <= scores.loss + 1e-6
    found.save(tmp_path / "one.npz")
    again = read_outcomes(tmp_path / "one.npz")
    assert (again.val_loss == found.val_loss).all()
    assert (again.test_right == found.test_right).all()
    assert ((again.test_answer == batches.test.labels.numpy()) == found.test_right).all()
    # A file of an earlier version lacks the answers.
    content = dict(np.load(tmp_path / "one.npz"))
    np.savez(tmp_path / "two.npz", **{k: v for k, v in content.items() if "answer" not in k})
    assert (read_outcomes(tmp_path / "two.npz").val_loss == found.val_loss).all()
    (tmp_path / "one.npz").write_bytes(b"no zip")
    with pytest.raises(StudyError, match="is damaged"):
        read_outcomes(tmp_path / "one.npz")


def settled(*settings: str) -> SettledConfig:
    return SettledConfig.of(with_epochs(config_of(*settings), 5000), 2, "cpu", "fp32")


def trained(number: int, loss: float, seconds: float = 10.0) -> TrialRecord:
    return TrialRecord(
        number, f"arch{number}", Cost(1, 1_000_000, 1, 1), {"val_accuracy": 0.9, "val_loss": loss},
        0, {"epochs": 10}, {"train": seconds}, {},
    )  # fmt: skip


def test_the_best_candidates_and_references_enter() -> None:
    records = [trained(number, 1 - number / 10) for number in range(6)]
    arch = parse_arch("r28-i1-s8-[ds_r1_k3_s2_e1_c8]-h16")
    references = [
        (Reference(name, arch, 0, 0, 1.0, 1.0), trained(10 + number, loss))
        for number, (name, loss) in enumerate([("a", 0.9), ("b", 0.2), ("c", 0.5)])
    ]
    objective = Objective("loss", 1)
    entered = [each.name for each in _entrants(records, references, objective, 3)]
    assert entered == ["trial 5", "trial 4", "trial 3", "b", "c"]
    assert [each.name for each in _entrants(records, references, objective, 1)] == ["trial 5"]
    # A candidate that is a published network is trained once, under its name.
    same = [(references[0][0], replace(records[5], number=10)), *references[1:]]
    entered = [each.name for each in _entrants(records, same, objective, 2)]
    assert entered == ["a", "trial 4", "b", "c"]


@pytest.mark.parametrize("metric", [None, "balanced_accuracy"])
def test_the_gain_is_in_what_networks_are_judged_by(metric: str | None) -> None:
    """Of 18 images of one class and 2 of another B0 has 15 and 1 right, the reference 18 and 0."""
    labels = np.repeat([0, 1], [18, 2])
    b0, reference = np.repeat([0, 1], [15, 5]), np.zeros(20, int)
    b0[-1] = 0
    arch = parse_arch("r28-i1-s8-[ds_r1_k3_s2_e1_c8]-h16")
    contenders = []
    for answers, published in ((b0, None), (reference, Reference("a", arch, 0, 0, 1.0, 1.0))):
        right, answers = answers == labels, answers.astype(np.int32)
        losses = np.where(right, 0.1, 3.0).astype(np.float32)
        outcomes = Outcomes(losses, right, losses, right, answers, answers)
        contenders.append(Contender(trained(0, 0.5), published, [trained(0, 0.5)], [outcomes]))
    quality = ACCURACY if metric is None else QUALITIES[metric]
    found = _gain(contenders, quality, labels)
    assert found is not None
    assert found.reached == pytest.approx(0.9 if metric is None else 0.5)
    assert found.own == pytest.approx(found.reached + found.lead.mean)
    # Accuracy: 16 of 20 less 18; balanced: (15/18 + 1/2) / 2 less 1/2.
    assert found.lead.mean == pytest.approx(-0.1 if metric is None else (15 / 18 + 0.5) / 2 - 0.5)
    assert found.lead.low < found.lead.mean < found.lead.high
    # In the race it is the loss, of each image or of each class alike.
    objective = Objective("accuracy", 1, quality=quality)
    means = [_values(each, objective, labels).mean() for each in contenders]
    assert (means[0] < means[1]) == (metric is None)
    last = FinalRound(contenders, None, [], None, found)
    words = "accuracy" if metric is None else "balanced accuracy"
    assert f"points of test {words} (95%" in describe_gain(last)
    # Two images that say the same of both networks have no variance, and tell nothing.
    few = [
        replace(each, outcomes=[Outcomes(loss, right, loss, right, answer, answer)])
        for each in contenders
        for loss, right, answer in [
            (one.test_loss[-2:], one.test_right[-2:], one.test_answer[-2:]) for one in each.outcomes
        ]
    ]
    sure = _gain(few, ACCURACY, labels[-2:])
    assert sure is not None
    assert not sure.told_apart
    said = describe_gain(FinalRound(few, None, [], None, sure))
    assert said.endswith("; not told apart, as there are only 2 test images")


def test_a_round_is_made_to_fit_the_time_that_is_left(
    caplog: pytest.LogCaptureFixture,
) -> None:
    config = settled("search.minutes=1", "search.final_epochs=10", "search.final_seeds=2")
    records = [trained(number, loss) for number, loss in enumerate([0.2, 0.6, 0.3, 0.4])]
    arch = parse_arch("r28-i1-s8-[ds_r1_k3_s2_e1_c8]-h16")
    published = Reference("a", arch, 0, 0, 1.0, 1.0)
    best, third = Contender(records[0]), Contender(records[1])
    known, other = Contender(records[2], published), Contender(records[3], published)
    contenders = [best, third, known, other]

    def kept(seconds: float) -> tuple[list[Contender], int]:
        return within(contenders, 2, config, Objective.of(config), records, seconds)

    # 10 s each, two at once: 20 s with one seed, half as much again with two.
    assert kept(31.0) == (contenders, 2)
    with caplog.at_level("INFO"):
        assert kept(21.0) == (contenders, 1)
        # The worst by the proxy go, candidates or not; the best reference stays beside the best.
        assert kept(16.0) == ([best, known, other], 1)
        assert kept(11.0) == ([best, known], 1)
        assert kept(-5.0) == ([best], 1)
    assert caplog.messages[2] == (
        "search.minutes=1 leaves 11.0 s for the final round: 2 of 4 networks with 1 of 2 seeds; "
        "more minutes make it surer"
    )


def test_who_is_trained_once_more() -> None:
    def still_in(*losses: float, trainings: int = 1, images: int = 400) -> list[str]:
        contenders = [Contender(trained(each, 0.5)) for each in range(len(losses))]
        for contender in contenders:
            contender.trainings = [contender.by_proxy] * trainings
        noise = np.random.default_rng(0).normal(size=(len(losses), 1, images))
        values = [-loss + 0.5 * own for loss, own in zip(losses, noise, strict=True)]
        return [each.name for each in _still_in(contenders, standing(values), trainings)]

    # Two at least, so that it is seen what a seed makes of a network; later those that may be best.
    assert still_in(0.1, 5.0, 4.0) == ["trial 0", "trial 2"]
    assert still_in(0.1, 5.0, 4.0, trainings=2) == ["trial 0"]
    # Of many that are level each has little chance to be the best, and most go on.
    assert len(still_in(*[0.5] * 40)) > 10


def test_nothing_is_stopped_before_it_can_be_judged() -> None:
    def rungs_of(images: int, *settings: str) -> tuple[int, ...]:
        return rungs(with_rung(config_of(*settings), images))

    assert rungs_of(5000) == (4, 12)
    assert rungs_of(1800) == (8, 12)  # 28 steps an epoch
    assert rungs_of(640, "proxy.epochs=12") == (12,)
    assert rungs_of(640, "proxy.epochs=90") == (30, 90)
    assert rungs_of(640, "search.min_epochs=4") == (4, 12)  # as it was asked for


def test_few_images_are_trained_on_for_more_epochs() -> None:
    """600 steps at least, so that a third of them is 200."""

    def epochs_of(images: int, *settings: str) -> tuple[int, int, int]:
        config = with_epochs(config_of(*settings), images)
        return config.proxy.whole_epochs, config.final_epochs, with_rung(config, images).min_epochs

    assert epochs_of(5000) == (12, 16, 4)
    assert epochs_of(640) == (60, 80, 20)  # 10 steps an epoch
    assert epochs_of(20) == (600, 800, 200)  # less than a batch is one step
    assert epochs_of(640, "proxy.batch_size=16") == (15, 20, 5)
    assert epochs_of(640, "proxy.epochs=12") == (12, 16, 4)
    assert epochs_of(640, "search.final_epochs=5") == (60, 5, 20)


def test_a_first_rung_has_to_leave_epochs() -> None:
    asked = config_of("search.min_epochs=12", "workers.count=1", "proxy.precision=fp32")
    with pytest.raises(ConfigError, match=r"search\.min_epochs=12 leaves nothing to stop"):
        settle(asked)


def test_comparing_after_few_steps_is_said() -> None:
    assert _too_short(settled(), 5000) == []
    [said] = _too_short(settled("search.min_epochs=4"), 640)  # 10 steps an epoch
    assert said.startswith("candidates are first compared after 40 steps")
    assert said.endswith("200 steps take proxy.epochs=60")
    assert _too_short(settled("proxy.epochs=60"), 640) == []
    assert _too_short(settled("evaluator=supernet"), 640) == []
