"""The compiled training path against PyTorch's own, in double precision."""

import copy
import os
import subprocess
import sys
from dataclasses import replace

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from torch import Tensor, nn

from blocks.arch import ArchSpec, StageSpec, parse_arch
from blocks.layers import ConvNormAct, MBConv
from blocks.native import accelerate, available
from blocks.network import Network
from blocks.zoo import find_arch
from tests.strategies import archs

pytestmark = pytest.mark.skipif(not available(), reason="no C++ compiler on this machine")

ARCH = ArchSpec(stem=8, stages=(StageSpec("ds", 1, 3, 1, 1, 8, 0.0),), head=8, resolution=8)
TOLERANCE = 1e-4


def assert_close(found: Tensor, exact: Tensor, scale: float | None = None) -> None:
    """Equal up to `TOLERANCE` of the largest value."""
    size = exact.abs().max().item() if scale is None else scale
    assert (found - exact).abs().max().item() <= TOLERANCE * size + 1e-7


def gradient(tensor: Tensor) -> Tensor:
    assert tensor.grad is not None
    return tensor.grad


def compare(module: nn.Module, x: Tensor) -> None:
    """One training step of a layer, compiled and in double precision."""
    exact = copy.deepcopy(module).double().train()
    module.train()
    assert accelerate(module)
    inputs = [x.clone().requires_grad_(), x.double().requires_grad_()]
    outputs = [module(inputs[0]), exact(inputs[1])]
    assert_close(outputs[0], outputs[1])
    direction = torch.randn(outputs[1].shape, generator=torch.Generator().manual_seed(1))
    outputs[0].backward(direction)
    outputs[1].backward(direction.double())
    assert_close(gradient(inputs[0]), gradient(inputs[1]))
    for found, true in zip(module.parameters(), exact.parameters(), strict=True):
        assert_close(gradient(found), gradient(true))
    for found, true in zip(module.buffers(), exact.buffers(), strict=True):
        assert_close(found.double(), true.double())


@pytest.mark.parametrize("kernel", [3, 5, 7])
@pytest.mark.parametrize("stride", [1, 2])
@pytest.mark.parametrize(("height", "width"), [(14, 14), (7, 9), (1, 1), (4, 2), (16, 5)])
@pytest.mark.parametrize(
    ("channels", "expand_ratio", "se_ratio"),
    [(16, 1, 0.25), (8, 3, 0.0), (5, 2.2, 0.5), (24, 6, 0.25)],
)
def test_mbconv_is_that_of_torch(
    kernel: int, stride: int, height: int, width: int, channels: int, expand_ratio: float,
    se_ratio: float,
) -> None:  # fmt: skip
    torch.manual_seed(0)
    block = "ds" if expand_ratio == 1 else "ir"
    stage = StageSpec(block, 1, kernel, stride, expand_ratio, channels, se_ratio)
    module = MBConv(ARCH, stage, channels, stride, 0.0)
    for parameter in module.parameters():
        nn.init.normal_(parameter, 0.1, 0.5)
    compare(module, torch.randn(6, channels, height, width) + 0.3)


@pytest.mark.parametrize("act", ["silu", "relu", "relu6", "hard_swish"])
@pytest.mark.parametrize("gate", ["sigmoid", "hard_sigmoid"])
def test_every_activation(act: str, gate: str) -> None:
    torch.manual_seed(0)
    arch = replace(ARCH, act=act, se_gate=gate, se_act="relu")
    module = MBConv(arch, StageSpec("ir", 1, 3, 1, 4, 8, 0.25), 8, 1, 0.0)
    for parameter in module.parameters():
        nn.init.normal_(parameter, 0.5, 1.5)
    compare(module, 3 * torch.randn(6, 8, 6, 6))


@pytest.mark.parametrize(
    ("kernel", "stride", "groups"), [(1, 1, 1), (1, 2, 1), (3, 2, 1), (3, 1, 4), (7, 2, 1)]
)
def test_conv_norm_act_is_that_of_torch(kernel: int, stride: int, groups: int) -> None:
    torch.manual_seed(0)
    compare(ConvNormAct(ARCH, 8, 20, kernel, stride, groups, "silu"), torch.randn(5, 8, 9, 9))


