"""The digits as image files, and the networks that look at them."""

import io
import shutil
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
import torch
import yaml
from PIL import Image

from blocks.export.onnx import export_onnx
from blocks.export.prepare import Meaning
from scaling.__main__ import main
from scaling.inference.config import PredictConfig
from scaling.inference.model import Model, read_model

Copy = Callable[..., Path]


@dataclass(frozen=True)
class Said:
    """What a command printed."""

    stdout: str
    stderr: str


Here = Callable[..., Said]


@pytest.fixture
def here(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Here:
    """`python -m scaling …` in this process, in an empty folder, which must end well."""

    def run(*words: str, stdin: bytes = b"") -> Said:
        monkeypatch.chdir(tmp_path)
        monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(stdin)))
        capsys.readouterr()
        main(list(words))
        said = capsys.readouterr()
        return Said(said.out, said.err)

    return run


@pytest.fixture(scope="session")
def digit_files(tmp_path_factory: pytest.TempPathFactory, digits: Path) -> Path:
    """The first 60 test digits as 8×8 PNG files, a folder per class."""
    root = tmp_path_factory.mktemp("digits") / "files"
    with np.load(digits) as arrays:
        x, y = arrays["x_test"][:60], arrays["y_test"][:60]
    for number, (image, label) in enumerate(zip(x, y, strict=True)):
        path = root / str(label) / f"{number:03}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(image).save(path)
    return root


@pytest.fixture(scope="session")
def model(study: Path) -> Model:
    """The B0 of the study of the digits."""
    return read_model(PredictConfig(), str(study / "b0.yaml"))


@pytest.fixture
def copied(study: Path, tmp_path: Path) -> Copy:
    """B0's file with other fields, beside its weights, in a folder of its own."""

    def copy(name: str = "other", **fields: object) -> Path:
        folder = tmp_path / name
        folder.mkdir()
        content = yaml.safe_load((study / "b0.yaml").read_text())
        shutil.copy(study / "b0.pt", folder)
        path = folder / "b0.yaml"
        path.write_text(yaml.safe_dump({**content, **fields}, width=10_000))
        return path

    return copy


@pytest.fixture(scope="session")
def onnx_file(model: Model, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("onnx") / "digits.onnx"
    assert model.network is not None
    meaning = Meaning(
        model.mean.flatten().tolist(), model.std.flatten().tolist(), model.classes,
        model.subject.reading, "multilabel", 0.2,
    )  # fmt: skip
    with torch.no_grad():
        export_onnx(model.network, path, meaning)
    return path
