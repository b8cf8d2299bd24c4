"""The training loop, on the smallest real images."""

import itertools
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from blocks.arch import parse_arch, square
from blocks.drop_block import DropBlock
from blocks.network import Network
from search.config.schema import DatasetConfig, ProxyConfig
from search.data.batches import Batches, prepare
from search.data.datasets import load_data
from search.data.splits import ImageData
from search.errors import TrainingError
from search.evaluators.train import Job, run_job
from search.training.checkpoint import read_checkpoint
from search.training.schedule import macs_share, size_of, warmup_cosine
from search.training.train import train

ARCH = parse_arch("r8-i1-s16_s1-[ds_r1_k3_s2_e1_c16_se0.25|ir_r2_k3_s2_e3_c24]-h64")
PROXY = ProxyConfig(resolution=8, batch_size=64, flip=False, start_resolution=1.0)


@pytest.fixture(scope="module")
def data(digits: Path) -> ImageData:
    return load_data(DatasetConfig(root=str(digits)), 8)


@pytest.fixture(scope="module")
def batches(data: ImageData) -> Batches:
    return prepare(data, 8)


@pytest.mark.parametrize(("optimizer", "lr"), [("adamw", 0.02), ("sgd", 0.2)])
def test_it_learns_digits(batches: Batches, optimizer: str, lr: float) -> None:
    proxy = replace(PROXY, optimizer=optimizer, lr=lr, weight_decay=1e-3)
    result = train(ARCH, 10, batches, proxy, 4, seed=0)
    assert result.val_accuracy > 0.85
    assert result.train_loss[-1] < result.train_loss[0]


def test_same_seed_same_network(batches: Batches) -> None:
    proxy = replace(PROXY, dropout=0.2, drop_path=0.2, crop_padding=1, flip=True)
    first, second, other = (train(ARCH, 10, batches, proxy, 1, seed) for seed in (1, 1, 2))
    assert first.train_loss == second.train_loss
    assert first.val_loss == second.val_loss
    for ours, theirs in zip(first.network.parameters(), second.network.parameters(), strict=True):
        assert torch.equal(ours, theirs)
    assert first.val_loss != other.val_loss


def test_images_grow_over_the_epochs(batches: Batches, monkeypatch: pytest.MonkeyPatch) -> None:
    sides = [size_of(square(28), 0.5, epoch, 4).height for epoch in range(4)]
    assert sides == [14, 19, 23, 28]
    assert size_of(square(28), 0.5, 0, 1) == square(28)
    assert {size_of(square(28), 1.0, epoch, 4) for epoch in range(4)} == {square(28)}
    assert size_of(square(28), 0.01, 0, 4) == square(1)  # an image has a pixel
    share = macs_share(ProxyConfig(epochs=4, resolution=28, start_resolution=0.5))
    assert share == pytest.approx((14**2 + 19**2 + 23**2 + 28**2) / 4 / 28**2)
    assert macs_share(PROXY) == 1
    seen = []
    forward = Network.forward

    def watched(network: Network, x: torch.Tensor) -> torch.Tensor:
        seen.append((network.training, x.shape[-1]))
        return forward(network, x)

    monkeypatch.setattr(Network, "forward", watched)
    train(ARCH, 10, batches, replace(PROXY, start_resolution=0.5), 3, seed=0)
    assert list(dict.fromkeys(seen)) == [(True, 4), (True, 6), (True, 8), (False, 8)]


def test_drop_block_rises_to_its_probability(batches: Batches) -> None:
    proxy = replace(PROXY, drop_block=0.1, drop_block_size=3)
    result = train(ARCH, 10, batches, proxy, 2, seed=0)
    dropping = [m for m in result.network.modules() if isinstance(m, DropBlock)]
    assert [module.progress for module in dropping] == [1.0, 1.0, 1.0]
    without = train(ARCH, 10, batches, PROXY, 2, seed=0)
    assert result.train_loss[1] != without.train_loss[1]


def test_averaged_weights_are_judged_and_change_no_step(batches: Batches, tmp_path: Path) -> None:
    plain, averaged = (
        train(ARCH, 10, batches, replace(PROXY, ema=ema), 3, seed=0) for ema in (None, 0.9)
    )
    assert averaged.train_loss == plain.train_loss
    assert averaged.val_loss != plain.val_loss
    # With no memory at all the average is the last weights.
    last = train(ARCH, 10, batches, replace(PROXY, ema=1e-9), 3, seed=0)
    assert last.val_loss == pytest.approx(plain.val_loss, rel=1e-4)
    proxy, path = replace(PROXY, ema=0.9), tmp_path / "0.pt"
    for until in (1, 2, 3):
        piece = train(ARCH, 10, batches, proxy, 3, seed=0, until=until, checkpoint=path)
    assert (piece.val_accuracy, piece.val_loss) == (averaged.val_accuracy, averaged.val_loss)


