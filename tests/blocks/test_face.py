"""`from blocks import …`: what there is."""

from pathlib import Path

import pytest
import torch

import blocks
from blocks import ZOO, Network, count, load, parse_arch
from blocks.errors import ArchError
from blocks.weights.write import write_state

SMALL = "r16-i1-s8-[ds_r1_k3_s1_e1_c8]-h24"


def test_every_name_of_the_face_is_there() -> None:
    for name in blocks.__all__:
        assert getattr(blocks, name) is not None
    assert set(blocks.__all__) <= set(dir(blocks))
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        _ = blocks.nothing


def test_load_takes_names_spellings_and_architectures() -> None:
    for subject in (SMALL, parse_arch(SMALL)):
        network = load(subject, num_classes=7)
        assert not network.training
        assert network(torch.zeros(2, 1, 16, 16)).shape == (2, 7)
    parameters = load("mobilenetv3_small").parameters()
    assert sum(each.numel() for each in parameters) == count(ZOO["mobilenetv3_small"]).params
    with pytest.raises(ArchError):
        load("no such network")


def test_load_reads_the_weights_that_a_file_names(tmp_path: Path) -> None:
    network = Network(parse_arch(SMALL), 10).eval()
    write_state(network.state_dict(), tmp_path / "b0.pt")
    (tmp_path / "b0.yaml").write_text(f"arch: '{SMALL}'\nnum_classes: 10\nweights: b0.pt\n")
    images = torch.rand(2, 1, 16, 16)
    for loaded in (load(tmp_path / "b0.yaml"), load(SMALL, tmp_path / "b0.pt", 10)):
        assert torch.equal(loaded(images), network(images))
