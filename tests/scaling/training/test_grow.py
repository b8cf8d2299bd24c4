"""A network that is grown answers as it did."""

from dataclasses import replace

import pytest
import torch

from blocks.arch import parse_arch
from blocks.network import Network
from scaling.training.grow import grow
from tests.scaling.training.conftest import LARGER, NETWORK

WIDER = NETWORK.replace("c24", "c40").replace("c32]", "c48]").replace("s16-", "s20-")
SHORTCUT = "r8-i1-s16-[ds_r1_k3_s1_e1_c16|ir_r1_k3_s2_e4_c24]-h64"
DEEPER = "r8-i1-s24-[ds_r3_k5_s1_e1_c24|ir_r2_k7_s2_e6_c40]-h64"


def trained(spelling: str) -> Network:
    """A network whose weights and statistics are anything."""
    torch.manual_seed(0)
    network = Network(parse_arch(spelling), 10)
    network.train()
    for _ in range(3):
        network(torch.randn(16, 1, 8, 8))
    for name, value in network.named_parameters():
        if "norm" in name:
            value.data += 0.3 * torch.randn_like(value)
    return network.eval()


@pytest.mark.parametrize(
    ("small", "large"),
    [(NETWORK, NETWORK), (NETWORK, WIDER), (NETWORK, LARGER), (SHORTCUT, DEEPER)],
    ids=["the same", "wider", "wider and deeper", "through a shortcut"],
)
def test_it_answers_as_before(small: str, large: str) -> None:
    one = trained(small)
    torch.manual_seed(1)
    other = Network(parse_arch(large), 10)
    assert grow(one, other).preserved
    images = torch.randn(8, 1, 8, 8)
    with torch.inference_mode():
        expected = one(images)
        torch.testing.assert_close(other.eval()(images), expected, rtol=1e-3, atol=1e-3)
        # In training it normalises by the batch, as the small one does.
        torch.testing.assert_close(other.train()(images), one.train()(images), rtol=1e-3, atol=1e-3)
    assert expected.std() > 0.1


def test_copies_do_not_stay_alike() -> None:
    one = trained(NETWORK)
    other = Network(parse_arch(WIDER), 10)
    grow(one, other)
    other.train()
    other(torch.randn(16, 1, 8, 8)).square().sum().backward()
    gradient = other.stem.conv.weight.grad
    assert gradient is not None
    copied = other.stem.conv.weight.detach().flatten(1)
    _, groups = torch.unique(copied, dim=0, return_inverse=True)
    twice = [k for k in range(groups.max() + 1) if (groups == k).sum() > 1]
    assert twice
    for group in twice:
        own = gradient.flatten(1)[groups == group]
        assert not torch.allclose(own[0], own[1], rtol=1e-2)


@pytest.mark.parametrize(
    ("large", "why"),
    [
        (NETWORK.replace("s16-", "s8-"), "the stem is narrower, 16 → 8 channels"),
        (NETWORK.replace("ir_r1_k5_s2", "ir_r1_k5_s1"), "block 1 of stage 2 has another stride"),
        (NETWORK.replace("ds_r1_k7", "ds_r1_k3"), "has a smaller kernel, 7 → 3"),
        (NETWORK.replace("_se0.25", ""), "has squeeze-excite in one network alone"),
        (NETWORK.replace("c32]", "c32|ir_r1_k3_s1_e4_c32]"), "3 stages have become 4"),
        (NETWORK.replace("ir_r1_k5", "ds_r1_k5").replace("s2_e3", "s2_e1"), "is of another kind"),
    ],
)
def test_what_cannot_be_kept_is_said(large: str, why: str) -> None:
    one = trained(NETWORK)
    other = Network(parse_arch(large), 10)
    grown = grow(one, other)
    assert not grown.preserved
    assert why in grown.why
    assert other.eval()(torch.randn(2, 1, 8, 8)).isfinite().all()


def test_other_classes_and_channels() -> None:
    one = trained(NETWORK)
    few = Network(one.arch, 3)
    grown = grow(one, few)
    assert "the classifier is new" in grown.why
    assert torch.equal(few.stem.conv.weight, one.stem.conv.weight)
    colour = Network(replace(one.arch, in_channels=3), 10)
    assert "other channels" in grow(one, colour).why
