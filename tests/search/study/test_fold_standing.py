"""Who is the best, where each training of a network judges other images."""

import json
from pathlib import Path

import numpy as np
import pytest

from search import run
from search.data.datasets import load_data
from search.record.trials import derive_seed
from search.study.fold_standing import compared, standing_by_folds
from search.study.race import standing
from search.training.outcomes import read_outcomes
from tests.search.config.test_checks import config_of

SIZES = [80, 80, 79, 81, 80]


def images(
    means: list[float], folds: list[int], seed: int = 0, seeds: float = 0.02
) -> list[list[np.ndarray]]:
    """Values of the images of each network's first folds; hard images are hard for all, and folds
    differ. `seeds`: the deviation of a training."""
    generator = np.random.default_rng(seed)
    hard = [generator.normal(generator.normal(), 1, size) for size in SIZES]
    return [
        [
            mean + each + generator.normal(0, seeds) + generator.normal(0, 0.3, len(each))
            for each in hard[:number]
        ]
        for mean, number in zip(means, folds, strict=True)
    ]


def test_one_fold_is_as_without_folds() -> None:
    values = images([0.0, 0.1, 0.2], [1, 1, 1])
    found, plain = standing_by_folds(values), standing([np.stack(one) for one in values])
    assert np.allclose(found.means, plain.means)
    assert np.allclose(found.covariance, plain.covariance)


def test_a_network_of_some_folds_is_held_against_the_others_on_these() -> None:
    """By hand: the second is 1 better on the first fold, and has not seen the easy second one."""
    values = [[np.array([0.0, 2.0]), np.array([9.0, 9.0])], [np.array([1.0, 3.0])]]
    found = compared(values, [2, 2])
    assert found.mean(1).tolist() == [5.0, 6.0]
    assert found[1].tolist() == [1.0, 3.0, 10.0, 10.0]
    # Where it is ahead on one image and not on the other, these count twice.
    values[1] = [np.array([0.0, 4.0])]
    assert compared(values, [2, 2])[1].tolist() == [-1.0, 5.0, 10.0, 10.0]


def test_how_hard_a_fold_is_does_not_matter() -> None:
    values = images([0.0, 0.1, 0.05], [5, 5, 2])
    shifted = [[each + 7 * fold for fold, each in enumerate(one)] for one in values]
    leads = [standing_by_folds(each).lead(1, 2) for each in (values, shifted)]
    assert leads[0].mean == pytest.approx(leads[1].mean)
    assert leads[0].high == pytest.approx(leads[1].high)


@pytest.mark.parametrize("folds", [[5, 5, 5], [5, 5, 2], [3, 3, 1]])
def test_intervals_hold_the_truth_as_often_as_they_say(folds: list[int]) -> None:
    held = {0: 0, 2: 0}
    for seed in range(150):
        found = standing_by_folds(images([0.0, 0.1, 0.0], folds, seed))
        for other in held:
            lead = found.lead(1, other)
            held[other] += lead.low <= 0.1 <= lead.high
    assert all(0.88 <= each / 150 <= 1.0 for each in held.values()), held


def test_all_folds_say_more_than_one() -> None:
    widths = []
    for folds in (1, 2, 5):
        leads = [
            standing_by_folds(images([0.0, 0.1, 0.0], [folds] * 3, seed)).lead(1, 0)
            for seed in range(20)
        ]
        widths.append(np.mean([lead.high - lead.low for lead in leads]))
    assert widths[0] > widths[1] > widths[2]


def test_classes_count_alike_over_all_folds() -> None:
    values = images([0.0, 0.1], [2, 2])
    classes = [np.arange(len(each)) % 4 // 3 for each in values[0]]
    found = standing_by_folds(values, classes)
    assert found.order == [1, 0]
    assert (np.diag(found.covariance) > 0).all()


@pytest.mark.slow
def test_every_image_judges_every_finalist_once(
    digits: Path, digits_settings: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("search.study.final.GIVEN_UP", 0.0)
    config = config_of(
        *digits_settings, f"results_dir={tmp_path}", "dataset.folds=3", "sampler=random",
        "search.trials=2", "search.finalists=2", "search.final_epochs=1", "proxy.epochs=1",
        "search.references=[]", "search.controls=0", "workers.count=1",
    )  # fmt: skip
    study = run(config)
    data = load_data(config.dataset, config.proxy.resolution)
    assert data.folds is not None
    lines = [json.loads(line) for line in (study.path / "final.jsonl").read_text().splitlines()]
    assert len(lines) == 6
    sizes = [len(data.val), *np.bincount(data.folds.numpy())[1:].tolist()]
    found = sorted(
        len(read_outcomes(path).val_right) for path in (study.path / "finals").glob("*.npz")
    )
    assert found == sorted(2 * sizes)
    # Which fold follows from the replicate, and so from the seed.
    seeds = {
        derive_seed(config.seed, line["arch"], {"epochs": 1}, replicate)
        for line in lines
        for replicate in (1, 2, 3)
    }
    assert {line["seed"] for line in lines} == seeds
    chosen = study.baseline
    first = derive_seed(config.seed, str(chosen.arch), {"epochs": 1}, 1)
    [kept] = [line for line in lines if line["seed"] == first]
    assert kept["metrics"]["val_accuracy"] == chosen.metrics["val_accuracy"]

    # Interrupted after two of the six it comes to the same.
    whole = (study.path / "b0.yaml").read_text()
    text = (study.path / "final.jsonl").read_text().splitlines(keepends=True)
    (study.path / "final.jsonl").write_text("".join(text[:2]) + text[2][:20])
    (study.path / "b0.yaml").unlink()
    run(config)
    assert (study.path / "b0.yaml").read_text() == whole
    again = [json.loads(line) for line in (study.path / "final.jsonl").read_text().splitlines()]
    key = "metrics"
    assert sorted(str(line[key]) for line in again) == sorted(str(line[key]) for line in lines)
