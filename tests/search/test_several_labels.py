"""Searches on images that have two labels each: two pictures side by side."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch
import yaml
from numpy.typing import NDArray
from sklearn.metrics import average_precision_score

from blocks.arch import parse_arch
from blocks.embedded import __file__ as embedded
from search.config.quality import SEVERAL
from search.config.schema import DatasetConfig, ProxyConfig
from search.data.batches import prepare
from search.data.datasets import load_data
from search.study.race import quality_values
from search.training.evaluate import all_logits, evaluate
from search.training.label_metrics import LabelScores
from search.training.outcomes import outcomes_of, read_outcomes
from search.training.train import train
from tests.conftest import Cli, Refuse

ARCH = "r{}-i1-s8-[ds_r1_k3_s1_e1_c8|ir_r1_k3_s2_e3_c16|ir_r1_k3_s2_e3_c24]-h64"


def pairs(
    images: NDArray[np.uint8], labels: NDArray[np.int64], count: int, seed: int
) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    """Two random images, each of half its width, side by side; 1 for each of both classes."""
    chosen = np.random.default_rng(seed).integers(0, len(images), (2, count))
    beside = np.concatenate([images[each][:, :, ::2] for each in chosen], 2)
    both = np.zeros((count, 10), np.uint8)
    for each in chosen:
        both[np.arange(count), labels[each]] = 1
    return beside, both


def write_pairs(source: Path, path: Path, train_images: int, test_images: int) -> Path:
    with np.load(source) as found:
        arrays = dict(found)
    x, y = pairs(arrays["x_train"], arrays["y_train"], train_images, 0)
    x_test, y_test = pairs(arrays["x_test"], arrays["y_test"], test_images, 1)
    names = np.array([f"kind {number}" for number in range(10)])
    np.savez(path, x_train=x, y_train=y, x_test=x_test, y_test=y_test, classes=names)
    return path


@pytest.fixture(scope="module")
def two_digits(digits: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_pairs(digits, tmp_path_factory.mktemp("pairs") / "pairs.npz", 400, 150)


def test_a_training_is_judged_by_what_scikit_learn_says(two_digits: Path, tmp_path: Path) -> None:
    config = DatasetConfig(name="npz", root=str(two_digits))
    data = load_data(config, 8, several=True)
    batches = prepare(data, 8)
    proxy = ProxyConfig(resolution=8, batch_size=32, cutmix=1.0, crop_padding=0, kernels="torch")
    result = train(parse_arch(ARCH.format(8)), 10, batches, proxy, 1, 0)
    logits = all_logits(result.network, batches, data.test).detach()
    truth = data.test.labels
    found = evaluate(result.network, batches, data.test)
    assert isinstance(found, LabelScores)
    theirs = average_precision_score(truth.numpy(), logits.numpy(), average="macro")
    assert found.map == pytest.approx(theirs)
    loss = torch.nn.functional.binary_cross_entropy_with_logits(logits, truth.float())
    assert found.loss == pytest.approx(loss.item(), rel=1e-5)
    assert result.val.metrics("val")["val_threshold"] == found.threshold
    # What is kept of each image says the same.
    outcomes_of(result.network, batches).save(tmp_path / "outcomes.npz")
    kept = read_outcomes(tmp_path / "outcomes.npz")
    assert kept.test_right.mean() == pytest.approx(found.accuracy)
    known = data.test.labels.numpy()
    for name, reached in (("map", found.map), ("macro_f1", found.macro_f1)):
        values = quality_values(
            SEVERAL[name], kept.test_right, kept.test_answer, known, kept.test_score
        )
        assert values.mean() == pytest.approx(reached)


@pytest.mark.slow
def test_a_search_by_map(
    cli: Cli, tmp_path: Path, two_digits: Path, digits_settings: list[str]
) -> None:
    settings = [
        *[each for each in digits_settings if not each.startswith(("budget.", "workers.count"))],
        *("study=two", f"dataset.root={two_digits}", "task=multilabel", "budget.target=60k"),
        *("search.trials=2", "workers.count=1", "search.finalists=2", "search.final_seeds=1"),
        *("search.final_epochs=1", "search.controls=1"),
    ]
    done = cli("search", "run", *settings)
    said = done.stdout + done.stderr
    study = tmp_path / "results" / "two"
    for words in (
        "10 labels",
        "objective loss of mAP",
        "  val mAP 0.",
        "at the threshold 0.",
        "below a linear probe on raw pixels, test mAP 0.",
        "same proxy: val mAP",
    ):
        assert words in said, said
    b0 = yaml.safe_load((study / "b0.yaml").read_text())
    assert b0["task"] == "multilabel"
    assert b0["threshold"] == b0["final"]["val_threshold"]
    assert 0 < b0["final"]["test_map"] < 1
    assert "val_map" in (study / "pareto.csv").read_text().splitlines()[0]
    said = cli("blocks", "export", str(study / "b0.yaml"), "--images", str(two_digits)).stdout
    assert "no top-1: an image of this network may have several labels" in said


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ("search.metric=map", "search.metric=map is not of task=classes; expected accuracy, bal"),
        (
            "task=multilabel search.metric=accuracy",
            "search.metric=accuracy is not of task=multilabel; expected map, macro_f1 or loss",
        ),
        ("task=multilabel proxy.balanced_batches=true", "expected proxy.class_weights=balanced"),
        ("task=multilabel proxy.class_weights=effective", "expected none or balanced"),
        ("task=multilabel space=tiny evaluator=supernet", "does not do task=multilabel yet"),
        ("task=multilabel", "dataset=fashion_mnist has one class for each image"),
        ("task=many", "task"),
    ],
)
def test_what_does_not_go_together_is_refused(refuse: Refuse, settings: str, message: str) -> None:
    assert message in refuse("search", "run", *settings.split())


def test_a_network_learns_both_labels(tmp_path: Path) -> None:
    """Two pieces of clothing side by side: one in five of all labels is there, by chance."""
    source = Path(embedded).parent / "fashion_mnist_6000_2000.npz"
    path = write_pairs(source, tmp_path / "pairs.npz", 2000, 500)
    data = load_data(DatasetConfig(name="npz", root=str(path)), 28, several=True)
    batches = prepare(data, 28)
    proxy = ProxyConfig(flip=False)
    result = train(parse_arch(ARCH.format(28)), 10, batches, proxy, 5, 0)
    found = evaluate(result.network, batches, data.test)
    assert isinstance(found, LabelScores)
    assert data.test.labels.double().mean().item() == pytest.approx(0.19, abs=0.01)
    assert found.map > 0.6
    assert found.macro_f1 > 0.55


@pytest.mark.slow
def test_what_follows_a_search_is_judged_by_map(
    cli: Cli, tmp_path: Path, two_digits: Path, digits_settings: list[str]
) -> None:
    settings = [
        *(*digits_settings, "study=two", f"dataset.root={two_digits}", "task=multilabel"),
        *("search.trials=6", "proxy.batch_size=16", "search.finalists=2", "search.final_seeds=1"),
        *("search.zero_cost=10", "proxy.class_weights=balanced", "workers.count=1"),
    ]
    cli("search", "run", *settings)
    study = tmp_path / "results" / "two"
    for name in ("front", "status"):
        assert "val mAP" in cli("search", name, "study=two").stdout
    assert "labels an image:" in cli("search", "data", *settings).stdout
    fidelity = ["fidelity.architectures=5", "fidelity.repeated=1", "fidelity.seeds=2"]
    cli("search", "fidelity", *settings, *fidelity)
    assert json.loads((study / "fidelity.json").read_text())["metric"] == "mAP"
    assert "mAP" in cli("search", "plan", *settings).stdout
    assert "mAP" in cli("search", "scores", "study=two").stdout
    grid = ["method=grid", "grid.step=0.5", "grid.tolerance=1"]
    assert "val mAP 0." in cli("scaling", "fit", "study=two", *grid).stdout
    fit = cli("scaling", "fit", "study=two", "fit.points=12", "fit.repeated=2", "fit.seeds=2")
    assert "points of mAP" in fit.stdout
    compare = ["compare.ratios=[4]", "compare.seeds=2", "compare.random=0"]
    assert "test mAP" in cli("scaling", "compare", "study=two", *compare).stdout
    sizes = ["resolution.percents=[100,150]", "resolution.train=true"]
    assert "test mAP" in cli("scaling", "resolution", "study=two", *sizes).stdout
    b0 = yaml.safe_load((study / "b0.yaml").read_text())
    rows = json.loads((study / "scaling" / "resolution.json").read_text())["sizes"]
    [own] = [row for row in rows if row["percent"] == 100]
    assert own["test_map"] == pytest.approx(b0["final"]["test_map"])
    assert own["low"] < own["test_map"] < own["high"]
