"""Foreign weights: the same logits as in their own library, and what is refused."""

import argparse
import os
import pickle
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from safetensors.torch import save_file

from blocks.arch import ArchSpec, parse_arch
from blocks.cost import count
from blocks.errors import WeightsError
from blocks.network import Network
from blocks.weights.find import find_weights
from blocks.weights.fit import load_weights
from blocks.weights.read import read_state
from blocks.weights.rename import detect_source, from_foreign, to_foreign
from blocks.weights.write import write_state
from blocks.zoo import ZOO, find_arch
from tests.blocks.peers import PEERS, our_twin, random_peer
from tests.strategies import archs

SMALL = parse_arch("r16-s8-[ds_r1_k3_s1_e1_c8_se0.25|ir_r2_k5_s2_e3_c16]-h24")
LARGE_PARAMS = 15e6


def assert_same_logits(source: str, name: str, peer: str) -> None:
    torch.manual_seed(0)
    # Odd beside even: TensorFlow's padding differs from the symmetric only where sides are even.
    images = torch.randn(4, 3, 64, 65)
    theirs = random_peer(source, peer, images)
    ours = our_twin(source, name, theirs)
    with torch.inference_mode():
        expected, logits = theirs(images[:2]), ours(images[:2])
    assert expected.std() > 1e-3  # an answer, not a constant
    assert (logits - expected).abs().max() <= 1e-5
    state = theirs.state_dict()
    back = to_foreign(ours.state_dict(), ours.arch, source)
    assert set(back) == set(state)
    assert all(torch.equal(back[key], tensor) for key, tensor in state.items())
    # torchvision's ResNets and timm's have the same names.
    expected_source = "timm" if name.startswith("resn") else source
    assert detect_source(state, ours.arch) == expected_source


LIGHT = [peer for peer in PEERS if count(find_arch(peer[1])).params < LARGE_PARAMS]
HEAVY = [peer for peer in PEERS if peer not in LIGHT and not peer[1].startswith("tf_")]
"""The padding of TensorFlow's twins does not depend on how large a network is."""


@pytest.mark.parametrize(("source", "name", "peer"), LIGHT)
def test_logits_equal_the_peers(source: str, name: str, peer: str) -> None:
    assert_same_logits(source, name, peer)


@pytest.mark.slow
@pytest.mark.parametrize(("source", "name", "peer"), HEAVY)
def test_logits_of_large_networks_equal_the_peers(source: str, name: str, peer: str) -> None:
    assert_same_logits(source, name, peer)


def test_the_wrong_padding_is_another_network() -> None:
    images = torch.randn(2, 3, 64, 64)
    theirs = random_peer("timm", "tf_efficientnet_b0", images)
    ours = our_twin("timm", "tf_efficientnet_b0", theirs)
    symmetric = Network(replace(ours.arch, padding="symmetric")).eval()
    symmetric.load_state_dict(ours.state_dict())
    with torch.inference_mode():
        assert (ours(images) - theirs(images)).abs().max() <= 1e-5
        assert (symmetric(images) - theirs(images)).abs().max() > 1e-2


@pytest.mark.parametrize("name", ["efficientnet_b0", "efficientnet_lite0"])
def test_the_layout_of_efficientnet_pytorch_round_trips(name: str) -> None:
    arch = ZOO[name]
    state = Network(arch).state_dict()
    theirs = to_foreign(state, arch, "efficientnet_pytorch")
    assert "_blocks.0._depthwise_conv.weight" in theirs
    assert detect_source(theirs, arch) == "efficientnet_pytorch"
    assert from_foreign(theirs, arch, "efficientnet_pytorch").keys() == state.keys()


def test_a_part_that_a_layout_has_no_name_for() -> None:
    arch = replace(SMALL, global_residual=True)
    with pytest.raises(WeightsError, match="layout of timm has no name for global_residual"):
        to_foreign(Network(arch, 3).state_dict(), arch, "timm")


