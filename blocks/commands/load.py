"""`python -m blocks load ARCH FILE`."""

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from blocks.console import console
from blocks.errors import WeightsError
from blocks.names import counted
from blocks.subject import NO_TOP_1, Subject, read_subject

if TYPE_CHECKING:
    from blocks.network import Network


def configure(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("arch", help="a name of the zoo, a spelling, or a YAML file of a family")
    parser.add_argument(
        "file", help="a .pth, .pt, .bin or .safetensors file, or package:NAME of an installed one"
    )
    parser.add_argument(
        "--from",
        dest="source",
        default="auto",
        metavar="SOURCE",
        help="auto, timm, torchvision, efficientnet_pytorch, compound_nas",
    )
    parser.add_argument("--num-classes", type=int, default=None, metavar="N")
    parser.add_argument("--to", default="compound_nas", metavar="SOURCE", help="layout to write")
    parser.add_argument("--output", type=Path, metavar="FILE", help=".safetensors or .pt")
    parser.add_argument("--images", type=Path, help="labelled images to classify (see export)")
    parser.add_argument("--labels", default="folder", choices=("folder", "name"))
    parser.add_argument("--mean", type=float, nargs="+", metavar="X", help="of pixels in 0…1")
    parser.add_argument("--std", type=float, nargs="+", metavar="X")


def run(arguments: argparse.Namespace) -> None:
    from blocks.loading import load_from  # torch: seconds that --help need not pay
    from blocks.weights.find import find_weights
    from blocks.weights.layouts import check_source

    check_source(arguments.source)
    check_source(arguments.to)
    subject = read_subject(arguments.arch, arguments.num_classes)
    path = find_weights(arguments.file)
    loaded = load_from(path, subject, arguments.source)
    network = loaded.network
    params = sum(parameter.numel() for parameter in network.parameters())
    console.print(f"{path.name} ({loaded.source}): every tensor fits, {params:,} params")
    console.print(str(network.arch), whole=True)
    if arguments.images is not None:
        _classify(network, subject, arguments)
    if arguments.output is not None:
        _write(network, subject, arguments)


def _write(network: "Network", subject: Subject, arguments: argparse.Namespace) -> None:
    """Write the weights; say what of the network no tensor holds."""
    from blocks.weights.layouts import source_arch
    from blocks.weights.rename import to_foreign
    from blocks.weights.write import write_state

    if arguments.to == "auto":
        raise WeightsError("--to auto is not a layout to write; name one")
    arch = network.arch
    state = to_foreign(network.state_dict(), arch, arguments.to)
    own = arguments.to == "compound_nas"
    metadata = {"arch": str(arch), "num_classes": str(subject.num_classes)} if own else None
    write_state(state, arguments.output, metadata)
    console.print(f"wrote {arguments.output} in the layout of {arguments.to}")
    if own and arguments.output.suffix == ".safetensors":
        return  # which holds the spelling, and `load` reads it
    plain = source_arch(subject.name, subject.arch, arguments.to)
    for field in ("padding", "norm_eps"):
        ours, theirs = getattr(arch, field), getattr(plain, field)
        if ours != theirs:
            console.print(
                f"mind: these weights need {field} {ours}, which is not in the file; "
                f"{subject.name} of {arguments.to} has {theirs}"
            )


def _classify(network: "Network", subject: Subject, arguments: argparse.Namespace) -> None:
    if subject.several:
        console.print(NO_TOP_1)
        return
    import torch

    from blocks.images.read import read_images

    images = read_images(
        arguments.images,
        network.arch,
        subject.num_classes,
        mean=arguments.mean or subject.mean,
        std=arguments.std or subject.std,
        labels=arguments.labels,
        classes=subject.classes,
        reading=subject.reading,
    )
    if images.labels is None:
        raise WeightsError(f"{arguments.images} has no labels; see --labels")
    with torch.inference_mode():
        predicted = torch.cat([network(batch).argmax(1) for batch in images.batches()])
    right = int((predicted == images.labels).sum())
    console.print(
        f"top-1 {right} of {counted(len(images), 'image')} right ({right / len(images):.4f})"
    )
