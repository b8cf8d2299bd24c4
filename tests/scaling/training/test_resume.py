"""A training that is cut off anywhere ends as the one that is not, to the last bit."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
import torch

from blocks.weights.read import read_state
from scaling.training.checkpoint import LAST
from scaling.training.loop import Unwatched
from search.errors import StudyError, TrainingError
from tests.conftest import environment
from tests.scaling.training.conftest import NETWORK, Train

WHOLE_BATCHES = {
    "name": "small", "epochs": 3, "batch_size": 256, "warmup_epochs": 1, "ema": 0.9, "dropout": 0.2,
    "drop_path": 0.2, "drop_block": 0.1, "rand_augment": 5, "mixup": 0.2, "cutmix": 1.0,
    "start_resolution": 0.5, "erasing": 0.3, "patience": 9,
}  # fmt: skip
ONE_BY_ONE = {
    "name": "timm", "epochs": 2, "batch_size": 256, "lr": 0.005, "start_regularisation": 0.5,
}  # fmt: skip


class CutOff(Unwatched):
    """Interrupts after a step, as Ctrl-C does."""

    def __init__(self, after: int) -> None:
        self.after = after

    def step(self, done: int) -> None:
        if done == self.after:
            raise KeyboardInterrupt


def tensors(folder: Path) -> dict[str, torch.Tensor]:
    """Everything that a checkpoint holds in tensors, by where it stands."""
    found: dict[str, torch.Tensor] = {}

    def collect(content: Any, where: str) -> None:
        if isinstance(content, torch.Tensor):
            found[where] = content
        elif isinstance(content, dict):
            for name, value in content.items():
                collect(value, f"{where}/{name}")

    collect(torch.load(folder / LAST, weights_only=True), "")
    return found


def same(one: Path, other: Path) -> None:
    first, second = tensors(one), tensors(other)
    assert len(first) > 100
    assert first.keys() == second.keys()
    assert [name for name in first if not torch.equal(first[name], second[name])] == []
    best = [read_state(path / "model.safetensors") for path in (one, other)]
    assert [name for name in best[0] if not torch.equal(best[0][name], best[1][name])] == []
    logs = [(path / "log.csv").read_text().splitlines() for path in (one, other)]
    without_seconds = [[line.rpartition(",")[0] for line in log] for log in logs]
    assert without_seconds[0] == without_seconds[1]


@pytest.mark.parametrize(
    ("recipe", "steps"),
    [(WHOLE_BATCHES, (1, 4, 9)), (ONE_BY_ONE, (3,))],
    ids=["whole batches", "one by one"],
)
def test_cut_off_within_epochs(
    train_digits: Train, recipe: dict[str, Any], steps: tuple[int, ...]
) -> None:
    [whole] = train_digits(name="whole", recipe=recipe).trained
    for after in steps:  # each time from where the last one was cut off
        with pytest.raises(KeyboardInterrupt):
            train_digits(CutOff(after), name="cut", recipe=recipe, checkpoint_minutes=0)
    [resumed] = train_digits(name="cut", recipe=recipe).trained
    same(whole.folder, resumed.folder)


def test_what_is_trained_is_not_trained_again_and_others_are_refused(train_digits: Train) -> None:
    recipe = {"name": "small", "epochs": 1, "batch_size": 256}
    [first] = train_digits(recipe=recipe).trained
    before = (first.folder / LAST).stat().st_mtime_ns
    [again] = train_digits(recipe=recipe).trained
    assert again.content == first.content
    assert (first.folder / LAST).stat().st_mtime_ns == before
    other = {**recipe, "lr": 0.01}
    with pytest.raises(StudyError, match=r"other settings \(recipe\.lr 0\.02 → 0\.01\); expected"):
        train_digits(recipe=other)
    with pytest.raises(StudyError, match="seed 0 → 1"):
        train_digits(recipe=recipe, seed=1)
    [anew] = train_digits(recipe=other, fresh=True).trained
    assert anew.content["recipe"]["lr"] == 0.01


def test_a_finished_training_without_its_checkpoint_is_not_overwritten(
    train_digits: Train,
) -> None:
    [trained] = train_digits(recipe={"epochs": 1}).trained
    (trained.folder / "last.pt").unlink()
    before = (trained.folder / "model.safetensors").read_bytes()
    with pytest.raises(StudyError, match=r"holds a trained network, but no last\.pt"):
        train_digits(recipe={"epochs": 2})
    assert (trained.folder / "model.safetensors").read_bytes() == before


def test_a_loss_that_is_no_number_names_its_step(train_digits: Train, tmp_path: Path) -> None:
    recipe = {"name": "small", "epochs": 2, "optimizer": "sgd", "lr": 1e12, "batch_size": 256}
    with pytest.raises(TrainingError, match=r"became (nan|inf) in step (\d) \(epoch 1, lr .*"):
        train_digits(name="nan", recipe=recipe, checkpoint_minutes=0)
    folder = tmp_path / "results/digits/trained/nan"
    kept = torch.load(folder / LAST, weights_only=True)["progress"]
    assert kept["step"] == len(kept["losses"]) >= 1
    assert torch.tensor(kept["losses"]).isfinite().all()
    assert not (folder / "model.yaml").exists()


def test_it_ends_where_nothing_gets_better(train_digits: Train) -> None:
    recipe = {"name": "small", "epochs": 9, "lr": 0.0, "patience": 2, "batch_size": 256, "ema": 0.0}
    [found] = train_digits(recipe=recipe).trained
    # Batch norm's statistics alone change, so that an early epoch is the best.
    trained = found.content["trained"]
    assert trained["epochs"] == trained["best_epoch"] + 2 < 9


def test_parts_of_a_batch_have_its_gradient(train_digits: Train) -> None:
    """With group normalisation, to which an image is the same in any batch."""
    network = NETWORK.replace("-h64", "-h64-gn8")
    recipe = {"name": "small", "epochs": 1, "batch_size": 256, "optimizer": "sgd", "clip": 1.0}
    ends = []
    for parts in (1, 3):
        [found] = train_digits(
            name=f"parts{parts}", network=network, recipe={**recipe, "accumulate": parts}
        ).trained
        ends.append(tensors(found.folder))
    for name, value in ends[0].items():
        torch.testing.assert_close(ends[1][name], value, rtol=1e-3, atol=1e-5)


def command(digits: Path, *settings: str) -> list[str]:
    return [
        *(sys.executable, "-m", "scaling", "train", NETWORK, "study=digits", "dataset=npz"),
        *(f"dataset.root={digits}", "kernels=torch", "precision=fp32", "threads=1", *settings),
    ]


@pytest.mark.slow
def test_killed(tmp_path: Path, digits: Path) -> None:
    settings = ["recipe.epochs=3", "recipe.batch_size=128", "recipe.dropout=0.1"]
    killed = 0
    last = tmp_path / "results/digits/trained/cut" / LAST
    for wanted in (2, 11):
        process = subprocess.Popen(
            command(digits, *settings, "name=cut", "checkpoint_minutes=0"),
            cwd=tmp_path, env=environment(), stdout=subprocess.DEVNULL,
        )  # fmt: skip
        while process.poll() is None:
            if last.exists():
                step = torch.load(last, weights_only=True)["progress"]["step"]
                if step >= wanted:
                    os.kill(process.pid, signal.SIGKILL)
                    process.wait()
            time.sleep(0.002)
        killed += process.returncode == -signal.SIGKILL
    assert killed == 2
    for name in ("cut", "whole"):
        subprocess.run(
            command(digits, *settings, f"name={name}"), cwd=tmp_path, env=environment(), check=True
        )
    same(last.parent, last.parent.with_name("whole"))


LIMITED = """
import resource, sys
resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, 100_000))
from scaling.__main__ import main
main(sys.argv[1:])
"""


@pytest.mark.slow
def test_no_room_for_a_checkpoint(tmp_path: Path, digits: Path) -> None:
    words = command(digits, "recipe.epochs=2", "recipe.batch_size=256")[3:]
    done = subprocess.run(
        [sys.executable, "-c", LIMITED, *words],
        cwd=tmp_path, env=environment(), capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 2
    [line] = done.stderr.strip().splitlines()
    assert "no room for the checkpoint" in line
    assert "last.pt" in line


STARVED = """
import resource, sys
from scaling.training.loop import Training
apply = Training._apply
def starved(self, images, labels):
    if self.progress.step == 0 and self.progress.parts == 1:
        size = int(open("/proc/self/statm").read().split()[0]) * resource.getpagesize()
        resource.setrlimit(resource.RLIMIT_AS, (size + 400_000_000, resource.RLIM_INFINITY))
    else:  # address space is not given back, so that half of the batch may find none either
        resource.setrlimit(resource.RLIMIT_AS, (resource.RLIM_INFINITY,) * 2)
    return apply(self, images, labels)
Training._apply = starved
from scaling.__main__ import main
main(sys.argv[1:])
"""


@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc/self/statm").exists(), reason="Linux says how much it has")
def test_too_little_memory(tmp_path: Path, digits: Path) -> None:
    """The process really runs out: its address space is bounded at its first step."""
    words = command(digits, "resolution=64", "recipe.epochs=1", "recipe.batch_size=1024")[3:]
    done = subprocess.run(
        [sys.executable, "-c", STARVED, *words],
        cwd=tmp_path, env=environment(), capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    assert "too little memory for 1024 images at once: from step 1 on" in done.stdout
    folder = next((tmp_path / "results/digits/trained").iterdir())
    content = torch.load(folder / LAST, weights_only=True)
    assert content["progress"]["parts"] > 1
    assert json.loads(content["key"])["recipe.accumulate"] == 1
