"""What is better, in one place."""

from dataclasses import replace

import pytest

from blocks.cost import Cost
from search.config.quality import QUALITIES
from search.config.schema import RunConfig
from search.errors import StudyError
from search.record.trials import TrialRecord
from search.study.objective import ACCURACY, Objective
from tests.search.config.test_checks import config_of


def record(number: int, accuracy: float, loss: float, macs: int) -> TrialRecord:
    return TrialRecord(
        number, f"arch{number}", Cost(1, macs, 1, 1), {"val_accuracy": accuracy, "val_loss": loss},
        0, {"epochs": 1}, {}, {},
    )  # fmt: skip


ACCURATE = record(0, 0.9, 0.5, 200)
CERTAIN = record(1, 0.8, 0.3, 200)
CHEAP = record(2, 0.89, 0.6, 20)
RECORDS = [CERTAIN, ACCURATE, CHEAP]


@pytest.mark.parametrize(
    ("aim", "best"),
    [("pareto", ACCURATE), ("accuracy", ACCURATE), ("loss", CERTAIN), ("reward", CHEAP)],
)
def test_each_aim_has_its_best(aim: str, best: TrialRecord) -> None:
    objective = Objective(aim, target_macs=100)
    assert objective.best(RECORDS) is best
    assert all(objective.better(best, other) for other in RECORDS if other is not best)
    assert sorted(RECORDS, key=objective.rank)[-1] is best


def test_of_equals_the_cheaper_is_better() -> None:
    dear = replace(ACCURATE, cost=Cost(1, 300, 1, 1))
    for aim in ("pareto", "accuracy", "loss"):
        assert Objective(aim, 100).best([dear, ACCURATE]) is ACCURATE


def test_the_reward_is_that_of_the_paper() -> None:
    # ACC · (macs / T)^w with w = -0.07: at the target it is the accuracy.
    objective = Objective("reward", target_macs=200)
    assert objective.score(ACCURATE) == pytest.approx(0.9)
    assert objective.score(CHEAP) == pytest.approx(0.89 * (20 / 200) ** -0.07)


def test_the_sampler_is_told_what_is_maximised() -> None:
    assert Objective("pareto", 100).told(ACCURATE) == [0.9, 200]
    assert Objective("pareto", 100).directions == ["maximize", "minimize"]
    assert Objective("loss", 100).told(ACCURATE) == [-0.5]
    assert Objective("loss", 100).directions == ["maximize"]


def test_a_rung_compares_losses_unless_told_otherwise() -> None:
    assert Objective("accuracy", 100).rung(ACCURATE) == -0.5
    assert Objective("accuracy", 100, rung_metric="val_accuracy").rung(ACCURATE) == 0.9
    assert Objective("loss", 100).rung(ACCURATE) == -0.5


def test_it_follows_from_the_settings() -> None:
    assert Objective.of(config_of()) == Objective("loss", 1_000_000)
    assert Objective.of(config_of("budget.max_macs=2M")) == Objective("pareto", 2_000_000)
    found = Objective.of(config_of("objective=reward", "reward.target_macs=1M"))
    assert (found.aim, found.target_macs) == ("reward", 1_000_000)
    assert Objective.of(config_of("budget.target=1M")).aim == "loss"


BALANCED = QUALITIES["balanced_accuracy"]
FAIR = replace(
    CERTAIN,
    metrics={"val_accuracy": 0.8, "val_loss": 0.5, "val_balanced_accuracy": 0.7,
             "val_balanced_loss": 0.6, "val_macro_f1": 0.65},
)  # fmt: skip
UNFAIR = replace(
    ACCURATE,
    metrics={"val_accuracy": 0.97, "val_loss": 0.2, "val_balanced_accuracy": 0.3,
             "val_balanced_loss": 2.0, "val_macro_f1": 0.3},
)  # fmt: skip


@pytest.mark.parametrize("metric", ["balanced_accuracy", "macro_f1"])
@pytest.mark.parametrize("aim", ["pareto", "accuracy", "loss", "reward"])
def test_the_metric_says_which_accuracy_and_which_loss(metric: str, aim: str) -> None:
    plain = Objective(aim, 200)
    objective = replace(plain, quality=QUALITIES[metric])
    assert plain.best([FAIR, UNFAIR]) is UNFAIR
    assert objective.best([FAIR, UNFAIR]) is FAIR
    assert objective.rung(FAIR) > objective.rung(UNFAIR)
    assert objective.signal(FAIR) > objective.signal(UNFAIR)
    assert objective.told(FAIR)[0] == pytest.approx(
        -0.6 if aim == "loss" else FAIR.metrics[f"val_{metric}"]
    )


def test_a_rung_compares_the_loss_of_the_classes_alike() -> None:
    assert Objective("accuracy", 1, quality=BALANCED).rung(FAIR) == -0.6
    by_itself = Objective("accuracy", 1, rung_metric="val_accuracy", quality=BALANCED)
    assert by_itself.rung(FAIR) == 0.7


def test_a_record_without_the_metric_is_named() -> None:
    with pytest.raises(StudyError, match=r"without val_macro_f1, which search\.metric=macro_f1"):
        Objective.by(QUALITIES["macro_f1"]).score(ACCURATE)


@pytest.mark.parametrize(
    ("settings", "aim", "metric", "said"),
    [
        ([], "loss", "accuracy", "loss"),
        (["search.metric=accuracy"], "accuracy", "accuracy", "accuracy"),
        (["search.metric=loss"], "loss", "accuracy", "loss"),
        (["search.metric=loss", "budget.max_macs=1M"], "loss", "accuracy", "loss"),
        (["search.metric=macro_f1"], "accuracy", "macro_f1", "macro F1"),
        (
            ["search.metric=balanced_accuracy", "budget.max_macs=1M"],
            *("pareto", "balanced_accuracy", "pareto of balanced accuracy"),
        ),
        (
            ["search.metric=balanced_accuracy", "objective=loss"],
            *("loss", "balanced_accuracy", "loss of balanced accuracy"),
        ),
    ],
)
def test_the_metric_steers_where_no_objective_does(
    settings: list[str], aim: str, metric: str, said: str
) -> None:
    config: RunConfig = config_of(*settings)
    assert (config.aim, config.quality.name, config.steered_by) == (aim, metric, said)


def test_it_says_by_what_it_judges() -> None:
    assert Objective.by(BALANCED).describe(FAIR) == "balanced accuracy 0.7000"
    assert Objective("loss", 1, quality=BALANCED).describe(FAIR) == "balanced loss 0.6000"
    assert ACCURACY.describe(ACCURATE) == "accuracy 0.9000"
    assert Objective("loss", 1).describe(ACCURATE) == "loss 0.5000"
    assert Objective("reward", 200).describe(ACCURATE) == "reward 0.9000"