@pytest.mark.parametrize("suffix", [".pt", ".safetensors"])
def test_files_round_trip_in_every_layout(tmp_path: Path, suffix: str) -> None:
    network = Network(SMALL, 5)
    for source in ("compound_nas", "timm", "torchvision", "efficientnet_pytorch"):
        path = tmp_path / f"{source}{suffix}"
        write_state(to_foreign(network.state_dict(), SMALL, source), path)
        other = Network(SMALL, 5)
        assert load_weights(other, path) == source
        for name, tensor in network.state_dict().items():
            assert torch.equal(other.state_dict()[name], tensor), name


def test_a_checkpoint_is_unwrapped(tmp_path: Path) -> None:
    network = Network(SMALL, 5)
    state = {f"module.{name}": tensor for name, tensor in network.state_dict().items()}
    path = tmp_path / "checkpoint.pth"
    torch.save({"epoch": 3, "state_dict": state}, path)
    assert load_weights(Network(SMALL, 5), path) == "compound_nas"
    averaged = {f"_orig_mod.{name}": 2 * tensor for name, tensor in network.state_dict().items()}
    torch.save({"state_dict": state, "state_dict_ema": averaged, "optimizer": {}}, path)
    assert torch.equal(read_state(path)["stem.conv.weight"], 2 * network.stem.conv.weight)


def wrapped(network: Network) -> dict[str, object]:
    """One network's weights as training scripts leave them behind."""
    state = network.state_dict()
    averaged = torch.optim.swa_utils.AveragedModel(network)
    return {
        "timm": {
            "arch": "x",
            "args": argparse.Namespace(lr=0.1),
            "metric": np.float64(71.5),
            "state_dict": state,
        },
        "torchvision": {
            "model": {},
            "model_ema": averaged.state_dict(),
            "args": argparse.Namespace(),
        },
        "lightning": {"state_dict": {f"model.{name}": tensor for name, tensor in state.items()}},
        "compiled": {f"_orig_mod.module.{name}": tensor for name, tensor in state.items()},
        "deepspeed": {"module": state},
        "empty_ema": {"state_dict_ema": {}, "state_dict": state},
    }


@pytest.mark.parametrize(
    "script", ["timm", "torchvision", "lightning", "compiled", "deepspeed", "empty_ema"]
)
def test_checkpoints_of_training_scripts_load(tmp_path: Path, script: str) -> None:
    network = Network(SMALL, 5)
    torch.save(wrapped(network)[script], tmp_path / "checkpoint.pt")
    other = Network(SMALL, 5)
    load_weights(other, tmp_path / "checkpoint.pt")
    assert torch.equal(other.classifier.weight, network.classifier.weight)


@settings(max_examples=30)
@given(archs())
def test_our_own_weights_are_known_for_any_network(arch: ArchSpec) -> None:
    state = Network(arch, 3).state_dict()
    assert detect_source(state, arch) == "compound_nas"


def test_the_content_says_what_a_file_is(tmp_path: Path) -> None:
    save_file(Network(SMALL, 5).state_dict(), tmp_path / "named.bin")
    assert load_weights(Network(SMALL, 5), tmp_path / "named.bin") == "compound_nas"


@pytest.mark.parametrize(
    ("tensor", "kind"),
    [
        (torch.zeros(3, dtype=torch.int8), "a tensor of int8"),
        (torch.zeros(3).to_sparse(), "that is sparse"),
        (torch.zeros(3, dtype=torch.complex64), "a tensor of complex64"),
    ],
)
def test_odd_tensors_are_refused(tmp_path: Path, tensor: torch.Tensor, kind: str) -> None:
    torch.save({"weight": tensor}, tmp_path / "odd.pt")
    with pytest.raises(WeightsError, match=kind):
        read_state(tmp_path / "odd.pt")


class TouchesAFile:
    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> object:
        return os.mkdir, (str(self.path),)


