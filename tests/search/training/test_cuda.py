"""What runs on a CUDA device, the same on the CPU: so that it is known to work but for the device.

`python -m pytest -m cuda` runs these on a device alone; `bash .ci/gpu` runs them, and measures.
"""

import json
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from blocks.arch import parse_arch
from blocks.cost import count
from blocks.latency.measure import measure_latency
from blocks.network import Network
from search.config.schema import DatasetConfig, ProxyConfig
from search.config.settled import SettledWorkers
from search.data.batches import prepare
from search.data.datasets import load_data
from search.evaluators.train import TrainEvaluator, make_job
from search.training.device import autocast, place, step_seconds
from search.training.train import train
from tests.conftest import Cli

DEVICES = ["cpu", pytest.param("cuda", marks=pytest.mark.cuda)]
ARCH = parse_arch("r8-i1-s16_s1-[ds_r1_k3_s2_e1_c16_se0.25|ir_r2_k3_s2_e3_c24]-h64")
PROXY = ProxyConfig(resolution=8, batch_size=64, flip=False, start_resolution=1.0, precision="fp32")
EVERY_KIND = [
    "r32-s16-[ds_r1_k3_s1_e1_c16_se0.25|ir_r2_k5_s2_e6_c24|er_r1_k3_s2_e4_c32]-h64",
    "r32-s16_k7_mp-[bt_r2_k3_s1_e0.25_c32|bx_r1_k3_s2_e0.5_c64_g4]-h0-nre",
]

pytestmark = pytest.mark.parametrize("device", DEVICES)


@pytest.mark.parametrize("spelling", EVERY_KIND)
def test_logits_and_gradients_are_those_of_the_cpu(spelling: str, device: str) -> None:
    torch.manual_seed(0)
    network = Network(parse_arch(spelling), 10).eval()
    images = torch.randn(3, 3, 32, 32)

    def answers(on: str) -> tuple[torch.Tensor, torch.Tensor]:
        placed = place(network, PROXY, on)
        network.zero_grad()
        logits = placed(images.to(on))
        logits.logsumexp(1).sum().backward()
        weight = next(placed.parameters())
        assert weight.grad is not None
        return logits.detach().cpu(), weight.grad.cpu().clone()

    tf32 = torch.backends.cudnn.allow_tf32
    torch.backends.cudnn.allow_tf32 = False  # the default, and three digits
    try:
        expected, found = answers("cpu"), answers(device)
    finally:
        torch.backends.cudnn.allow_tf32 = tf32
    for one, other in zip(expected, found, strict=True):
        torch.testing.assert_close(other, one, rtol=1e-3, atol=1e-4 * float(one.abs().max()))


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_it_learns(digits: Path, precision: str, device: str, tmp_path: Path) -> None:
    proxy = replace(PROXY, precision=precision, dropout=0.1)
    batches = prepare(load_data(DatasetConfig(root=str(digits)), 8), 8)
    whole = train(ARCH, 10, batches, proxy, 4, seed=0, device=device)
    assert whole.val_accuracy > 0.85
    path = tmp_path / "0.pt"
    for until in (2, 4):
        piece = train(
            ARCH, 10, batches, proxy, 4, seed=0, until=until, checkpoint=path, device=device
        )
    assert piece.val_loss == pytest.approx(whole.val_loss, rel=0.05)


def test_with_all_that_makes_a_training_harder(digits: Path, device: str) -> None:
    proxy = replace(
        PROXY, flip=True, crop_padding=1, rand_augment=2, cutout=2, mixup=0.2, cutmix=1.0,
        dropout=0.1, drop_path=0.1, drop_block=0.1, drop_block_size=3, ema=0.9,
        start_resolution=0.75,
    )  # fmt: skip
    batches = prepare(load_data(DatasetConfig(root=str(digits)), 8), 8)
    result = train(ARCH, 10, batches, proxy, 3, seed=0, device=device)
    assert result.val_accuracy > 0.3
    assert all(0 < loss < 5 for loss in result.train_loss)


def test_an_evaluator_of_two_processes(digits: Path, device: str) -> None:
    data = load_data(DatasetConfig(root=str(digits)), 8)
    with TrainEvaluator(data, PROXY, SettledWorkers(count=2, device=device)) as evaluator:
        jobs = [replace(make_job(str(ARCH), 2, 0, each), test=True) for each in range(2)]
        found = [future.result() for future in [evaluator.evaluate(job) for job in jobs]]
    for evaluation in found:
        assert evaluation.cost == count(ARCH, 10)
        assert evaluation.metrics["test_accuracy"] > 0.5


def test_a_search_with_a_pruner(
    cli: Cli, tmp_path: Path, digits_settings: list[str], device: str
) -> None:
    settings = [each for each in digits_settings if not each.startswith("workers.device")]
    further = ["search.pruner=asha", "objective=loss", "proxy.epochs=3", f"workers.device={device}"]
    cli("search", "run", "study=one", *settings, *further)
    lines = (tmp_path / "results" / "one" / "trials.jsonl").read_text().splitlines()
    assert len(lines) == 6
    assert all("metrics" in json.loads(line) for line in lines)
    assert (tmp_path / "results" / "one" / "b0.yaml").exists()


def test_a_step_and_a_latency_are_measured(device: str) -> None:
    seconds = step_seconds(ARCH, 10, PROXY, device)
    assert all(0 < each < 60 for each in seconds.values())
    latency = measure_latency(Network(ARCH, 10), device=device, seconds=1.0)
    assert 0 < latency.p5_ms <= latency.median_ms <= latency.p95_ms


def test_autocast_is_of_the_device(device: str) -> None:
    network = place(Network(ARCH, 10), replace(PROXY, precision="bf16"), device)
    with autocast("bf16", device):
        assert network(torch.zeros(2, 1, 8, 8, device=device)).dtype == torch.bfloat16
