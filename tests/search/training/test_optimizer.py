"""The optimizers are PyTorch's, and a process that trains imports little."""

import subprocess
import sys

import pytest
import torch

from blocks.arch import parse_arch
from blocks.network import Network
from search.config.schema import ProxyConfig
from search.training.optimizer import build_optimizer
from tests.conftest import environment

ARCH = "r8-i1-s8-[ir_r1_k3_s1_e4_c8_se0.25]-h16"
HEAVY = ("torch._dynamo", "torchvision", "sympy", "scipy", "sklearn", "pandas", "optuna")
TRAINS = f"""
import sys
from pathlib import Path
import search.evaluators.executors.processes
from blocks.arch import parse_arch
from search.config.schema import DatasetConfig, ProxyConfig
from search.data.batches import prepare
from search.data.datasets import load_data
from search.training.train import train
batches = prepare(load_data(DatasetConfig("npz", sys.argv[1]), 8), 8)
train(parse_arch({ARCH!r}), 10, batches, ProxyConfig(resolution=8, kernels="torch"), 1, 0)
print(*[name for name in {HEAVY!r} if name in sys.modules])
"""


def test_a_process_that_trains_imports_little(digits: str) -> None:
    done = subprocess.run(
        [sys.executable, "-c", TRAINS, str(digits)],
        env=environment(), capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.stderr == ""
    assert done.stdout.split() == []


@pytest.mark.parametrize(
    ("name", "theirs"), [("adamw", torch.optim.AdamW), ("sgd", torch.optim.SGD)]
)
def test_they_step_as_pytorchs_do(name: str, theirs: type[torch.optim.Optimizer]) -> None:
    ends = []
    for plain in (False, True):
        torch.manual_seed(0)
        network = Network(parse_arch(ARCH), 10)
        proxy = ProxyConfig(resolution=8, optimizer=name)
        optimizer = build_optimizer(network, proxy)
        assert isinstance(optimizer, theirs)
        if plain:
            optimizer = theirs(optimizer.param_groups, fused=True)  # type: ignore[call-arg]
        for _ in range(3):
            optimizer.zero_grad()
            network(torch.randn(4, 1, 8, 8)).square().sum().backward()
            optimizer.step()
        ends.append(torch.cat([each.detach().flatten() for each in network.parameters()]))
        assert not any(each.requires_grad for each in optimizer.state_dict()["state"][0].values()
                       if isinstance(each, torch.Tensor))  # fmt: skip
    assert torch.equal(*ends)
