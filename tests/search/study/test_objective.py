"""What is better, in one place."""

from dataclasses import replace

import pytest

from blocks.cost import Cost
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


def test_it_says_by_what_it_judges() -> None:
    assert ACCURACY.describe(ACCURATE) == "accuracy 0.9000"
    assert Objective("loss", 1).describe(ACCURATE) == "loss 0.5000"
    assert Objective("reward", 200).describe(ACCURATE) == "reward 0.9000"