@settings(max_examples=12)
@given(archs())
def test_any_network_trains_as_by_torch(arch: ArchSpec) -> None:
    torch.manual_seed(0)
    # Where a function has a bend or a maximum a tie, the last bit decides the gradient.
    stages = tuple(replace(stage, act=None) for stage in arch.stages)
    arch = replace(arch, stages=stages, act="silu", se_gate="sigmoid", se_act=None, stem_pool=False)
    network = Network(arch, 7).train()
    exact = copy.deepcopy(network).double()
    x = torch.randn(8, arch.in_channels, arch.resolution, arch.resolution)
    labels = torch.arange(8) % 7
    plain = copy.deepcopy(network)
    accelerate(network)
    losses = []
    for each, images in ((network, x), (plain, x), (exact, x.double())):
        losses.append(F.cross_entropy(each(images), labels))
        losses[-1].backward()
    # As far from the exact gradient as torch's own is, or nearer.
    for found, own, true in zip(
        network.parameters(), plain.parameters(), exact.parameters(), strict=True
    ):
        scale = gradient(true).abs().max().item()
        apart = [(gradient(one) - gradient(true)).abs().max().item() for one in (found, own)]
        assert apart[0] <= TOLERANCE * scale + 4 * apart[1] + 1e-5


def test_same_threads_same_bits() -> None:
    arch = parse_arch("r14-i1-s16-[ir_r2_k5_s1_e4_c24_se0.25|ds_r2_k7_s2_e1_c40]-h64")
    x = torch.randn(32, 1, 14, 14, generator=torch.Generator().manual_seed(0))
    before = torch.get_num_threads()
    found: dict[int, list[Tensor]] = {}
    try:
        for threads in (1, 2, 1, 2):
            torch.set_num_threads(threads)
            torch.manual_seed(0)
            network = Network(arch, 10).train()
            accelerate(network)
            F.cross_entropy(network(x), torch.arange(32) % 10).backward()
            gradients = [p.grad for p in network.parameters() if p.grad is not None]
            for one, other in zip(gradients, found.setdefault(threads, gradients), strict=True):
                assert torch.equal(one, other)
    finally:
        torch.set_num_threads(before)
    for one, other in zip(found[1], found[2], strict=True):
        assert_close(one, other, other.abs().max().item() + 1e-3)


def test_only_training_takes_it_and_only_where_it_is_the_same() -> None:
    b0 = replace(find_arch("efficientnet_b0"), resolution=32)
    torch.manual_seed(0)
    network = Network(b0, 10)
    names = list(network.state_dict())
    plain = copy.deepcopy(network).eval()
    assert accelerate(network)
    assert list(network.state_dict()) == names
    x = torch.randn(2, 3, 32, 32)
    assert torch.equal(network.eval()(x), plain(x))
    for other in (replace(b0, padding="same"), replace(b0, norm_group_size=8)):
        strange = Network(other, 10)
        accelerate(strange)
        trainers = [m.trainer for m in strange.modules() if isinstance(m, MBConv | ConvNormAct)]
        assert not any(trainers)


def test_another_number_format_trains_by_torch() -> None:
    torch.manual_seed(0)
    network = Network(ARCH, 3)
    exact = copy.deepcopy(network).double().train()
    accelerate(network)
    x = torch.randn(4, 3, 8, 8, dtype=torch.double)
    assert torch.equal(network.double().train()(x), exact(x))


def test_what_is_not_a_number_stays_so() -> None:
    network = Network(ARCH, 3).train()
    accelerate(network)
    x = torch.randn(4, 3, 8, 8)
    x[0, 0, 0, 0] = float("nan")
    assert network(x).isnan().any()


@pytest.mark.parametrize("gate", ["", "-se_gh"])
def test_a_gate_that_is_not_a_number_stays_so(gate: str) -> None:
    network = Network(parse_arch(f"r8-s8_s1-[ir_r1_k3_s1_e2_c8_se0.25]-h16{gate}"), 3).train()
    accelerate(network)
    weights = dict(network.named_parameters())
    with torch.no_grad():
        weights["stages.0.0.squeeze_excite.fc2.weight"].fill_(float("nan"))
    assert network(torch.randn(4, 3, 8, 8)).isnan().all()


def test_without_a_compiler_nothing_changes() -> None:
    code = "from blocks.native import available; print(available())"
    for setting in ({"CXX": "no-such-compiler", "XDG_CACHE_HOME": "/nonexistent"},
                    {"COMPOUND_NAS_KERNELS": "torch"}):  # fmt: skip
        done = subprocess.run(
            [sys.executable, "-c", code], env={**os.environ, **setting}, capture_output=True,
            text=True, check=True,
        )  # fmt: skip
        assert done.stdout == "False\n"