@pytest.mark.parametrize("content", [b"", b"PK not a checkpoint", None])
def test_a_damaged_checkpoint_costs_time_and_nothing_else(
    batches: Batches, tmp_path: Path, content: bytes | None
) -> None:
    whole = train(ARCH, 10, batches, PROXY, 2, seed=0)
    path = tmp_path / "0.pt"
    train(ARCH, 10, batches, PROXY, 2, seed=0, until=1, checkpoint=path)
    path.write_bytes(path.read_bytes()[:-1000] if content is None else content)
    again = train(ARCH, 10, batches, PROXY, 2, seed=0, checkpoint=path)
    assert (again.train_loss, again.val_loss) == (whole.train_loss, whole.val_loss)


def test_no_damage_of_a_checkpoint_is_an_error(batches: Batches, tmp_path: Path) -> None:
    path = tmp_path / "0.pt"
    train(ARCH, 10, batches, PROXY, 2, seed=0, until=1, checkpoint=path)
    content, generator = path.read_bytes(), np.random.default_rng(0)
    kept = 0
    for _ in range(100):
        damaged = bytearray(content)
        for place in generator.integers(len(content), size=20):
            damaged[place] ^= int(generator.integers(1, 256))
        path.write_bytes(damaged)
        kept += read_checkpoint(path) is not None
        path.unlink(missing_ok=True)
    assert kept < 100


def test_memory_that_is_short_costs_no_checkpoint(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def short(*_: object, **__: object) -> None:
        raise RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried to allocate")

    path = tmp_path / "0.pt"
    torch.save({"a": 1}, path)
    with monkeypatch.context() as patch:
        patch.setattr(torch, "load", short)
        with pytest.raises(RuntimeError, match="allocate memory"):
            read_checkpoint(path)
    assert read_checkpoint(path) == {"a": 1}


def test_a_full_disk_is_no_failure_of_the_network(batches: Batches, tmp_path: Path) -> None:
    (tmp_path / ".0.pt.partial").symlink_to("/dev/full")
    with pytest.raises(OSError, match="No space left"):
        train(ARCH, 10, batches, PROXY, 2, seed=0, until=1, checkpoint=tmp_path / "0.pt")


def test_a_loss_that_explodes_is_a_nan_failure(batches: Batches) -> None:
    proxy = replace(PROXY, optimizer="sgd", lr=1e30)
    with pytest.raises(TrainingError) as failure:
        train(ARCH, 10, batches, proxy, 1, seed=0)
    assert failure.value.kind == "nan"


def test_a_network_that_ends_in_nan_is_no_result(batches: Batches) -> None:
    # One step: the training loss is from before it, and only the validation sees the damage.
    proxy = replace(PROXY, optimizer="sgd", lr=1e30, batch_size=10_000)
    with pytest.raises(TrainingError, match="the validation loss became nan"):
        train(ARCH, 10, batches, proxy, 1, seed=0)


def test_batch_norm_and_biases_are_not_decayed(batches: Batches) -> None:
    # A learning rate this small moves nothing by gradient; decay is lr·weight_decay = 0.9.
    proxy = replace(PROXY, optimizer="sgd", lr=1e-9, weight_decay=9e8, momentum=0.0)
    network = train(ARCH, 10, batches, proxy, 1, seed=0).network
    assert all(p.abs().max() < 1e-2 for p in network.parameters() if p.ndim > 1)
    norms = [m.weight for m in network.modules() if isinstance(m, torch.nn.BatchNorm2d)]
    assert all((weight - 1).abs().max() < 1e-3 for weight in norms)


def test_schedule_warms_up_and_falls_to_nothing() -> None:
    factors = [warmup_cosine(step, 100, 0.2) for step in range(101)]
    assert factors[0] == pytest.approx(1 / 20)
    assert max(factors) == factors[20] == 1
    assert factors[100] == pytest.approx(0)
    assert all(a >= b for a, b in itertools.pairwise(factors[20:]))


def test_a_job_measures_test_and_saves_weights(data: ImageData, tmp_path: Path) -> None:
    path = tmp_path / "b0.pt"
    job = Job(str(ARCH), 2, seed=3, test=True, save=str(path))
    done = run_job(job, data, PROXY)
    assert {"val_accuracy", "test_accuracy"} <= done.metrics.keys()
    weights = torch.load(path, weights_only=True)
    again = train(ARCH, 10, prepare(data, 8), PROXY, 2, seed=3).network.state_dict()
    assert all(torch.equal(weights[name], again[name]) for name in again)
    plain = run_job(replace(job, test=False, save=None), data, PROXY)
    assert "test_accuracy" not in plain.metrics
    assert plain.metrics["val_loss"] == done.metrics["val_loss"]
