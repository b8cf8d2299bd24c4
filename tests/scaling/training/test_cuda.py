"""What trains and uses a network on a CUDA device, the same on the CPU, as in
`tests/search/training/test_cuda.py`.
"""

from pathlib import Path

import pytest
import torch

from blocks.weights.read import read_state
from scaling import evaluate
from tests.scaling.training.conftest import LARGER, Train
from tests.scaling.training.test_resume import CutOff, tensors

DEVICES = ["cpu", pytest.param("cuda", marks=pytest.mark.cuda)]
RECIPE = {"name": "small", "epochs": 6, "batch_size": 128, "warmup_epochs": 1, "dropout": 0.1}

pytestmark = pytest.mark.parametrize("device", DEVICES)


@pytest.mark.parametrize("precision", ["fp32", "bf16", "fp16"])
def test_it_learns_and_answers_as_on_a_cpu(
    train_digits: Train, digits: Path, precision: str, device: str
) -> None:
    [trained] = train_digits(
        recipe=RECIPE, precision=precision, device=device, kernels="auto"
    ).trained
    assert trained.test["accuracy"]["value"] > 0.5
    said = [evaluate(trained.folder, digits, draws=20, device=on) for on in ("cpu", device)]
    accuracy = [each.judged.figures["accuracy"].value for each in said]
    assert accuracy[1] == pytest.approx(accuracy[0], abs=0.01)
    assert accuracy[0] == pytest.approx(trained.test["accuracy"]["value"], abs=0.01)


@pytest.mark.parametrize("precision", ["fp32", "fp16"])
def test_cut_off_and_gone_on_with(train_digits: Train, precision: str, device: str) -> None:
    recipe = {**RECIPE, "epochs": 2, "mixup": 0.2, "ema": 0.9, "drop_path": 0.2}
    settings = {"recipe": recipe, "precision": precision, "device": device}
    [whole] = train_digits(name="whole", **settings).trained
    for after in (3, 9):
        with pytest.raises(KeyboardInterrupt):
            train_digits(CutOff(after), name="cut", checkpoint_minutes=0, **settings)
    [resumed] = train_digits(name="cut", **settings).trained
    one, other = tensors(whole.folder), tensors(resumed.folder)
    assert one.keys() == other.keys()
    apart = [name for name in one if not torch.equal(one[name], other[name])]
    assert apart == []


def test_with_a_teacher(train_digits: Train, device: str) -> None:
    recipe = {**RECIPE, "epochs": 1}
    [teacher] = train_digits(name="teacher", network=LARGER, recipe=recipe, device=device).trained
    [student] = train_digits(
        name="student", teacher=str(teacher.folder), recipe=recipe, device=device
    ).trained
    assert all(
        value.isfinite().all()
        for value in read_state(student.folder / "model.safetensors").values()
    )


def test_too_little_memory(
    train_digits: Train, device: str, capsys: pytest.CaptureFixture[str]
) -> None:
    if device == "cpu":
        pytest.skip("of a CPU: tests/scaling/training/test_resume.py")
    whole = torch.cuda.get_device_properties(0).total_memory
    torch.cuda.empty_cache()
    held = torch.cuda.memory_reserved()
    torch.cuda.set_per_process_memory_fraction((held + 250e6) / whole)
    try:
        [found] = train_digits(
            recipe={**RECIPE, "epochs": 1, "batch_size": 1024}, resolution=96, device=device
        ).trained
    finally:
        torch.cuda.set_per_process_memory_fraction(1.0)
    assert "too little memory for 1024 images at once: from step 1 on" in capsys.readouterr().out
    assert found.test["accuracy"]["value"] > 0.1
