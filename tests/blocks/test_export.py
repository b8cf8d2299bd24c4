"""Exported files against PyTorch, for every kind of block."""

import argparse
import json
import os
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import onnx
import pytest
import torch
from torch import Tensor, nn

from blocks.arch import BLOCKS, ArchSpec, parse_arch
from blocks.commands import export as command
from blocks.errors import ArchError, CompoundNasError, ExportError, WeightsError
from blocks.export.files import check_logits, export
from blocks.export.formats import FORMATS, find_format
from blocks.export.onnx import export_onnx, onnx_session
from blocks.export.prepare import Meaning, optional_package, run_network
from blocks.export.safetensors import load_safetensors, read_spec, save_safetensors
from blocks.files import whole_file
from blocks.images.reading import Reading, reading_from
from blocks.network import Network

EVERY_BLOCK = parse_arch(
    "r17-s8_k7_mp-[cn_r1_k3_s1_e1_c8|er_r2_k3_s1_e2_c12_se0.25|ir_r2_k5_s2_e3_c16_se0.25_nre|"
    "ds_r1_k3_s1_e1_c16_noskip|bt_r2_k3_s1_e0.25_c32|bx_r2_k3_s2_e0.5_c32_g4]"
    "-h24_l16-nhs-se_gh_nre_x_d8-gres"
)
# Side 18: padding same is asymmetric at its strides of 2.
SAME = parse_arch("r18-i1-s8-[ir_r2_k3_s2_e4_c8|ds_r1_k5_s2_e1_c12]-h16-nr6-same-eps0.001")
GROUP_NORM = parse_arch("r16-i1-s8-[ir_r2_k3_s1_e2_c8_se0.5|bt_r1_k3_s2_e0.5_c16]-h0-gn4")
ARCHS = {"every_block": EVERY_BLOCK, "same": SAME, "group_norm": GROUP_NORM}


def trained_like(arch: ArchSpec, num_classes: int = 5, seed: int = 0) -> Network:
    """Random weights, and statistics such as training leaves: folding them is part of export."""
    torch.manual_seed(seed)
    network = Network(arch, num_classes)
    for module in network.modules():
        if isinstance(module, nn.BatchNorm2d):
            assert module.running_mean is not None
            assert module.running_var is not None
            module.running_mean.normal_(0, 0.2)
            module.running_var.uniform_(0.5, 1.5)
    return network


def assert_same_weights(ours: Network, theirs: Network) -> None:
    assert ours.arch == theirs.arch
    state, other = ours.state_dict(), theirs.state_dict()
    assert list(state) == list(other)
    for name, tensor in state.items():
        assert torch.equal(tensor, other[name]), name


def images_for(arch: ArchSpec, count: int) -> Tensor:
    generator = torch.Generator().manual_seed(count)
    side = arch.resolution
    return torch.randn(count, arch.in_channels, side, side, generator=generator)


