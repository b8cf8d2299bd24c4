"""The modules against torchvision's, weight for weight."""

import math
from collections.abc import Callable

import pytest
import torch
from torch import nn
from torchvision import models

from blocks.arch import parse_arch
from blocks.drop_block import DropBlock, DropBlockSpec
from blocks.layers import Conv2dSame, MBConv, Shortcut, StochasticDepth
from blocks.network import Network
from blocks.zoo import EFFICIENTNET_B0


def test_b0_computes_what_torchvisions_b0_computes() -> None:
    torch.manual_seed(0)
    peer = models.efficientnet_b0().eval()
    for name, buffer in peer.named_buffers():
        if name.endswith("running_mean"):
            buffer.normal_(0, 0.1)
        elif name.endswith("running_var"):
            buffer.uniform_(0.5, 1.5)
    ours = Network(EFFICIENTNET_B0).eval()
    theirs = list(peer.state_dict().values())
    names = list(ours.state_dict())
    assert len(theirs) == len(names)
    ours.load_state_dict(dict(zip(names, theirs, strict=True)))
    image = torch.randn(2, 3, 96, 96)
    with torch.inference_mode():
        assert (ours(image) - peer(image)).abs().max() <= 1e-5


def test_b0_has_nine_identity_skips_and_linear_stochastic_depth() -> None:
    network = Network(EFFICIENTNET_B0, drop_path=0.2)
    blocks = [module for module in network.modules() if isinstance(module, MBConv)]
    assert sum(block.skip for block in blocks) == 9
    rates = [m.p for m in network.modules() if isinstance(m, StochasticDepth)]
    assert rates == pytest.approx([0.2 * block / 16 for block in range(16)])


def test_noskip_drops_the_shortcut() -> None:
    with_skip = Network(parse_arch("r8-s8-[ds_r2_k3_s1_e1_c8]-h8"), 2)
    without = Network(parse_arch("r8-s8-[ds_r2_k3_s1_e1_c8_noskip]-h8"), 2)
    without.load_state_dict(with_skip.state_dict())
    image = torch.randn(1, 3, 8, 8)
    assert not torch.equal(with_skip.eval()(image), without.eval()(image))


@pytest.mark.parametrize("size", [1, 5, 8])
def test_any_input_size_gives_logits(size: int) -> None:
    network = Network(parse_arch("r8-i1-s8_s1-[ir_r1_k7_s2_e3_c8_se0.25]-h8-nr6"), 4).eval()
    assert network(torch.zeros(3, 1, size, size)).shape == (3, 4)


def test_depthwise_weights_are_drawn_for_their_own_taps() -> None:
    torch.manual_seed(0)
    network = Network(parse_arch("r8-s64-[ir_r1_k5_s1_e6_c64]-h64"), 2)
    depthwise = next(m for m in network.modules() if isinstance(m, nn.Conv2d) and m.groups == 384)
    assert depthwise.weight.std().item() == pytest.approx((2 / 25) ** 0.5, rel=0.05)


ALL_BLOCKS = (
    "r32-s16-[cn_r2_k3_s1_e1_c16|er_r2_k3_s2_e4_c24_se0.25|ir_r2_k5_s1_e3_c24_se0.25_nre|"
    "bt_r2_k3_s2_e0.25_c64|bx_r2_k3_s1_e0.5_c64_g4|ds_r2_k3_s1_e1_c40]-h48"
)


@pytest.mark.parametrize("ending", ["", "-gres", "-same", "-gn4", "-nhs-se_gh_nre_x_d8"])
def test_every_block_learns(ending: str) -> None:
    torch.manual_seed(0)
    arch = parse_arch(ALL_BLOCKS + ending)
    network = Network(arch, 3, drop_block=DropBlockSpec(0.1, 3))
    network(torch.randn(4, 3, 32, 32)).logsumexp(1).sum().backward()
    for name, parameter in network.named_parameters():
        assert parameter.grad is not None, name
        assert parameter.grad.isfinite().all(), name
        # The bias before a normalisation is none: every tensor that there is moves the output.
        assert parameter.grad.abs().max() > 0, name


def test_the_global_residual_adds_every_stage() -> None:
    arch = parse_arch("r16-s8-[ds_r1_k3_s2_e1_c8|ds_r1_k3_s2_e1_c16|ds_r1_k3_s1_e1_c24]-h8-gres")
    network = Network(arch, 3).eval()
    assert network.global_residual is not None
    assert len(network.global_residual) == 2
    outputs: dict[str, torch.Tensor] = {}

    def keep(name: str) -> Callable[[nn.Module, object, torch.Tensor], None]:
        return lambda _module, _inputs, output: outputs.__setitem__(name, output)

    for number, blocks in enumerate(network.stages):
        list(blocks.children())[-1].register_forward_hook(keep(f"stage {number}"))
    network.head.register_forward_pre_hook(
        lambda _module, inputs: outputs.__setitem__("head", inputs[0])
    )
    with torch.inference_mode():
        network(torch.randn(2, 3, 16, 16))
        first, second = network.global_residual
        expected = outputs["stage 2"] + (first(outputs["stage 0"]) + second(outputs["stage 1"]))
    assert torch.equal(outputs["head"], expected)


def test_drop_block_acts_at_the_last_two_resolutions() -> None:
    network = Network(EFFICIENTNET_B0, drop_block=DropBlockSpec(0.1))
    acting = [
        isinstance(block.drop_block, DropBlock)
        for blocks in network.stages
        for block in blocks.children()
        if isinstance(block, Shortcut)
    ]
    # Stages at 14 and 7 pixels: 3 + 3 + 4 + 1 blocks of the 16.
    assert acting == [False] * 5 + [True] * 11


@pytest.mark.parametrize("side", [1, 5, 8, 9])
@pytest.mark.parametrize(("kernel", "stride"), [(3, 1), (3, 2), (5, 2), (7, 1)])
def test_same_padding_is_tensorflows(side: int, kernel: int, stride: int) -> None:
    conv = Conv2dSame(2, 3, kernel, stride)
    x = torch.randn(1, 2, side, side)
    pads = max((math.ceil(side / stride) - 1) * stride + kernel - side, 0)
    before = pads // 2
    padded = nn.functional.pad(x, (before, pads - before) * 2)
    expected = nn.functional.conv2d(padded, conv.weight, conv.bias, stride)
    assert torch.equal(conv(x), expected)
    assert conv(x).shape[-1] == math.ceil(side / stride)
