"""Two processes of torchrun train the network that one trains."""

import subprocess
import sys
from pathlib import Path

import pytest
import torch
from torch import nn

from scaling.training.parallel import ALONE, SyncedNorm, World, with_synced_norm
from tests.conftest import environment
from tests.scaling.training.conftest import NETWORK


def test_alone_it_is_batch_norm() -> None:
    torch.manual_seed(0)
    plain = nn.Sequential(nn.Conv2d(2, 3, 1), nn.BatchNorm2d(3))
    synced = nn.Sequential(nn.Conv2d(2, 3, 1), nn.BatchNorm2d(3))
    synced.load_state_dict(plain.state_dict())
    with_synced_norm(synced)
    assert isinstance(synced[1], SyncedNorm)
    images = torch.randn(4, 2, 5, 5)
    assert torch.equal(synced(images), plain(images))


def test_parts_are_the_whole() -> None:
    values = torch.arange(7)
    parts = [World(rank, 3).part(values) for rank in range(3)]
    assert torch.equal(torch.cat(parts).sort().values, values)
    assert ALONE.part(values) is values
    assert ALONE.agreed(True)


@pytest.mark.slow
def test_two_processes_are_one(tmp_path: Path, digits: Path) -> None:
    settings = [
        *(NETWORK, "study=digits", "dataset=npz", f"dataset.root={digits}", "kernels=torch"),
        *("precision=fp32", "threads=1", "recipe.epochs=2", "recipe.batch_size=128", "device=cpu"),
        *("recipe.optimizer=sgd", "recipe.lr=0.05", "recipe.mixup=0.2"),
    ]
    for name, start in (
        ("one", ["-m", "scaling"]),
        ("two", ["-m", "torch.distributed.run", "--nproc-per-node=2", "-m", "scaling"]),
    ):
        done = subprocess.run(
            [sys.executable, *start, "train", *settings, f"name={name}"],
            cwd=tmp_path, env=environment(), capture_output=True, text=True, check=False,
            timeout=300,
        )  # fmt: skip
        assert done.returncode == 0, done.stdout + done.stderr
    assert "2 processes" in done.stdout
    assert done.stdout.count("epoch 2/2") == 1  # one of them speaks
    one, two = (
        torch.load(tmp_path / f"results/digits/trained/{name}/last.pt", weights_only=True)
        for name in ("one", "two")
    )
    for name, value in one["network"].items():
        torch.testing.assert_close(two["network"][name], value, rtol=1e-3, atol=1e-4)
    for name, value in one["average"].items():
        torch.testing.assert_close(two["average"][name], value, rtol=1e-3, atol=1e-4)
    first, second = (each["progress"]["history"][-1] for each in (one, two))
    assert first["train_loss"] == pytest.approx(second["train_loss"], rel=1e-4)
