"""Zero-cost scores by hand where a hand can, and on real networks and images elsewhere."""

import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from torch import Tensor, nn

from blocks.arch import ArchSpec, parse_arch
from blocks.cost import count
from blocks.network import Network
from search.assess.scores import verdict
from search.config.schema import DatasetConfig, WorkersConfig
from search.data.batches import prepare
from search.data.datasets import load_data
from search.data.splits import ImageData, Split
from search.errors import ConfigError, DataError, TrainingError
from search.evaluators.train import make_job, outcome
from search.evaluators.zero_cost import ZeroCostEvaluator, score_job
from search.record.trials import read_records
from search.training.zero_cost import (
    SCORES,
    draw_batch,
    grad_norm,
    naswot,
    score,
    swap,
    synflow,
    zico,
)
from tests.conftest import Cli, one_line_error
from tests.strategies import archs

ARCH = "r8-i1-s8-[ds_r1_k3_s1_e1_c8_se0.25|ir_r2_k3_s2_e3_c16]-h32"
KINDS = {
    "ir": ARCH,
    "er": "r8-s8-[er_r2_k3_s2_e2_c16_se0.5]-h32-nhs",
    "cn": "r8-i1-s8-[cn_r2_k3_s1_e1_c8_nr6|ir_r1_k3_s2_e4_c16_noskip]-h0-nre",
    "bt": "r8-s8-[bt_r2_k3_s2_e0.5_c16]-h0-nre",
    "bx": "r8-s8-[bx_r2_k3_s2_e0.5_c16_g2]-h16-nr6",
}


@pytest.fixture(scope="module")
def data(digits: Path) -> ImageData:
    return load_data(DatasetConfig(root=str(digits)), 8)


@pytest.fixture(scope="module")
def batch(data: ImageData) -> tuple[Tensor, Tensor]:
    return draw_batch(prepare(data, 8), 0)


def fit(images: Tensor, arch: ArchSpec) -> Tensor:
    """The images at the network's resolution, in as many channels."""
    images = F.interpolate(images, (arch.resolution,) * 2, mode="bilinear")
    return images.repeat(1, arch.in_channels, 1, 1)


def linear(weights: list[list[float]], *, bias: bool = False) -> nn.Linear:
    layer = nn.Linear(len(weights[0]), len(weights), bias=bias)
    layer.weight.data = torch.tensor(weights)
    return layer


def test_synflow_of_two_layers_by_hand() -> None:
    first, second = linear([[1.0, -2.0], [0.5, 0.0], [-1.0, 1.0]]), linear([[1.0, -4.0, 2.0]])
    # |W2|·|W1|·1 = 1·3 + 4·0.5 + 2·2 = 9, and both layers carry it.
    images, labels = torch.zeros(4, 2), torch.zeros(4, dtype=torch.long)
    for act in (nn.ReLU, nn.SiLU, nn.ReLU6, nn.Hardswish):
        network = nn.Sequential(first, act(inplace=True), second)
        assert synflow(network, images, labels) == pytest.approx(math.log(2 * 9))
        assert network[1].inplace


def test_synflow_of_a_deep_network_is_finite() -> None:
    # Its flow is past single precision, as EfficientNet-B7's 10¹⁷⁰ is.
    arch = parse_arch("r8-s48_s1-[ir_r30_k5_s1_e6_c48_se0.25]-h128")
    with torch.random.fork_rng():
        torch.manual_seed(0)
        network = Network(arch)
    value = synflow(network, torch.zeros(4, 3, 8, 8), torch.zeros(4, dtype=torch.long))
    assert math.log(1e38) < value < math.inf


def test_patterns_by_hand() -> None:
    """Units x and −x are active in three images and in the other one."""
    images, labels = torch.tensor([[1.0], [2.0], [-1.0], [3.0]]), torch.zeros(4, dtype=torch.long)
    for act in (nn.ReLU, nn.SiLU):
        network = nn.Sequential(linear([[1.0], [-1.0]]), act(inplace=True))
        # K holds 2 within the three images and within the one: |K + I| = (1 + 3·2)·(1 + 2).
        assert naswot(network, images, labels) == pytest.approx(math.log(21))
        assert swap(network, images, labels) == 2
        network[0] = linear([[1.0], [-1.0], [5.0]])  # a unit like another
        assert naswot(network, images, labels) == pytest.approx(math.log(10 * 4))
        assert swap(network, images, labels) == 2


@pytest.mark.parametrize("images", [5, 8, 17, 70])
def test_swap_counts_patterns_of_any_batch(images: int) -> None:
    generator = torch.Generator().manual_seed(0)
    fed = torch.randn(images, 300, generator=generator).repeat(1, 2)
    expected = len(np.unique((fed > 0).numpy(), axis=1).T)
    found = swap(nn.Sequential(nn.ReLU()), fed, torch.zeros(images, dtype=torch.long))
    assert found == expected
    assert expected == {5: 32}.get(images, expected)


