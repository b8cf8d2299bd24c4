"""The arithmetic of memory against the tensors that PyTorch really keeps alive."""

import weakref
from collections.abc import Callable
from typing import Any

import pytest
import torch
from hypothesis import example, given, settings
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from blocks.arch import ArchSpec, parse_arch
from blocks.memory import memory
from blocks.network import Network
from blocks.zoo import ZOO, find_arch
from tests.strategies import archs


class AliveTensors(TorchDispatchMode):
    """Bytes of the storages that operators made and nobody has dropped yet, and their peak."""

    def __init__(self) -> None:
        super().__init__()
        self.alive = 0
        self.peak = 0
        self.known: set[int] = set()

    def __torch_dispatch__(
        self,
        func: Callable[..., Any],
        types: Any,
        args: tuple[Any, ...] = (),
        kwargs: dict[str, Any] | None = None,
    ) -> Any:
        outputs = func(*args, **(kwargs or {}))
        taken = {
            tensor.untyped_storage()._cdata for tensor in tree_leaves(args) if is_tensor(tensor)
        }
        for tensor in filter(is_tensor, tree_leaves(outputs)):
            storage = tensor.untyped_storage()
            if storage._cdata not in self.known | taken:
                self.known.add(storage._cdata)
                self.alive += storage.nbytes()
                weakref.finalize(storage, self._drop, storage._cdata, storage.nbytes())
        self.peak = max(self.peak, self.alive)
        return outputs

    def _drop(self, key: int, size: int) -> None:
        self.known.discard(key)
        self.alive -= size


def is_tensor(leaf: object) -> bool:
    return isinstance(leaf, torch.Tensor)


def measured_peak(arch: ArchSpec, num_classes: int) -> int:
    network = Network(arch, num_classes).eval()
    # Not inference_mode, under which the operators inside pooling and group norm are not seen.
    with torch.no_grad():
        image = torch.zeros(1, arch.in_channels, *arch.image)
        with AliveTensors() as tensors:
            network(image)
    return tensors.peak + image.numel() * 4


@settings(max_examples=60)
@given(archs())
@example(parse_arch("r5-i1-s64_mp-[ds_r1_k3_s1_e1_c4]-h1-nre"))
@example(parse_arch("r8-s16-[ir_r2_k3_s2_e4_c16_se0.25]-h8-gn2"))
@example(parse_arch("r3-s64_s1-[cn_r1_k3_s1_e1_c8]-h8-gn2-same"))
def test_peak_is_what_pytorch_keeps_alive(arch: ArchSpec) -> None:
    assert memory(arch, 7).peak_activations == measured_peak(arch, 7)


@pytest.mark.parametrize(
    "name", ["efficientnet_b0", "tf_efficientnet_b0", "mobilenetv3_small", "resnet50"]
)
def test_peak_of_published_networks(name: str) -> None:
    arch = find_arch(name)
    assert memory(arch).peak_activations == measured_peak(arch, 1000)


def test_bytes_of_weights() -> None:
    b0 = memory(ZOO["efficientnet_b0"])
    assert (b0.weights_fp32, b0.weights_fp16, b0.weights_int8) == (
        4 * 5_288_548,
        2 * 5_288_548,
        5_288_548,
    )
    assert b0.peak == b0.weights_fp32 + b0.peak_activations


def test_a_peak_by_hand() -> None:
    # 4×4 RGB image; stem 3→2 on 2×2; depthwise on 2 channels, project to 3; head of 4 channels.
    # The head's convolution and norm (2·4·4 elements) beside its input (3·4) and the image.
    arch = parse_arch("r4-s2-[ds_r1_k3_s1_e1_c3]-h4")
    assert memory(arch, 5).peak_activations == 4 * (3 * 16 + 3 * 4 + 2 * 4 * 4)
