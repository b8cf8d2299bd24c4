"""The compiled training path against PyTorch's own, in double precision."""

import copy
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from torch import Tensor, nn

from blocks.arch import ArchSpec, StageSpec, parse_arch
from blocks.latency.device import torch_threads
from blocks.layers import ConvNormAct, MBConv
from blocks.native import accelerate, available, library
from blocks.native.library import INSTRUCTION_SETS, KernelsError, instruction_sets, why_not
from blocks.network import Network
from blocks.zoo import find_arch
from tests.strategies import archs

pytestmark = pytest.mark.skipif(not available(), reason="no C++ compiler on this machine")

ARCH = ArchSpec(stem=8, stages=(StageSpec("ds", 1, 3, 1, 1, 8, 0.0),), head=8, resolution=8)
# Rounding differs with the order of a sum, and so with the processor. How much it may matter is
# what PyTorch's own float32 misses the exact values by, on the machine of the test.
TIMES = 16
"""Ours may miss by this many times what PyTorch's misses by at most, …"""
SHARE = 1e-5
"""… and by this share of the largest value, as PyTorch's may miss by nothing."""
NEGLIGIBLE = 1e-3
"""A tensor's values count as this share of the largest of all tensors, or more: one of the
smallest is the rest of a difference, whose rounding is that of what was subtracted."""


def gradient(tensor: Tensor) -> Tensor:
    assert tensor.grad is not None
    return tensor.grad


def assert_rounds_as_torch(
    found: list[Tensor], own: list[list[Tensor]], exact: list[Tensor]
) -> None:
    """`found` is `exact` but for rounding, of which PyTorch's runs in float32 show how much."""
    largest = [each.abs().max().item() for each in exact]
    scales = [max(size, NEGLIGIBLE * max(largest), 1e-30) for size in largest]

    def misses(values: list[Tensor]) -> list[float]:
        return [
            (value - true).abs().max().item() / scale
            for value, true, scale in zip(values, exact, scales, strict=True)
        ]

    bound = SHARE + TIMES * max(max(misses(values)) for values in own)
    # Not max(…) <= bound, which is true where the first is not a number.
    assert all(miss <= bound for miss in misses(found)), (misses(found), bound)


def train_step(module: nn.Module, x: Tensor, direction: Tensor) -> list[Tensor]:
    """Output, gradients and statistics."""
    x = x.clone().requires_grad_()
    module.train()
    out = module(x)
    out.backward(direction)
    gradients = [gradient(each) for each in (x, *module.parameters())]
    return [each.detach().double() for each in (out, *gradients, *module.buffers())]


def compare(module: nn.Module, x: Tensor) -> None:
    """One training step of a layer: compiled, PyTorch's, and in double precision."""
    exact, plain, reordered, shape = (copy.deepcopy(module) for _ in range(4))
    assert accelerate(module)
    direction = torch.randn(shape(x).shape, generator=torch.Generator().manual_seed(1))
    # PyTorch's in two orders of summation: one may be right by chance.
    back = train_step(reordered, x.flip(0), direction.flip(0))
    back[:2] = [each.flip(0) for each in back[:2]]
    assert_rounds_as_torch(
        train_step(module, x, direction),
        [train_step(plain, x, direction), back],
        train_step(exact.double(), x.double(), direction.double()),
    )


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


@pytest.mark.parametrize("channels", [1, 5, 13])
def test_few_channels_at_stride_two(channels: int) -> None:
    torch.manual_seed(0)
    compare(ConvNormAct(ARCH, channels, 20, 1, 2, 1, "silu"), torch.randn(8, channels, 18, 17))


FEW_CHANNELS = """
import torch
from blocks.layers import ConvNormAct
from blocks.native import accelerate
from tests.blocks.test_native import ARCH
for _ in range(12):
    layer = ConvNormAct(ARCH, 5, 8, 1, 2, 1, "silu").train()
    assert accelerate(layer)
    layer(torch.randn(32, 5, 32, 32)).square().sum().backward()
    others = [torch.randn(7 * size) for size in range(150)]
"""


@pytest.mark.parametrize("threads", ["1", "2"])
def test_few_channels_at_stride_two_harm_no_memory(threads: str) -> None:
    # In a process of its own: PyTorch's own, on AVX2 in channels-last memory, overwrites the memory
    # of others on one thread, and does not end on two.
    subprocess.run(
        [sys.executable, "-c", FEW_CHANNELS], env={**os.environ, "OMP_NUM_THREADS": threads},
        cwd=Path(__file__).parents[2], timeout=300, check=True,
    )  # fmt: skip


def gradients_of(network: nn.Module, x: Tensor, labels: Tensor) -> list[Tensor]:
    F.cross_entropy(network(x), labels).backward()
    return [gradient(parameter).double() for parameter in network.parameters()]