def test_different_images_have_more_patterns_than_one_repeated(
    batch: tuple[Tensor, Tensor],
) -> None:
    images, labels = batch
    arch = parse_arch(ARCH)
    different = score(arch, 10, images, labels)
    half = score(arch, 10, torch.cat([images[:32], images[:32]]), labels)
    one = score(arch, 10, images[:1].expand_as(images), labels)
    assert different["naswot"] > half["naswot"] > one["naswot"]
    assert different["swap"] > half["swap"] > one["swap"]
    assert one["swap"] == 2  # a unit is active in all the equal images or in none


def by_hand(images: Tensor, labels: Tensor) -> Tensor:
    """Gradient of the loss by the zero weights of a linear classifier of two classes."""
    return (0.5 - F.one_hot(labels, 2).double()).T @ images.double() / len(images)


def test_gradients_by_hand() -> None:
    images = torch.tensor([[1.0, 0.0, 2.0], [3.0, 0.0, -1.0], [0.5, 0.0, 1.0], [1.0, 0.0, 4.0]])
    labels = torch.tensor([0, 1, 1, 1])
    network = nn.Sequential(linear([[0.0] * 3] * 2))
    expected = by_hand(images, labels).norm().item()
    assert grad_norm(network, images, labels) == pytest.approx(expected)
    halves = torch.stack([by_hand(images[:2], labels[:2]), by_hand(images[2:], labels[2:])])
    size = halves.abs().numpy()
    varying = size.std(0) > 0
    assert not varying[:, 1].any()
    ratios = size.mean(0)[varying] / size.std(0)[varying]
    assert zico(network, images, labels) == pytest.approx(math.log(ratios.sum()))


def test_grad_norm_is_autograds(batch: tuple[Tensor, Tensor]) -> None:
    torch.manual_seed(5)
    network = Network(parse_arch(ARCH), 10)
    found = grad_norm(network, *batch)
    assert all(parameter.grad is None for parameter in network.parameters())
    F.cross_entropy(network(batch[0]), batch[1]).backward()  # type: ignore[no-untyped-call]
    norms = [
        p.grad.norm().item() for p in network.parameters() if p.ndim > 1 and p.grad is not None
    ]
    assert found == pytest.approx(sum(norms))


@pytest.mark.parametrize("kind", KINDS)
def test_scores_follow_the_seed_and_nothing_else(batch: tuple[Tensor, Tensor], kind: str) -> None:
    arch = parse_arch(KINDS[kind])
    images, labels = fit(batch[0], arch), batch[1]
    torch.manual_seed(1)
    first = score(arch, 10, images, labels, seed=3)
    drawn = torch.rand(1)
    torch.manual_seed(1)
    assert torch.rand(1) == drawn
    backwards = score(arch, 10, images, labels, seed=3, names=list(SCORES)[::-1])
    assert backwards == first
    for name in SCORES:
        alone = score(arch, 10, images, labels, seed=3, names=[name])
        assert alone == {name: first[name], **{key: first[key] for key in ("params", "macs")}}
    other = score(arch, 10, images, labels, seed=4)
    # Counts of patterns of so few units may coincide.
    assert all(other[name] != first[name] for name in SCORES if name != "swap")
    cost = count(arch, 10)
    assert (first["params"], first["macs"]) == (cost.params, cost.macs)


@pytest.mark.parametrize("name", SCORES)
def test_weights_stay_as_they_were(batch: tuple[Tensor, Tensor], name: str) -> None:
    torch.manual_seed(0)
    network = Network(parse_arch(ARCH), 10)
    before = [parameter.clone() for parameter in network.parameters()]
    first = SCORES[name](network, *batch)
    for parameter, old in zip(network.parameters(), before, strict=True):
        assert torch.equal(parameter, old)
    for others in SCORES.values():
        others(network, *batch)
    assert SCORES[name](network, *batch) == first


@settings(max_examples=40)
@given(arch=archs())
def test_every_network_has_finite_scores(arch: ArchSpec) -> None:
    images, labels = REAL
    scores = score(arch, 10, fit(images, arch), labels)
    assert list(scores) == [*SCORES, "params", "macs"]
    assert all(math.isfinite(value) for value in scores.values())
    assert scores["swap"] >= 1
    assert scores["grad_norm"] > 0


def _digits() -> tuple[Tensor, Tensor]:
    from sklearn.datasets import load_digits

    bunch = load_digits()
    images = torch.from_numpy(bunch.images[:12, None]).float()
    return (images - images.mean()) / images.std(), torch.from_numpy(bunch.target[:12])


REAL = _digits()


