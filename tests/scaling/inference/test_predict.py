"""What a trained network says of images, whatever it is read from."""

import csv
import io
import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import onnx
import pytest
import torch
from onnx import helper
from PIL import Image

from blocks.errors import ExportError
from scaling import predict
from scaling.inference.answers import ask
from scaling.inference.config import PredictConfig
from scaling.inference.face import class_columns
from scaling.inference.model import Model, read_model
from scaling.inference.sources import open_source
from tests.conftest import Refuse
from tests.scaling.inference.conftest import Here


def answers_of(model: Model, paths: list[Path], **options: object) -> torch.Tensor:
    return torch.cat([each.found for each in ask(model, paths, **options)])  # type: ignore[arg-type]


def test_a_line_of_json_for_each_image(here: Here, study: Path, digit_files: Path) -> None:
    home = ["study=main", f"results_dir={study.parent}"]
    said = here("predict", *home, str(digit_files), "top=3")
    lines = [json.loads(line) for line in said.stdout.splitlines()]
    assert [line["file"] for line in lines] == sorted(map(str, digit_files.rglob("*.png")))
    for line in lines:
        assert len(line["top"]) == 3
        assert next(iter(line["top"].items())) == (line["class"], line["probability"])
    right = sum(Path(line["file"]).parent.name == line["class"] for line in lines)
    table = predict(None, digit_files, study="main", results_dir=str(study.parent))
    assert table["class"].tolist() == [line["class"] for line in lines]
    assert right > 12  # chance: 6 of 60
    assert table[list("0123456789")].sum(axis=1).tolist() == pytest.approx([1.0] * 60, abs=1e-5)


def test_standard_input_is_paths_or_an_image(here: Here, study: Path, digit_files: Path) -> None:
    some = sorted(digit_files.rglob("*.png"))[:3]
    listed = "".join(f"{path}\n" for path in some)
    said = here("predict", str(study), "-", "format=csv", "top=1", stdin=listed.encode())
    rows = list(csv.reader(io.StringIO(said.stdout)))
    assert rows[0] == ["file", "class_1", "probability_1"]
    assert [row[0] for row in rows[1:]] == list(map(str, some))
    with open_source("-", io.BytesIO(some[0].read_bytes())) as (paths, _):
        [path] = paths
        assert path.name == "-"
        assert path.read_bytes() == some[0].read_bytes()
    with open_source("-", io.BytesIO(b"one line without an end")) as (paths, _):
        assert list(paths) == [Path("one line without an end")]


def test_batches_change_nothing(model: Model, digit_files: Path) -> None:
    paths = sorted(digit_files.rglob("*.png"))
    whole = answers_of(model, paths)
    for batch in (1, 7):
        assert torch.allclose(answers_of(model, paths, batch=batch), whole, atol=1e-6)


def test_an_onnx_file_gives_the_same_answers(
    model: Model, onnx_file: Path, digit_files: Path
) -> None:
    onnx = read_model(PredictConfig(), str(onnx_file))
    assert (onnx.classes, onnx.subject.reading) == (model.classes, model.subject.reading)
    assert (onnx.subject.task, onnx.threshold) == ("multilabel", 0.2)
    paths = sorted(digit_files.rglob("*.png"))
    single = replace(onnx, subject=replace(onnx.subject, task="classes"))
    assert torch.allclose(answers_of(single, paths), answers_of(model, paths), atol=1e-5)


def test_several_labels_are_those_over_the_threshold(
    copied: Callable[..., Path], digit_files: Path
) -> None:
    path = copied(task="multilabel", threshold=0.4)
    table = predict(path, digit_files)
    for _, row in table.iterrows():
        assert row["labels"] == [name for name in "0123456789" if row[name] >= 0.4]
    all_of_them = predict(path, digit_files, threshold=1e-6)
    assert all(len(labels) == 10 for labels in all_of_them["labels"])