@pytest.fixture(scope="module", autouse=True)
def one_thread() -> Iterator[None]:
    """Networks as small as these only wait for a second thread, on a busy machine for seconds."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


def test_the_networks_here_hold_every_kind_of_block() -> None:
    assert {stage.block for stage in EVERY_BLOCK.stages} == set(BLOCKS)


@pytest.mark.parametrize("arch", ARCHS.values(), ids=list(ARCHS))
@pytest.mark.parametrize("name", FORMATS)
def test_a_file_computes_what_the_network_does(name: str, arch: ArchSpec, tmp_path: Path) -> None:
    network = trained_like(arch)
    path = tmp_path / f"network{FORMATS[name].suffix}"
    difference = export(network, path, name, images_for(arch, 4))
    assert network.training  # left as it was
    assert list(tmp_path.iterdir()) == [path]
    network.eval()
    for count in (1, 3):
        images = images_for(arch, count)
        expected = run_network(network, images)
        logits = FORMATS[name].run(path, images)
        assert logits.shape == (count, 5)
        assert (logits - expected).abs().max() <= 1e-5 * expected.abs().max()
    assert difference <= 1e-5 * run_network(network, images_for(arch, 4)).abs().max()
    # Files go to others: they do not tell of the folders of the machine that wrote them.
    assert os.path.dirname(__file__).encode() not in path.read_bytes()
    assert b"site-packages" not in path.read_bytes()


def test_onnx_is_one_plain_file(tmp_path: Path) -> None:
    path = tmp_path / "network.onnx"
    # Channels-last, as training leaves a network.
    export_onnx(trained_like(SAME).to(memory_format=torch.channels_last), path)
    assert list(tmp_path.iterdir()) == [path]
    model = onnx.load(path)
    onnx.checker.check_model(model, full_check=True)
    (image,), (logits,) = onnx_session(path).get_inputs(), onnx_session(path).get_outputs()
    assert (image.name, image.shape) == ("image", ["batch", 1, 18, 18])
    assert (logits.name, logits.shape) == ("logits", ["batch", 5])
    kinds = {node.op_type for node in model.graph.node}
    # Normalisation is folded, asymmetric padding the convolution's own.
    assert kinds == {"Conv", "Clip", "Add", "ReduceMean", "Reshape", "Gemm"}
    notes = {entry.key: entry.value for entry in model.metadata_props}
    assert (parse_arch(notes["arch"]), notes["num_classes"]) == (SAME, "5")


def test_a_safetensors_file_is_a_whole_network(tmp_path: Path) -> None:
    network = trained_like(EVERY_BLOCK).to(memory_format=torch.channels_last).eval()
    path = tmp_path / "deep" / "er.safetensors"
    save_safetensors(network, path, Meaning([0.1, 0.2, 0.3], [0.4, 0.5, 0.6]))
    spec = read_spec(path)
    assert (spec.name, spec.arch, spec.num_classes) == ("er", EVERY_BLOCK, 5)
    assert spec.mean == (0.1, 0.2, 0.3)
    assert spec.std == (0.4, 0.5, 0.6)
    assert spec.weights == path
    loaded = load_safetensors(path)
    assert not loaded.training
    assert_same_weights(loaded, network)


def test_names_of_classes_reach_every_file_unharmed(tmp_path: Path) -> None:
    names = ("été", "a,b: 'c'", "#1 {x}", "日本", 'q"uote')
    meaning = Meaning(classes=names, reading=Reading(background="black", span=(0.0, 4095.0)))
    network = trained_like(SAME)
    for kind, form in FORMATS.items():
        export(network, tmp_path / f"n{form.suffix}", kind, images_for(SAME, 2), meaning)
    spec = read_spec(tmp_path / "n.safetensors")
    assert (spec.classes, spec.reading) == (names, meaning.reading)
    notes = {entry.key: entry.value for entry in onnx.load(tmp_path / "n.onnx").metadata_props}
    assert tuple(json.loads(notes["classes"])) == names
    extra = {"classes": "", "reading": ""}
    torch.export.load(tmp_path / "n.pt2", extra_files=extra)
    assert tuple(json.loads(extra["classes"])) == names
    assert reading_from(json.loads(extra["reading"])) == meaning.reading


def test_without_normalisation_nothing_is_said_of_it(tmp_path: Path) -> None:
    path = tmp_path / "plain.safetensors"
    save_safetensors(trained_like(SAME), path)
    spec = read_spec(path)
    assert spec.mean is None
    assert spec.std is None


def test_a_safetensors_file_that_is_none_is_named(tmp_path: Path) -> None:
    with pytest.raises(WeightsError, match=r"cannot read .*missing"):
        read_spec(tmp_path / "missing.safetensors")
    good = tmp_path / "good.safetensors"
    save_safetensors(trained_like(SAME), good)
    truncated = tmp_path / "truncated.safetensors"
    truncated.write_bytes(good.read_bytes()[:1000])
    with pytest.raises(WeightsError, match="truncated"):
        read_spec(truncated)
    with pytest.raises(WeightsError, match="truncated"):
        load_safetensors(truncated)


@pytest.mark.parametrize(
    ("metadata", "error", "message"),
    [
        (None, WeightsError, "no 'arch' in its metadata"),
        ({"arch": "r8-s8-[zz]-h8", "num_classes": "2"}, ArchError, "zz"),
        ({"arch": str(SAME)}, WeightsError, "num_classes"),
        ({"arch": str(SAME), "num_classes": "many"}, WeightsError, "many"),
        ({"arch": str(SAME), "num_classes": "2", "mean": "3"}, WeightsError, "metadata"),
    ],
)
def test_metadata_of_another_kind_is_refused(
    metadata: dict[str, str] | None, error: type[Exception], message: str, tmp_path: Path
) -> None:
    path = tmp_path / "foreign.safetensors"
    optional_package("safetensors.torch").save_file({"x": torch.zeros(1)}, path, metadata)
    with pytest.raises(error, match=message):
        read_spec(path)


def test_a_wrong_logit_is_refused() -> None:
    reference = torch.tensor([[10.0, -3.0]])
    path = Path("some.onnx")
    assert check_logits(reference + 9e-4, reference, path) == pytest.approx(9e-4, rel=0.01)
    with pytest.raises(ExportError, match=r"some.onnx: logits differ .* by 1.1\de-03"):
        check_logits(reference + 1.15e-3, reference, path)
    with pytest.raises(ExportError, match="nan"):
        check_logits(reference * torch.nan, reference, path)


@pytest.mark.parametrize("name", FORMATS)
def test_what_cannot_be_checked_leaves_no_file(name: str, tmp_path: Path) -> None:
    network = trained_like(SAME)
    path = tmp_path / f"network{FORMATS[name].suffix}"
    path.write_text("an earlier file")
    with torch.no_grad():
        network.classifier.bias.fill_(torch.nan)
    with pytest.raises(ExportError, match="not finite"):
        export(network, path, name, images_for(SAME, 2))
    assert path.read_text() == "an earlier file"
    assert list(tmp_path.iterdir()) == [path]


def test_logits_that_are_all_rounding_are_refused(tmp_path: Path) -> None:
    """A million taken away and added again: float32 holds such features to 0.06."""
    network = trained_like(SAME)
    norm = network.head.norm
    assert isinstance(norm, nn.BatchNorm2d)
    with torch.no_grad():
        norm.running_mean.fill_(1e6)
        norm.running_var.fill_(1 - norm.eps)
        norm.bias.fill_(1e6)
    with pytest.raises(ExportError, match="float32 and float64 differ by"):
        export(network, tmp_path / "network.pt2", "torch_export", images_for(SAME, 2))
    assert not list(tmp_path.iterdir())


def test_a_place_that_is_no_folder_is_one_line(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with (
        pytest.raises(CompoundNasError, match=r"cannot write .*network\.pt2: "),
        whole_file(tmp_path / "file" / "network.pt2"),
    ):
        pass


def test_onnx_ends_at_two_gigabytes(tmp_path: Path) -> None:
    with torch.device("meta"):
        network = Network(parse_arch("r8-s8-[ds_r1_k3_s1_e1_c8]-h8000"), 70_000)
    with pytest.raises(ExportError, match="over the 2 GB"):
        export_onnx(network, tmp_path / "large.onnx")


def test_an_unknown_format_names_the_nearest() -> None:
    with pytest.raises(ExportError, match=r"'onx' \(did you mean 'onnx'\?\)"):
        find_format("onx")


def test_a_missing_package_says_how_to_install_it() -> None:
    with pytest.raises(
        ExportError, match=r'needs absent_one: pip install "compound-nas\[export\]"'
    ):
        optional_package("absent_one.part")


def run_command(*arguments: object) -> None:
    parser = argparse.ArgumentParser()
    command.configure(parser)
    command.run(parser.parse_args([str(argument) for argument in arguments]))


def test_the_command_exports_what_a_search_wrote(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    network = trained_like(SAME, num_classes=10)
    torch.save(network.state_dict(), tmp_path / "b0.pt")
    (tmp_path / "b0.yaml").write_text(
        f"arch: {SAME}\nnum_classes: 10\nweights: b0.pt\n"
        "normalisation: {mean: [0.25], std: [0.5]}\n"
    )
    out = tmp_path / "out"
    run_command(
        tmp_path / "b0.yaml", "--output", out, "--to", "torch_export,safetensors", "--limit", 100
    )
    printed = capsys.readouterr().out
    assert {path.name for path in out.iterdir()} == {"b0.pt2", "b0.safetensors"}
    assert "b0.pt (compound_nas)" in printed
    assert "on 100 of 2,000 images of the embedded Fashion-MNIST (x_test)" in printed
    assert read_spec(out / "b0.safetensors").mean == (0.25,)
    run_command(out / "b0.safetensors", "--output", tmp_path / "again", "--to", "safetensors")
    again = load_safetensors(tmp_path / "again" / "b0.safetensors")
    assert_same_weights(again, network)


def test_random_weights_follow_the_seed_and_are_named(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    networks = []
    for folder, seed in (("a", 1), ("b", 1), ("c", 2)):
        run_command(
            SAME, "--num-classes", 3, "--to", "safetensors", "--output", tmp_path / folder,
            "--seed", seed,
        )  # fmt: skip
        networks.append(load_safetensors(tmp_path / folder / "network.safetensors"))
    first, second, other = networks
    assert_same_weights(first, second)
    assert not torch.equal(first.classifier.weight, other.classifier.weight)
    assert "weights: random, so that its accuracy means nothing" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--to", "torchexport"], "unknown format 'torchexport'.*'torch_export'"),
        (["--to", ""], "unknown format ''"),
        (["--images", "nowhere"], "cannot read images nowhere"),
        (["--int8"], "no labels of the network's classes"),
        (["--limit", 0], "--limit 0"),
        (["--from", "tim"], "unknown source 'tim'.*'timm'"),
        (["--weights", "nowhere.pt"], "cannot read nowhere.pt"),
        (["--mean", 0.5], "expected both, or neither"),
        (["--mean", 0.5, "--std", 0], "not all above 0"),
        (["--mean", 0.5, 0.5, "--std", 1], "mean has 2 numbers; expected 1"),
        (["--crop", 2], "crop 2"),
    ],
)
def test_a_mistake_is_one_line(arguments: list[object], message: str, tmp_path: Path) -> None:
    with pytest.raises(CompoundNasError, match=message) as error:
        run_command(SAME, "--num-classes", 3, "--output", tmp_path / "out", *arguments)
    assert "\n" not in str(error.value)
    assert not (tmp_path / "out").exists()


def test_a_whole_network_keeps_its_classes(tmp_path: Path) -> None:
    path = tmp_path / "five.safetensors"
    save_safetensors(trained_like(SAME), path)
    with pytest.raises(ExportError, match=r"--num-classes 7, but .* of 5 classes"):
        run_command(path, "--num-classes", 7)


def test_labels_beyond_the_classes_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "images.npz"
    np.savez(path, images=np.zeros((3, 18, 18), np.uint8), labels=np.array([0, 1, 5]))
    with pytest.raises(ExportError, match="labels span 0 to 5; expected 0 to 4"):
        run_command(SAME, "--num-classes", 5, "--images", path, "--output", tmp_path / "out")


@pytest.mark.slow
def test_a_deep_network_without_weights_is_exported(tmp_path: Path) -> None:
    """V2-S with the statistics of fresh normalisation layers amplifies roundings to logits."""
    run_command("efficientnetv2_s", "--to", "onnx", "--output", tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["efficientnetv2_s.onnx"]


@pytest.mark.slow
@pytest.mark.parametrize(
    "name",
    [
        "efficientnet_b0", "tf_efficientnet_lite0", "efficientnetv2_b0", "mobilenetv2_100",
        "mobilenetv3_large", "mnasnet_a1", "tinynet_e", "resnet50", "resnext50_32x4d",
    ],
)  # fmt: skip
@pytest.mark.parametrize("form", FORMATS)
def test_published_networks(name: str, form: str, tmp_path: Path) -> None:
    from blocks.zoo import find_arch

    arch = find_arch(name)
    network = trained_like(arch, 1000)
    images = images_for(arch, 2)
    largest = run_network(network.eval(), images).abs().max()
    difference = export(network, tmp_path / f"network{FORMATS[form].suffix}", form, images)
    assert difference <= 1e-5 * largest
