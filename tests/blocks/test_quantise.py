"""int8 of a Lite network that was trained, on images that it has not seen."""

import argparse
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import onnx
import pytest
import torch

from blocks.arch import parse_arch
from blocks.commands import export as command
from blocks.errors import ExportError
from blocks.export.onnx import export_onnx, run_onnx
from blocks.export.prepare import Meaning
from blocks.export.safetensors import save_safetensors
from blocks.images.batches import Images
from blocks.images.read import read_images
from blocks.network import Network
from blocks.quantise import (
    CALIBRATION_IMAGES,
    Int8Report,
    is_lite,
    quantise,
    quantise_network,
    split_calibration,
    time_by_turns,
)
from blocks.zoo import ZOO
from search.config.schema import DatasetConfig, ProxyConfig
from search.data.batches import prepare
from search.data.datasets import load_data
from search.training.evaluate import evaluate
from search.training.train import train

LITE = parse_arch("r28-i1-s16-[ds_r1_k3_s1_e1_c16|ir_r1_k3_s2_e4_c48|ir_r1_k5_s2_e4_c96]-h1024-nr6")


class Quantised:
    """A network, trained for a moment, in both precisions."""

    def __init__(self, folder: Path) -> None:
        data = load_data(DatasetConfig("fashion_mnist"), LITE.resolution)
        batches = prepare(data, LITE.resolution)
        self.network = train(LITE, 10, batches, ProxyConfig(flip=False), 1, seed=0).network
        self.search_accuracy = evaluate(self.network, batches, batches.test).accuracy
        moments = {"mean": (batches.mean.item() / 255,), "std": (batches.std.item() / 255,)}
        self.test = read_images(None, LITE, 10, **moments)
        training = read_images(None, LITE, 10, part="train", **moments)
        self.calibration, self.measured = split_calibration(self.test, training)
        self.float_path, self.int8_path = folder / "lite.onnx", folder / "lite.int8.onnx"
        self.report: Int8Report = quantise_network(
            self.network, self.float_path, self.int8_path, self.calibration, self.measured
        )