def gradients_of_torch(
    network: nn.Module, x: Tensor, labels: Tensor
) -> tuple[list[list[Tensor]], list[Tensor]]:
    """PyTorch's own in two orders of summation, and in double precision."""
    exact, plain, reordered = (copy.deepcopy(network) for _ in range(3))
    own = [gradients_of(plain, x, labels), gradients_of(reordered, x.flip(0), labels.flip(0))]
    return own, gradients_of(exact.double(), x.double(), labels)


@settings(max_examples=12)
@given(archs())
def test_any_network_trains_as_by_torch(arch: ArchSpec) -> None:
    torch.manual_seed(0)
    # Where a function has a bend or a maximum a tie, the last bit decides the gradient.
    stages = tuple(replace(stage, act=None) for stage in arch.stages)
    arch = replace(arch, stages=stages, act="silu", se_gate="sigmoid", se_act=None, stem_pool=False)
    network = Network(arch, 7).train()
    x = torch.randn(8, arch.in_channels, *arch.image)
    labels = torch.arange(8) % 7
    own, exact = gradients_of_torch(network, x, labels)
    accelerate(network)
    assert_rounds_as_torch(gradients_of(network, x, labels), own, exact)


def test_same_threads_same_bits() -> None:
    arch = parse_arch("r14-i1-s16-[ir_r2_k5_s1_e4_c24_se0.25|ds_r2_k7_s2_e1_c40]-h64")
    x = torch.randn(32, 1, 14, 14, generator=torch.Generator().manual_seed(0))
    labels = torch.arange(32) % 10
    torch.manual_seed(0)
    network = Network(arch, 10).train()
    own, exact = gradients_of_torch(network, x, labels)
    found: dict[int, list[Tensor]] = {}
    for threads in (1, 2, 1, 2):
        again = copy.deepcopy(network)
        accelerate(again)
        with torch_threads(threads):
            gradients = gradients_of(again, x, labels)
        for one, other in zip(gradients, found.setdefault(threads, gradients), strict=True):
            assert torch.equal(one, other)
    for gradients in found.values():
        assert_rounds_as_torch(gradients, own, exact)


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


def ask(**environment: str) -> subprocess.CompletedProcess[str]:
    """A new process's answer to whether there are compiled operators."""
    code = "from blocks.native import available; print(available())"
    return subprocess.run(
        [sys.executable, "-c", code], env={**os.environ, **environment}, capture_output=True,
        text=True, check=False,
    )  # fmt: skip


NO_COMPILER = {"CXX": "no-such-compiler", "XDG_CACHE_HOME": "/nonexistent"}


@pytest.mark.parametrize(
    "environment",
    [
        {**NO_COMPILER, "COMPOUND_NAS_KERNELS": "auto"},
        {**NO_COMPILER, "COMPOUND_NAS_KERNELS": ""},
        {"COMPOUND_NAS_KERNELS": "torch"},
    ],
)
def test_without_a_compiler_nothing_changes(environment: dict[str, str]) -> None:
    done = ask(**environment)
    assert (done.returncode, done.stdout) == (0, "False\n"), done.stderr


@pytest.mark.parametrize("name", INSTRUCTION_SETS)
def test_a_set_that_is_asked_for_is_had_or_refused(
    monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    monkeypatch.setenv("COMPOUND_NAS_KERNELS", name)
    monkeypatch.setenv("CXX", "no-such-compiler")
    with pytest.raises(KernelsError, match=f"COMPOUND_NAS_KERNELS={name} (cannot|is not)"):
        why_not.__wrapped__()


def test_what_no_set_is_called_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COMPOUND_NAS_KERNELS", "avx3")
    with pytest.raises(
        KernelsError,
        match=r"^COMPOUND_NAS_KERNELS='avx3' is none of auto, torch, avx512, avx2, plain$",
    ):
        why_not.__wrapped__()


@pytest.mark.parametrize(
    ("machine", "flags", "sets"),
    [
        ("x86_64", None, ("avx512", "avx2", "plain")),
        ("AMD64", "avx2", ("plain",)),
        ("x86_64", "avx512", ("plain",)),  # AVX-512 alone is no processor's
        ("x86_64", "", ("plain",)),
        ("aarch64", "", ()),
    ],
)
def test_what_a_processor_lacks_is_not_run(
    monkeypatch: pytest.MonkeyPatch, machine: str, flags: str | None, sets: tuple[str, ...]
) -> None:
    words = INSTRUCTION_SETS["avx512"].needs if flags is None else flags.split()
    monkeypatch.setattr(library, "_cpuinfo", lambda: [f"flags\t\t: fpu {' '.join(words)}"])
    monkeypatch.setattr("platform.machine", lambda: machine)
    assert instruction_sets() == sets
    monkeypatch.setenv("COMPOUND_NAS_KERNELS", "avx512")
    if "avx512" not in sets:
        with pytest.raises(KernelsError, match="=avx512 is not available: this processor has "):
            why_not.__wrapped__()
