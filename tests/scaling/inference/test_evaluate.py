"""How good a network is on labelled images of each kind, and what is written of it."""

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch

from scaling import evaluate
from scaling.compound import ScalingError
from scaling.inference.config import PredictConfig
from scaling.inference.evaluate import find_images
from scaling.inference.model import Model, read_model
from scaling.inference.written import write_evaluation
from tests.conftest import Refuse


def test_a_folder_a_table_and_arrays_agree(
    model: Model, digit_files: Path, digits: Path, study: Path, tmp_path: Path
) -> None:
    paths = sorted(digit_files.rglob("*.png"))
    table = tmp_path / "labels.csv"
    rows = [{"file": str(path), "label": f"{path.parent.name}"} for path in paths]
    pd.DataFrame(rows).to_csv(table, index=False)
    with np.load(digits) as arrays:
        np.savez(tmp_path / "some.npz", x_test=arrays["x_test"][:60], y_test=arrays["y_test"][:60])
    found = [
        evaluate(study / "b0.yaml", images, draws=20)
        for images in (digit_files, table, tmp_path / "some.npz")
    ]
    one, *others = ({n: f.value for n, f in each.judged.figures.items()} for each in found)
    for other in others:
        assert other == pytest.approx(one, abs=1e-6)
    names = write_evaluation(tmp_path / "out", model, found[0])
    assert {path.name for path in (tmp_path / "out").iterdir()} == set(names)
    content = json.loads((tmp_path / "out" / "evaluation.json").read_text())
    assert content["images"] == 60
    assert content["figures"]["accuracy"]["value"] == one["accuracy"]
    assert len(pd.read_csv(tmp_path / "out" / "classes.csv")) == 10


def test_a_study_is_judged_on_its_own_test_images(study: Path) -> None:
    for named in ((None, {"study": "main", "results_dir": str(study.parent)}), (study, {})):
        model, settings = named
        found = evaluate(model, draws=20, **settings)
        assert len(found.labelled) == 397
    assert found.labelled.sha256 is not None


def test_some_files_may_be_skipped(study: Path, digit_files: Path, tmp_path: Path) -> None:
    folder = tmp_path / "set"
    for number, path in enumerate(sorted(digit_files.rglob("*.png"))):
        copy = folder / path.parent.name / path.name
        copy.parent.mkdir(parents=True, exist_ok=True)
        copy.write_bytes(b"no image" if number == 7 else path.read_bytes())
    with pytest.raises(ScalingError, match="on_corrupt=skip"):
        evaluate(study, folder, draws=20)
    found = evaluate(study, folder, draws=20, on_corrupt="skip")
    assert (len(found.labelled), len(found.unread)) == (59, 1)


def test_several_labels_come_from_a_table(
    copied: Callable[..., Path], digit_files: Path, tmp_path: Path
) -> None:
    """Every digit has its own label, and `0` where it is even."""
    paths = sorted(digit_files.rglob("*.png"))
    rows = []
    for path in paths:
        digit = int(path.parent.name)
        rows.append({"file": str(path), "labels": f"{digit}" if digit % 2 else f"0;{digit}"})
    pd.DataFrame(rows).to_csv(tmp_path / "labels.csv", index=False)
    model = read_model(PredictConfig(), str(copied(task="multilabel", threshold=0.3)))
    labelled = find_images(model, str(tmp_path / "labels.csv"), "test", "folder")
    named = [row["labels"].split(";") for row in rows]
    expected = torch.tensor([[int(str(digit) in each) for digit in range(10)] for each in named])
    order = [paths.index(path) for path in labelled.paths or ()]
    assert torch.equal(labelled.labels.long(), expected[order])
    found = evaluate(model.source, tmp_path / "labels.csv", draws=20)
    assert set(found.judged.figures) >= {"map", "macro_f1", "calibration_error"}
    with pytest.raises(ScalingError, match="expected a table of labels"):
        evaluate(model.source, digit_files)


def test_the_split_that_is_asked_for_is_taken(
    model: Model, digit_files: Path, tmp_path: Path
) -> None:
    for part, count in (("train", 30), ("val", 20), ("test", 10)):
        for path in sorted(digit_files.rglob("*.png"))[:count]:
            copy = tmp_path / part / path.parent.name / path.name
            copy.parent.mkdir(parents=True, exist_ok=True)
            copy.write_bytes(path.read_bytes())
        assert len(find_images(model, str(tmp_path), part, "folder")) == count


def test_mistakes_are_one_line(
    refuse: Refuse, study: Path, digit_files: Path, tmp_path: Path
) -> None:
    b0 = str(study / "b0.yaml")
    assert "expected MODEL and images" in refuse("scaling", "evaluate", b0, "one", "two")
    alone = tmp_path / "alone.yaml"
    alone.write_text((study / "b0.yaml").read_text())
    (tmp_path / "b0.pt").write_bytes((study / "b0.pt").read_bytes())
    assert "on which images?" in refuse("scaling", "evaluate", str(alone))
    flat = str(digit_files / "0")
    assert "has no labels" in refuse("scaling", "evaluate", b0, flat)
    assert "part=holdout is unknown" in refuse("scaling", "evaluate", b0, flat, "part=holdout")