@pytest.fixture(scope="module", autouse=True)
def one_thread() -> Iterator[None]:
    """Networks as small as these only wait for a second thread, on a busy machine for minutes."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.fixture(scope="module")
def quantised(tmp_path_factory: pytest.TempPathFactory) -> Quantised:
    return Quantised(tmp_path_factory.mktemp("int8"))


def test_int8_loses_little(quantised: Quantised) -> None:
    report = quantised.report
    assert report.images == 2000
    assert report.calibration_images == CALIBRATION_IMAGES
    assert report.float_accuracy > 0.7
    assert report.gain > -0.02
    assert report.agreement > 0.95


def test_the_images_are_those_of_the_search(quantised: Quantised) -> None:
    """Read by two packages, normalised by each: the same accuracy to the last image."""
    assert quantised.report.float_accuracy == quantised.search_accuracy


def test_the_file_is_int8(quantised: Quantised) -> None:
    report = quantised.report
    assert report.int8_bytes < 0.4 * report.float_bytes
    model = onnx.load(quantised.int8_path)
    onnx.checker.check_model(model, full_check=True)
    kinds = Counter(node.op_type for node in model.graph.node)
    convolutions = Counter(node.op_type for node in onnx.load(quantised.float_path).graph.node)[
        "Conv"
    ]
    assert kinds["QuantizeLinear"] > convolutions
    assert kinds["DequantizeLinear"] > 2 * convolutions
    weights = [each for each in model.graph.initializer if len(each.dims) >= 2]
    assert len(weights) == convolutions + 1  # and the classifier
    assert {each.data_type for each in weights} == {onnx.TensorProto.INT8}
    depthwise = next(each for each in model.graph.initializer if list(each.dims) == [16, 1, 3, 3])
    scale = next(
        each
        for each in model.graph.initializer
        if each.name == depthwise.name.replace("_quantized", "_scale")
    )
    assert list(scale.dims) == [16]  # one for each channel
    notes = {entry.key: entry.value for entry in model.metadata_props}
    assert parse_arch(notes["arch"]) == LITE


def test_its_batch_size_is_dynamic(quantised: Quantised) -> None:
    images = quantised.test.load(3)
    three = run_onnx(quantised.int8_path, images)
    one = run_onnx(quantised.int8_path, images[1:2])
    torch.testing.assert_close(one, three[1:2], rtol=0, atol=1e-5)


def test_both_are_timed(quantised: Quantised) -> None:
    middle, low, high = quantised.report.latency_ratio
    assert 0 < low <= middle <= high
    times = time_by_turns(quantised.float_path, quantised.int8_path, quantised.test.load(1))
    for own in times:
        assert len(own) == 100
        assert (own > 0).all()


def test_the_command_measures_int8(
    quantised: Quantised, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    whole = tmp_path / "lite.safetensors"
    test = quantised.test
    save_safetensors(
        quantised.network, whole, Meaning(test.mean.ravel().tolist(), test.std.ravel().tolist())
    )
    parser = argparse.ArgumentParser()
    command.configure(parser)
    arguments = ["--int8", "--to", "safetensors", "--output", str(tmp_path / "out")]
    command.run(parser.parse_args([str(whole), *arguments]))
    names = {"lite.safetensors", "lite.onnx", "lite.int8.onnx"}
    assert {path.name for path in (tmp_path / "out").iterdir()} == names
    printed = capsys.readouterr().out
    report = quantised.report
    assert f"top-1 fp32 {report.float_accuracy:.4f}, int8 " in printed
    assert "2,000 images of the embedded Fashion-MNIST (x_test), calibrated with 256" in printed
    assert "not a Lite network" not in printed


def images_of(path: Path, count: int, labelled: bool = True) -> Images:
    pixels = np.arange(count * 64, dtype=np.uint8).reshape(count, 8, 8)
    labels = {"labels": np.zeros(count, np.int64)} if labelled else {}
    np.savez(path, images=pixels, **labels)
    return read_images(path, LITE, 10)


@pytest.mark.parametrize(("count", "calibrating"), [(2, 1), (5, 2), (900, CALIBRATION_IMAGES)])
def test_one_set_is_parted(count: int, calibrating: int, tmp_path: Path) -> None:
    images = images_of(tmp_path / "all.npz", count)
    calibration, measured = split_calibration(images, images)
    assert (len(calibration), len(measured)) == (calibrating, count - calibrating)
    assert set(calibration.numbers).isdisjoint(measured.numbers)
    assert {*calibration.numbers, *measured.numbers} == set(range(count))


def test_another_set_calibrates(tmp_path: Path) -> None:
    images, training = (images_of(tmp_path / f"{name}.npz", 400) for name in ("test", "train"))
    calibration, measured = split_calibration(images, training)
    assert calibration.where == training.where
    assert len(calibration) == CALIBRATION_IMAGES
    assert measured is images


def test_images_that_cannot_measure_are_refused(tmp_path: Path) -> None:
    one = images_of(tmp_path / "one.npz", 1)
    with pytest.raises(ExportError, match="has 1 image; expected 2 or more"):
        split_calibration(one, one)
    bare = images_of(tmp_path / "bare.npz", 4, labelled=False)
    with pytest.raises(ExportError, match="has no labels"):
        split_calibration(bare, bare)
    with pytest.raises(ExportError, match="has no labels"):
        quantise_network(Network(LITE, 10), tmp_path / "a.onnx", tmp_path / "b.onnx", one, bare)
    assert not list(tmp_path.glob("*.onnx"))


def test_a_file_that_is_not_onnx_is_refused(tmp_path: Path) -> None:
    (tmp_path / "text.onnx").write_text("no model")
    images = images_of(tmp_path / "some.npz", 2)
    with pytest.raises(ExportError, match=r"ONNX Runtime cannot read .*text\.onnx"):
        quantise(tmp_path / "text.onnx", tmp_path / "int8.onnx", images)
    assert not (tmp_path / "int8.onnx").exists()


def test_which_networks_are_lite() -> None:
    lite = {name for name, arch in ZOO.items() if is_lite(arch)}
    assert lite == {name for name in ZOO if "lite" in name or name.startswith("mobilenetv2")}
    assert not is_lite(parse_arch("r8-s8-[ds_r1_k3_s1_e1_c8_nre]-h8-nr6"))


@pytest.mark.slow
def test_other_networks_are_quantised_too(tmp_path: Path) -> None:
    """Squeeze-excite, hard-swish, bottlenecks: a file that runs, whatever it loses."""
    arch = parse_arch("r28-i1-s16-[ir_r1_k3_s2_e4_c16_se0.25|bt_r1_k3_s2_e0.5_c32]-h32-nhs")
    export_onnx(Network(arch, 10), tmp_path / "float.onnx")
    images = read_images(None, arch, 10).take(range(32))
    quantise(tmp_path / "float.onnx", tmp_path / "int8.onnx", images)
    assert run_onnx(tmp_path / "int8.onnx", images.load(2)).shape == (2, 10)