def test_a_pickle_with_code_is_refused_and_not_run(tmp_path: Path) -> None:
    path, touched = tmp_path / "evil.pth", tmp_path / "touched"
    torch.save({"weight": TouchesAFile(touched)}, path)
    with pytest.raises(
        WeightsError, match=r"evil.pth is a pickle with code in it .*mkdir.*refused"
    ):
        read_state(path)
    with path.open("wb") as stream:
        pickle.dump(TouchesAFile(touched), stream)
    with pytest.raises(WeightsError, match=r"refused|not a weights file"):
        read_state(path)
    assert not touched.exists()


@pytest.mark.parametrize("suffix", [".pt", ".safetensors"])
@pytest.mark.parametrize("kept", [0, 10, 0.5, 0.99])
def test_a_truncated_file_is_one_line(tmp_path: Path, suffix: str, kept: float) -> None:
    path = tmp_path / f"cut{suffix}"
    write_state(Network(SMALL, 5).state_dict(), path)
    whole = path.read_bytes()
    path.write_bytes(whole[: int(kept * len(whole)) if kept < 1 else int(kept)])
    with pytest.raises(WeightsError, match=r"not a (weights|safetensors) file|truncated") as error:
        read_state(path)
    assert "\n" not in str(error.value)


def test_the_weights_of_another_network_name_the_first_mismatches(tmp_path: Path) -> None:
    path = tmp_path / "other.pt"
    wider = replace(SMALL, head=32)
    torch.save(Network(wider, 5).state_dict(), path)
    with pytest.raises(
        WeightsError,
        match=r"of another network than .*head.conv.weight is 32×16×1×1, expected 24×16×1×1",
    ):
        load_weights(Network(SMALL, 5), path)
    torch.save(Network(SMALL, 5).state_dict(), path)
    with pytest.raises(WeightsError, match=r"classifier.weight is 5×24, expected 7×24"):
        load_weights(Network(SMALL, 7), path)
    with pytest.raises(WeightsError, match=r"for its own number of classes: --num-classes 5"):
        load_weights(Network(SMALL, 7), path)
    stranger = tmp_path / "stranger.safetensors"
    save_file({"a": torch.zeros(1)}, stranger)
    with pytest.raises(WeightsError, match=r"has no tensor of r16.*, but a, …; expected a file of"):
        load_weights(Network(SMALL, 5), stranger)


def test_what_is_no_weights_file(tmp_path: Path) -> None:
    for name in ("gone.pt", "gone.safetensors"):
        with pytest.raises(WeightsError, match=rf"cannot read .*{name}: No such file"):
            read_state(tmp_path / name)
    for content in (b"<html>404</html>", b"\x93NUMPY", b"\x80\x04.", b"hello"):
        (tmp_path / "other.pt").write_bytes(content)
        with pytest.raises(WeightsError, match=r"other\.pt is truncated or not a weights file"):
            read_state(tmp_path / "other.pt")
    torch.save([1, 2], tmp_path / "list.pt")
    with pytest.raises(WeightsError, match="holds a list; expected named tensors"):
        read_state(tmp_path / "list.pt")
    torch.save({"a": 1}, tmp_path / "numbers.pt")
    with pytest.raises(WeightsError, match="holds no tensors"):
        read_state(tmp_path / "numbers.pt")
    with pytest.raises(WeightsError, match=r"expected \.safetensors, \.pt or \.pth"):
        write_state({}, tmp_path / "weights.h5")
    with pytest.raises(WeightsError, match=r"unknown source 'tim' \(did you mean 'timm'\?\)"):
        from_foreign({}, SMALL, "tim")


def test_packages_are_looked_into_by_name() -> None:
    with pytest.raises(WeightsError, match="no package 'not_installed' is installed"):
        find_weights("package:not_installed")
    with pytest.raises(WeightsError, match="holds 0 weights files"):
        find_weights("package:json")
    assert find_weights("some/file.pt") == Path("some/file.pt")
