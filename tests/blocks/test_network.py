"""The modules against torchvision's, weight for weight."""

import pytest
import torch
from torch import nn
from torchvision import models
from torchvision.ops import StochasticDepth

from blocks.arch import parse_arch
from blocks.errors import ArchError
from blocks.layers import MBConv
from blocks.network import Network
from blocks.zoo import EFFICIENTNET_B0, ZOO, find_arch


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


def test_find_arch_takes_names_and_spellings() -> None:
    assert find_arch("efficientnet_b3") is ZOO["efficientnet_b3"]
    assert find_arch("r8-s8-[ds_r1_k3_s1_e1_c8]-h8").resolution == 8
    with pytest.raises(ArchError, match="unknown network 'efficientnet_b9'"):
        find_arch("efficientnet_b9")
