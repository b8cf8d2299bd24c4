"""Which tensors of a training script's file are the network's, and weights for another head."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from blocks import messages
from blocks.arch import parse_arch
from blocks.errors import WeightsError
from blocks.network import Network
from blocks.weights import from_foreign, to_foreign
from blocks.weights.adapt import adapt_state, other_channels
from blocks.weights.choose import read_fitting
from blocks.weights.fit import load_weights, put_state

SMALL = parse_arch("r16-s8-[ds_r1_k3_s1_e1_c8_se0.25|ir_r2_k5_s2_e3_c16]-h24")


def wrapped(state: dict[str, torch.Tensor], average: dict[str, torch.Tensor]) -> dict[str, Any]:
    """The same weights as different scripts write them."""

    def named(prefix: str) -> dict[str, torch.Tensor]:
        return {f"{prefix}{name}": tensor for name, tensor in state.items()}

    return {
        "a loss beside": {
            "state_dict": {**named("model."), "criterion.pos_weight": torch.tensor(3.2)}
        },
        "a metric beside": {"state_dict": {**named("model."), "val_acc.total": torch.tensor(9)}},
        "counters within": {
            **state,
            "total_ops": torch.zeros(1),
            f"{next(iter(state)).rpartition('.')[0]}.total_ops": torch.zeros(1, dtype=torch.int64),
        },
        "a detector's backbone": {"model_state": named("backbone.")},
        "two wrappers": {"state": {"net": named("module._orig_mod.")}},
        "an average beside": {
            "model_state": average,
            "ema_state_dict": {f"module.{name}": tensor for name, tensor in state.items()},
        },
        "a momentum encoder": {
            **named("online.encoder."),
            "queue": torch.zeros(2, 2),
            "projector.0.weight": torch.zeros(2, 2),
        },
    }


NAMES = list(wrapped({"a.b": torch.zeros(1)}, {}))


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("source", ["timm", "torchvision", "compound_nas"])
def test_a_script_s_file_loads(
    tmp_path: Path, name: str, source: str, caplog: pytest.LogCaptureFixture
) -> None:
    arch = replace(SMALL, stages=SMALL.stages)
    network, older = Network(arch, 5), Network(arch, 5)
    state, average = (to_foreign(each.state_dict(), arch, source) for each in (network, older))
    torch.save(wrapped(state, average)[name], tmp_path / "checkpoint.pt")
    other = Network(arch, 5)
    with caplog.at_level("INFO", logger=messages.log.name):
        assert load_weights(other, tmp_path / "checkpoint.pt") == source
    assert torch.equal(other.stem.conv.weight, network.stem.conv.weight)
    assert torch.equal(other.classifier.weight, network.classifier.weight)
    strangers = ("criterion.pos_weight", "val_acc.total", "total_ops", "queue")
    said = [each for each in strangers if each in caplog.text]
    assert bool(said) == name.endswith(("beside", "within", "encoder")) or "average" in name


def test_a_larger_network_is_not_cut(tmp_path: Path) -> None:
    deeper = parse_arch(str(SMALL).replace("ir_r2", "ir_r3"))
    torch.save(Network(deeper, 5).state_dict(), tmp_path / "deeper.pt")
    with pytest.raises(WeightsError, match=r"stages\.1\.2\..* is not in the network"):
        load_weights(Network(SMALL, 5), tmp_path / "deeper.pt")


def test_without_a_classifier_it_is_one_line(tmp_path: Path) -> None:
    state = to_foreign(Network(SMALL, 5).state_dict(), SMALL, "timm")
    body = {name: value for name, value in state.items() if not name.startswith("classifier")}
    torch.save(body, tmp_path / "headless.pth")
    with pytest.raises(WeightsError, match="has no classifier, only what comes before it"):
        load_weights(Network(SMALL, 5), tmp_path / "headless.pth")
    network = Network(SMALL, 3)
    fresh = network.classifier.weight.clone()
    adapted = adapt_state(network, read_fitting(tmp_path / "headless.pth", SMALL).state, "it")
    assert adapted.notes == ("the classifier is new, 3 classes (it has none)",)
    put_state(network, adapted.state)
    assert torch.equal(network.classifier.weight, fresh)
    assert torch.equal(
        network.stem.conv.weight, from_foreign(body, SMALL, "timm")["stem.conv.weight"]
    )


def test_other_classes_and_channels() -> None:
    colour = Network(SMALL, 5)
    grey = Network(replace(SMALL, in_channels=1), 7)
    adapted = adapt_state(grey, colour.state_dict(), "it")
    assert adapted.notes == (
        "the classifier is new, 7 classes (it has 5 classes)",
        "the first convolution is summed, from 3 channels to 1",
    )
    put_state(grey, adapted.state)
    image = torch.rand(2, 1, 16, 16)
    with torch.inference_mode():
        expected = colour.stem.eval()(image.expand(-1, 3, -1, -1))
        torch.testing.assert_close(grey.stem.eval()(image), expected)


@pytest.mark.parametrize("channels", [1, 2, 3, 4, 5, 7])
def test_an_image_of_equal_channels_is_answered_alike(channels: int) -> None:
    weight = torch.randn(4, 3, 3, 3)
    assert torch.allclose(other_channels(weight, channels).sum(1), weight.sum(1), atol=1e-5)


def test_anything_else_that_differs_is_refused() -> None:
    state = Network(SMALL, 5).state_dict()
    with pytest.raises(WeightsError, match=r"head\.conv\.weight is 24×16×1×1, expected 32"):
        adapt_state(Network(replace(SMALL, head=32), 5), state, "it")