def test_what_cannot_be_scored(batch: tuple[Tensor, Tensor]) -> None:
    images, labels = batch
    arch = parse_arch(ARCH)
    with pytest.raises(ConfigError, match="did you mean 'synflow'"):
        score(arch, 10, images, labels, names=["sinflow"])
    with pytest.raises(DataError, match="3 images are too few"):
        score(arch, 10, images[:3], labels[:3])
    with pytest.raises(TrainingError, match="grad_norm became nan") as failure:
        score(arch, 10, images * math.inf, labels, names=["grad_norm"])
    assert failure.value.kind == "nan"


def test_batches_are_of_the_training_split(data: ImageData) -> None:
    job = make_job(ARCH, 0, 0)
    expected = score_job(job, data, 0).metrics
    assert score_job(job, data, 1).metrics != expected
    # Other images to steer and to test by, none of which a score may see.
    black = Split(torch.zeros_like(data.val.images), data.val.labels)
    other = replace(data, val=black, test=black, sha256="other")
    assert score_job(job, other, 0).metrics == expected
    black = Split(torch.zeros_like(data.train.images), data.train.labels)
    other = replace(data, train=black, sha256="black")
    assert score_job(job, other, 0).metrics != expected


def test_the_evaluator_scores_in_its_workers(data: ImageData) -> None:
    jobs = [make_job(spelling, 0, 0) for spelling in (ARCH, KINDS["cn"])]
    with ZeroCostEvaluator(data, WorkersConfig(count=2), seed=7) as evaluator:
        futures = [evaluator.evaluate(job) for job in jobs]
        for job, future in zip(jobs, futures, strict=True):
            found = outcome(evaluator, job, future)
            here = score_job(job, data, 7)
            # ZiCo divides by small distances, which follow the number of threads.
            assert found.metrics == pytest.approx(here.metrics, rel=1e-3)
            assert found.cost == count(parse_arch(job.arch), 10)
            assert found.seconds["scores"] > 0
        with pytest.raises(TrainingError, match="channels") as failure:
            evaluator.evaluate(make_job(KINDS["er"], 0, 0)).result()  # RGB, and the images grey
        assert failure.value.kind == "error"


@pytest.mark.slow
def test_the_command_goes_on_and_refuses(
    cli: Cli, tmp_path: Path, digits_settings: list[str]
) -> None:
    cli("search", "run", *digits_settings, "search.final_epochs=1")
    shown = cli("search", "scores").stdout
    assert "val accuracy" in shown
    assert "of params and macs" in shown
    study = tmp_path / "results" / "main"
    table = pd.read_csv(study / "scores.csv")
    trials = {record.number: record for record in read_records(study / "trials.jsonl")}
    assert list(table["trial"]) == sorted(trials)
    assert set(SCORES) <= set(table.columns)
    for row in table.to_dict("records"):
        assert trials[row["trial"]].arch == row["arch"]
        assert row["macs"] == count(parse_arch(row["arch"]), 10).macs
    lines = (study / "scores.jsonl").read_text().splitlines(keepends=True)
    assert len(lines) == 6

    # One line is lost, another torn: both are scored again, to the same numbers.
    (study / "scores.jsonl").write_text("".join(lines[:4]) + lines[4][:50])
    cli("search", "scores")
    again = (study / "scores.jsonl").read_text().splitlines(keepends=True)
    assert again[:4] == lines[:4]
    assert len(again) == 6
    pd.testing.assert_frame_equal(pd.read_csv(study / "scores.csv"), table)

    kept = (study / "trials.jsonl").read_text()
    (study / "trials.jsonl").write_text("".join(kept.splitlines(keepends=True)[:4]))
    refused = one_line_error(cli("search", "scores", check=None))
    assert "has 4 trained architectures; expected 5 or more" in refused
    assert "no study" in one_line_error(cli("search", "scores", "study=none", check=None))


@pytest.fixture
def table() -> pd.DataFrame:
    generator = np.random.default_rng(0)
    accuracy = generator.uniform(size=40)
    columns = {name: generator.normal(size=40) for name in SCORES}
    params = accuracy + generator.normal(size=40)
    return pd.DataFrame(
        {"val_accuracy": accuracy, "params": params, "macs": params + 1.0, **columns}
    )


def test_the_verdict_names_what_beats_counting(table: pd.DataFrame) -> None:
    assert verdict(table).startswith("no score is better than params (rho 0.")
    table["macs"] = table["val_accuracy"] + np.tile([0.0, 0.5], 20)
    assert verdict(table).startswith("no score is better than macs (rho 0.")
    table["swap"] = table["val_accuracy"] ** 3
    table["zico"] = -table["val_accuracy"]
    assert verdict(table).startswith("better than macs (rho 0.")
    assert "swap by 0." in verdict(table)
    assert "zico" not in verdict(table)
    table["params"] = table["macs"] = 7
    assert "rank nothing" in verdict(table)
