"""About 2,000 damaged inputs of all readers, and what others have found, kept."""

import gzip
import io
import json
import struct
import zipfile
from pathlib import Path
from typing import Any

import hypothesis.strategies as st
import numpy as np
import pytest
import torch
import yaml
from hypothesis import given, settings

from blocks.arch import arch_from_mapping, arch_to_mapping, parse_arch
from blocks.console import as_one_line
from blocks.errors import ArchError, CompoundNasError, ExportError, WeightsError
from blocks.files import remove_durable
from blocks.images.decode import open_image
from blocks.images.npz import NPZ_DAMAGE, read_npy, read_npz
from blocks.loading import load
from blocks.subject import read_subject
from blocks.weights.read import read_state
from blocks.yaml_text import load_yaml
from search.config.arguments import as_typed
from search.config.schema import RunConfig
from search.data.torchvision_sets import load_fashion_mnist_full
from search.errors import DataError, StudyError
from search.record.archive import restore
from search.record.trials import read_records
from search.training.checkpoint import read_checkpoint, save_whole
from tests.fuzz.readers import READERS, SMALL, Reader, fault, input_of

INPUTS = 2000
SHARES = sum(each.share for each in READERS)


@pytest.mark.parametrize("reader", READERS, ids=lambda reader: reader.name)
def test_damaged_inputs_are_read_or_refused_in_a_line(reader: Reader, tmp_path: Path) -> None:
    made = reader.make(tmp_path)
    found = {}
    for number in range(max(1, round(INPUTS * reader.share / SHARES))):
        if (said := fault(input_of(made, reader.name, 1, number))) is not None:
            found[number] = said
    assert found == {}


@settings(max_examples=50)
@given(st.text())
def test_any_text_is_a_spelling_or_refused(text: str) -> None:
    with pytest.raises(ArchError):
        parse_arch(text)


@settings(max_examples=40)
@given(st.lists(st.text(), max_size=3))
def test_any_words_are_settings_or_refused(words: list[str]) -> None:
    assert fault(lambda: as_typed(words, RunConfig)) is None


ANYTHING = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)


@settings(max_examples=40)
@given(st.dictionaries(st.sampled_from([*arch_to_mapping(parse_arch(SMALL)), "x"]), ANYTHING))
def test_any_mapping_is_a_network_or_refused(mapping: dict[str, Any]) -> None:
    whole = {**arch_to_mapping(parse_arch(SMALL)), **mapping}
    assert fault(lambda: arch_from_mapping(whole)) is None


# What was found once


def test_a_message_is_one_line_whatever_is_quoted() -> None:
    quoted = "'a\rb\u2028c\x85d\n e' is not"
    assert len(as_one_line(quoted).splitlines()) == 1


def test_a_few_lines_of_yaml_do_not_stand_for_billions(tmp_path: Path) -> None:
    lines = ["a0: &a0 [x, x, x, x, x, x, x, x, x, x]"]
    lines += [f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 10)}]" for n in range(1, 12)]
    bomb = tmp_path / "b0.yaml"
    bomb.write_text("\n".join([*lines, f"arch: {SMALL}", "normalisation: *a11"]))
    with pytest.raises(ArchError, match="stand for more than 1,000,000 values"):
        read_subject(str(bomb))
    with pytest.raises(yaml.YAMLError, match="holds itself"):
        load_yaml("a: &a [*a]")
    assert load_yaml("a: &a [1, 2]\nb: *a") == {"a": [1, 2], "b": [1, 2]}
    for text in ("[" * 5000, "a: 2024-13-45", "a: !!int x", "{[1]: 2}"):
        with pytest.raises(yaml.YAMLError):
            load_yaml(text)


def npz_of(shape: tuple[int, ...], content: bytes) -> bytes:
    """An .npz whose only array says that it has this shape."""
    head = io.BytesIO()
    np.lib.format.write_array_header_1_0(
        head, {"descr": "|u1", "fortran_order": False, "shape": shape}
    )
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as packed:
        packed.writestr("x_train.npy", head.getvalue() + content)
    return file.getvalue()


def test_arrays_are_no_larger_than_their_file() -> None:
    whole = read_npz(io.BytesIO(npz_of((2, 3), bytes(6))))
    assert whole["x_train"].shape == (2, 3)
    for shape in ((10**6, 10**6), (2**40,), (10**30,)):
        with pytest.raises(ValueError, match="says that it has"):
            read_npz(io.BytesIO(npz_of(shape, bytes(100))))
    with zipfile.ZipFile(io.BytesIO(npz_of((4,), bytes(4)))) as packed:
        array = packed.read("x_train.npy")
    assert read_npy(array).shape == (4,)
    with pytest.raises(NPZ_DAMAGE):
        read_npy(array[:-2])


