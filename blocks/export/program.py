"""Programs of `torch.export`."""

import io
from pathlib import Path

import torch
from torch import Tensor

from blocks.export.prepare import NOTHING_KNOWN, Meaning, prepared, run_network, spec_of
from blocks.files import whole_file
from blocks.network import Network


def export_program(network: Network, path: Path, meaning: Meaning = NOTHING_KNOWN) -> None:
    """Write `network` as a `torch.export` program (`.pt2`), evaluation mode, dynamic batch size.

    `torch.export.load(path).module()` is a module that needs nothing of this project. Its extra
    files hold the spelling, and the `meaning` of input and output.

    Raises:
        ExportError: the file cannot be written.
    """
    network, images, dynamic_shapes = prepared(network)
    program = torch.export.export(network, (images,), dynamic_shapes=dynamic_shapes)
    for node in program.graph.nodes:
        node.meta.pop("stack_trace", None)
    # By way of memory: a full disk is an OSError of ours, and not what torch makes of it.
    content = io.BytesIO()
    torch.export.save(program, content, extra_files=spec_of(network, meaning))
    with whole_file(path) as temporary:
        temporary.write_bytes(content.getbuffer())


def run_program(path: Path, images: Tensor) -> Tensor:
    """Logits (N, num_classes) of a program."""
    return run_network(torch.export.load(path).module(), images)
