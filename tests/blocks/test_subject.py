"""What a command line may name: a published network, a spelling, a file."""

from pathlib import Path

import pytest

from blocks.errors import ArchError
from blocks.subject import read_subject
from blocks.zoo import ZOO

SMALL = "r16-i1-s8-[ds_r1_k3_s1_e1_c8]-h24"


def test_names_spellings_and_files(tmp_path: Path) -> None:
    assert read_subject("efficientnet_b0").arch == ZOO["efficientnet_b0"]
    assert read_subject(SMALL, 7).num_classes == 7
    path = tmp_path / "b0.yaml"
    path.write_text(
        f"arch: '{SMALL}'\nnum_classes: 10\nweights: b0.pt\n"
        "normalisation: {mean: [0.25], std: [0.5]}\n"
    )
    subject = read_subject(str(path))
    assert (subject.name, str(subject.arch), subject.num_classes) == ("b0", SMALL, 10)
    assert subject.weights == tmp_path / "b0.pt"
    assert (subject.mean, subject.std) == ((0.25,), (0.5,))


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("", "has no field 'arch'"),
        ("arch: 3", "has no field 'arch'"),
        ("arch: [", "is not YAML"),
        ("arch: r8", r"b0\.yaml: cannot read architecture 'r8'"),
        (f"arch: '{SMALL}'\nnum_classes: many", "num_classes 'many' is not a whole number"),
        (f"arch: '{SMALL}'\nnum_classes: 0", "num_classes 0 is not a whole number"),
        (f"arch: '{SMALL}'\nnormalisation: 0.5", "normalisation 0.5 is not a mapping"),
        (f"arch: '{SMALL}'\nnormalisation: {{std: [1, 2]}}", r"normalisation.std \[1, 2\]"),
        (f"arch: '{SMALL}'\nnormalisation: {{std: [0]}}", r"std \[0\] is not a list of 1 positive"),
        (f"arch: '{SMALL}'\nnormalisation: {{mean: [.nan]}}", r"mean \[nan\] is not a list of 1"),
        (f"arch: '{SMALL}'\nweights: 5", "weights 5 is not the name of a file"),
        ("date: 2024-13-45", "is not YAML"),
    ],
)
def test_what_is_no_such_file(tmp_path: Path, content: str, message: str) -> None:
    path = tmp_path / "b0.yaml"
    path.write_text(content)
    with pytest.raises(ArchError, match=message):
        read_subject(str(path))