def test_an_unreadable_file_is_named(
    here: Here, refuse: Refuse, study: Path, tmp_path: Path
) -> None:
    folder = tmp_path / "photos"
    folder.mkdir()
    Image.new("L", (9, 9), 80).save(folder / "a.png")
    (folder / "b.png").write_bytes(b"\x89PNG no more")
    (folder / "notes.txt").write_text("hello")
    refused = refuse("scaling", "predict", str(study), "photos")
    assert "photos/b.png" in refused
    assert "on_corrupt=skip" in refused
    said = here("predict", str(study), "photos", "on_corrupt=skip")
    assert [json.loads(line)["file"] for line in said.stdout.splitlines()] == ["photos/a.png"]
    assert "photos/b.png" in said.stderr
    assert "1 no reader for .txt" in said.stderr


def test_what_was_trained_wins(study: Path, tmp_path: Path, copied: Callable[..., Path]) -> None:
    """trained/b0/model.yaml over b0.yaml of the same study."""
    config = PredictConfig(study="main", results_dir=str(study.parent))
    assert read_model(config).source == study / "b0.yaml"
    made = copied("study")
    trained = tmp_path / "results" / "other" / "trained" / "b0"
    trained.mkdir(parents=True)
    (trained / "model.yaml").write_text(made.read_text())
    (trained / "b0.pt").write_bytes((made.parent / "b0.pt").read_bytes())
    config = PredictConfig(study="other", results_dir=str(tmp_path / "results"))
    assert read_model(config).source == trained / "model.yaml"


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ([], "predict of nothing: expected MODEL"),
        (["nothing.yaml", "."], "there is no nothing.yaml"),
        (["efficientnet_b0", "."], "efficientnet_b0 has no weights"),
        (["efficientnet_b9", "."], "unknown network 'efficientnet_b9'"),
        (["study=none", "."], "none"),
        (["{b0}", "missing"], "there is no missing"),
        (["{b0}", "."], "holds no images"),
        (["{b0}", ".", "tpo=3"], "unknown setting 'tpo' (did you mean 'top'?)"),
        (["{b0}", ".", "top=0"], "top=0 is too few"),
        (["{b0}", ".", "top=many"], "top=many"),
        (["{b0}", ".", "format=xml"], "format=xml is unknown; expected jsonl or csv"),
        (["{b0}", ".", "threshold=2"], "threshold=2.0 is not a probability"),
        (["{b0}", ".", "mean=[0.5]"], "expected both, or neither"),
        (["{b0}", ".", "--top"], "--top is not a setting"),
        (["{pt}", "."], "is no network by itself"),
        (["study=main", "results_dir={home}", "member=b7", "."], "has no trained member 'b7'"),
    ],
)
def test_mistakes_are_one_line(refuse: Refuse, study: Path, words: list[str], message: str) -> None:
    names = {"b0": study / "b0.yaml", "pt": study / "b0.pt", "home": study.parent}
    assert message in refuse("scaling", "predict", *(word.format(**names) for word in words))


def test_a_foreign_onnx_file_is_refused(tmp_path: Path) -> None:
    graph = helper.make_graph(
        [helper.make_node("Identity", ["image"], ["logits"])], "same",
        [helper.make_tensor_value_info("image", 1, [1, 4])],
        [helper.make_tensor_value_info("logits", 1, [1, 4])],
    )  # fmt: skip
    made = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)
    onnx.save(made, tmp_path / "foreign.onnx")
    with pytest.raises(ExportError, match="says nothing of its network"):
        read_model(PredictConfig(), str(tmp_path / "foreign.onnx"))


def test_a_class_called_file_has_a_column_of_its_own() -> None:
    own = ("file", "class", "probability")
    assert class_columns(("cat", "dog"), own) == ["cat", "dog"]
    names = ("file", "probability of file", "class", "cat")
    columns = class_columns(names, own)
    assert columns == [
        "probability of probability of file", "probability of file", "probability of class", "cat",
    ]  # fmt: skip
    assert len({*columns, *own}) == len(columns) + len(own)