def test_a_zip_bomb_is_refused_by_its_list(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    bomb = npz_of((3 * 2**24,), bytes(3 * 2**24))
    assert len(bomb) < 100_000
    with monkeypatch.context() as patch:
        patch.setattr("blocks.images.npz._free_bytes", lambda: 2**24)
        with pytest.raises(ValueError, match="more than this machine has free"):
            read_npz(io.BytesIO(bomb))
    path = tmp_path / "x.pt"
    torch.save({"weight": torch.zeros(3 * 2**22)}, path)
    with zipfile.ZipFile(path) as old, zipfile.ZipFile(
        tmp_path / "y.pt", "w", zipfile.ZIP_DEFLATED
    ) as new:  # fmt: skip
        for entry in old.infolist():
            new.writestr(entry.filename, old.read(entry))
    assert read_state(path)["weight"].shape == (3 * 2**22,)
    with pytest.raises(WeightsError, match="which unpack to 50,"):
        read_state(tmp_path / "y.pt")


def test_an_archive_larger_than_the_disk_is_refused(tmp_path: Path) -> None:
    import tarfile

    head = {"format": 1, "study": "big", "files": {"config.yaml": [2**60, "0"]}}
    content = json.dumps(head).encode()
    with tarfile.open(tmp_path / "big.tar.gz", "w:gz") as tar:
        entry = tarfile.TarInfo("manifest.json")
        entry.size = len(content)
        tar.addfile(entry, io.BytesIO(content))
    with pytest.raises(StudyError, match="unpacks to 1,152,921,504,606,846,976 bytes"):
        restore(tmp_path / "big.tar.gz", str(tmp_path / "home"))
    assert list((tmp_path / "home").iterdir()) == []


def test_an_idx_file_is_as_long_as_it_says(tmp_path: Path) -> None:
    from search.config.schema import DatasetConfig

    head = b"\0\0\x08\x03" + struct.pack(">3i", 2**31 - 1, 2**31 - 1, 28)
    (tmp_path / "train-images-idx3-ubyte.gz").write_bytes(gzip.compress(head + bytes(100)))
    with pytest.raises(DataError, match="its head tells of"):
        load_fashion_mnist_full(
            DatasetConfig(name="fashion_mnist_full", root=str(tmp_path)), parse_arch(SMALL).image
        )


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"fidelity": {}}, "epochs"),
        ({"number": "1"}, "number is '1'"),
        ({"arch": "\ud800"}, "surrogates"),
        ({"metrics": {"val_loss": "x"}}, "val_loss is 'x'"),
        ({"cost": None}, "cost is None"),
        ({"seconds": {"train": True}}, "train is True"),
    ],
)
def test_a_record_of_other_types_is_no_record(
    tmp_path: Path, change: dict[str, Any], said: str
) -> None:
    line = {
        "number": 0, "arch": SMALL, "metrics": {"val_loss": 1.0}, "seed": 1, "versions": {},
        "cost": {"params": 1, "macs": 2, "flops_fvcore": 3, "activations": 4},
        "fidelity": {"epochs": 1}, "seconds": {"train": 1.0},
    }  # fmt: skip
    path = tmp_path / "trials.jsonl"
    path.write_text(json.dumps(line) + "\n")
    assert len(read_records(path)) == 1
    path.write_text(json.dumps({**line, **change}) + "\n")
    with pytest.raises(StudyError, match=said):
        read_records(path)


def test_numbers_beyond_a_float_are_refused() -> None:
    plain = arch_to_mapping(parse_arch(SMALL))
    with pytest.raises(ArchError, match="is not a number from"):
        arch_from_mapping({**plain, "norm_eps": 10**400})
    with pytest.raises(ArchError, match="expected a mapping"):
        arch_from_mapping({**plain, "stages": [3]})


def test_half_a_classifier_is_another_network(tmp_path: Path) -> None:
    state = load(SMALL, num_classes=10).state_dict()
    del state["classifier.bias"]
    torch.save(state, tmp_path / "x.pt")
    with pytest.raises(WeightsError, match="of another network"):
        load(SMALL, tmp_path / "x.pt", 10)


def test_a_flipped_bit_of_a_checkpoint_is_found_and_said(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    path = tmp_path / "0.pt"
    content = {"weight": torch.full((1000,), 0.25)}
    save_whole(content, path)
    whole = path.read_bytes()
    place = whole.index(struct.pack("<f", 0.25) * 4) + 2000
    path.write_bytes(whole[:place] + bytes([whole[place] ^ 1]) + whole[place + 1 :])
    with caplog.at_level("INFO", "compound_nas"):
        assert read_checkpoint(path) is None
    assert "0.pt is damaged" in caplog.text
    assert not path.exists()
    save_whole(content, path)
    assert torch.equal(read_checkpoint(path)["weight"], content["weight"])


def test_a_writer_that_was_killed_leaves_nothing(tmp_path: Path) -> None:
    save_whole({"weight": torch.zeros(2)}, tmp_path / "0.pt")
    (tmp_path / ".0.pt.partial").write_bytes(b"half of it")
    remove_durable(tmp_path / "0.pt")
    remove_durable(tmp_path / "0.pt")
    assert list(tmp_path.iterdir()) == []


def test_odd_headers_of_arrays_are_no_images(tmp_path: Path) -> None:
    (tmp_path / "x.npy").write_bytes(b"\x93NUMPY\x01\x00\x08\x00{'descr'")
    with pytest.raises(ExportError, match="cannot decode image"):
        open_image(tmp_path / "x.npy", ExportError)
    assert issubclass(ExportError, CompoundNasError)
