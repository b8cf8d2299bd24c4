"""Where and in which number format networks train."""

from dataclasses import replace
from pathlib import Path

import pytest
import torch

from blocks.arch import parse_arch
from blocks.layers import ConvNormAct
from blocks.network import Network
from search.config.change import changed
from search.config.schema import DatasetConfig, ProxyConfig
from search.data.batches import prepare
from search.data.datasets import load_data
from search.errors import ConfigError
from search.record.folder import StudyFolder
from search.space.budget import cost_budget
from search.space.choices import build_space
from search.space.members import SpaceCandidates
from search.training.device import autocast, place, resolve_device, settle_device, step_seconds
from search.training.train import train
from tests.search.config.test_checks import config_of

ARCH = parse_arch("r8-i1-s16_s1-[ds_r1_k3_s2_e1_c16_se0.25|ir_r2_k3_s2_e3_c24]-h64")
PROXY = ProxyConfig(resolution=8, batch_size=64, flip=False, start_resolution=1.0)
no_cuda = pytest.mark.skipif(torch.cuda.is_available(), reason="there is a CUDA device")


@no_cuda
def test_without_a_cuda_device() -> None:
    assert resolve_device("auto") == resolve_device("cpu") == "cpu"
    with pytest.raises(ConfigError, match=r"workers\.device=cuda: .* expected cpu"):
        resolve_device("cuda")


def test_bfloat16_trains_with_float32_depthwise(digits: Path) -> None:
    proxy = replace(PROXY, precision="bf16")
    network = place(Network(ARCH, 10), proxy, "cpu")
    seen = {}
    for name, module in network.named_modules():
        if isinstance(module, ConvNormAct):
            module.conv.register_forward_hook(
                lambda conv, _, out, name=name: seen.update({name: (conv.groups, out.dtype)})
            )
    network.train()
    with autocast("bf16", "cpu"):
        network(torch.randn(4, 1, 8, 8)).sum().backward()
    assert {dtype for groups, dtype in seen.values() if groups > 1} == {torch.float32}
    assert {dtype for groups, dtype in seen.values() if groups == 1} == {torch.bfloat16}
    assert all(p.grad is not None and p.grad.dtype == torch.float32 for p in network.parameters())
    batches = prepare(load_data(DatasetConfig(root=str(digits)), 8), 8)
    results = [
        train(ARCH, 10, batches, replace(PROXY, precision=each), 3, seed=0)
        for each in ("fp32", "bf16", "bf16")
    ]
    assert results[1].val_loss == results[2].val_loss != results[0].val_loss
    assert results[1].val_accuracy > 0.85


def test_precision_is_measured_once_a_study(tmp_path: Path) -> None:
    config = config_of(f"results_dir={tmp_path}")
    budget = cost_budget(config)
    candidates = SpaceCandidates(build_space(config.space, 28, 1, 10, budget), budget, 10)
    folder = StudyFolder(config.results_dir, config.study)
    threads = torch.get_num_threads()
    state = torch.get_rng_state()
    device, precision = settle_device(config, candidates, 5000, folder)
    assert precision in ("fp32", "bf16")
    assert device == resolve_device("auto")
    assert torch.get_num_threads() == threads
    assert torch.equal(torch.get_rng_state(), state)
    stored = config_of(f"results_dir={tmp_path}", "proxy.precision=bf16", "workers.device=cpu")
    folder.open(stored)
    assert settle_device(config, candidates, 5000, folder) == ("cpu", "bf16")
    same = changed(config, {"proxy.precision": "bf16", "workers.device": "cpu"})
    folder.open(same)  # no difference
    if not torch.cuda.is_available():
        other = StudyFolder(config.results_dir, "elsewhere")
        other.open(replace(stored, workers=replace(stored.workers, device="cuda")))
        with pytest.raises(ConfigError, match="elsewhere trains on cuda, but PyTorch sees no"):
            settle_device(config, candidates, 5000, other)


def test_a_batch_is_no_larger_than_the_images(tmp_path: Path) -> None:
    config = config_of(f"results_dir={tmp_path}", "proxy.batch_size=1000000000")
    budget = cost_budget(config)
    candidates = SpaceCandidates(build_space(config.space, 28, 1, 10, budget), budget, 10)
    assert settle_device(config, candidates, 16)[1] in ("fp32", "bf16")


def test_a_step_is_timed_in_both() -> None:
    seconds = step_seconds(ARCH, 10, PROXY, "cpu")
    assert set(seconds) == {"fp32", "bf16"}
    assert all(0 < each < 60 for each in seconds.values())
