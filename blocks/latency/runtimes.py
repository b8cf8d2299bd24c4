"""A network made ready to be run, over and over, in each runtime."""

import contextlib
import copy
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from blocks.errors import ExportError, LatencyError, one_line

if TYPE_CHECKING:
    from torch import Tensor

    from blocks.network import Network


def example_images(network: "Network", batch: int) -> "Tensor":
    """Normalised random images (batch, in_channels, height, width), always the same."""
    import torch

    generator = torch.Generator().manual_seed(0)
    return torch.randn(batch, network.arch.in_channels, *network.arch.image, generator=generator)


_Bind = Callable[["Tensor"], Callable[[], object]]
"""Images → a call without arguments that runs them and returns once it is done."""


@contextlib.contextmanager
def ready(network: "Network", runtime: str, device: str) -> Iterator[Callable[[int], _Bind]]:
    """What is done once per network and runtime; gives threads → images → call."""
    if runtime == "onnxruntime":
        with exported(network) as path:
            yield lambda threads: _onnxruntime(path, threads)
    else:
        build = _compile if runtime == "compile" else _eager
        yield lambda threads: build(network, threads, device)


def for_inference(network: "Network", device: str = "cpu") -> "Network":
    """A copy in evaluation mode and channels-last memory."""
    import torch

    moved: Network = copy.deepcopy(network).eval().to(device)
    return moved.to(memory_format=torch.channels_last)


def _eager(network: "Network", threads: int, device: str) -> _Bind:
    del threads  # PyTorch's own setting holds
    return _torch_call(for_inference(network, device), device)


def _compile(network: "Network", threads: int, device: str) -> _Bind:
    import torch
    import torch._inductor.config as inductor

    # Generated code holds its number of threads. Said here it is a part of the key of inductor's
    # cache on disk; taken from set_num_threads, some versions would find another number's code.
    torch._dynamo.reset()
    module = torch.compile(for_inference(network, device), dynamic=False, fullgraph=True)
    bind = _torch_call(module, device)

    def compiled(images: "Tensor") -> Callable[[], object]:
        call = bind(images)
        try:
            with inductor.patch({"cpp.threads": threads}):
                call()
        except Exception as error:  # a missing C++ compiler, among many
            reason = one_line(error)
            raise LatencyError(f"torch.compile cannot build the network: {reason[:200]}") from None
        return call

    return compiled


def _torch_call(module: Any, device: str) -> _Bind:
    import torch

    def bind(images: "Tensor") -> Callable[[], object]:
        images = images.to(device).contiguous(memory_format=torch.channels_last)

        @torch.inference_mode()
        def call() -> object:
            logits = module(images)
            if device == "cuda":
                torch.cuda.synchronize()
            return logits

        return call

    return bind


def _onnxruntime(path: Path, threads: int) -> _Bind:
    from blocks.export.onnx import INPUT, onnx_session

    try:
        session = onnx_session(path, threads)
    except ExportError as error:
        raise LatencyError(f"runtime onnxruntime: {error}") from None

    def bind(images: "Tensor") -> Callable[[], object]:
        feed = {INPUT: images.numpy()}
        return lambda: session.run(None, feed)

    return bind


@contextlib.contextmanager
def exported(network: "Network") -> Iterator[Path]:
    """`network` as an ONNX file that is gone afterwards.

    Raises:
        LatencyError: a package is missing, or the network cannot be written.
    """
    from blocks.export.onnx import export_onnx
    from blocks.export.prepare import optional_package

    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "network.onnx"
        try:
            optional_package("onnxruntime")  # before an export that takes seconds
            export_onnx(network, path)
        except ExportError as error:
            raise LatencyError(f"runtime onnxruntime: {error}") from None
        yield path
