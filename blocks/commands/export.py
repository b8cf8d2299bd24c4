"""`python -m blocks export ARCH`."""

import argparse
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from rich.table import Table

from blocks.console import console
from blocks.console import network as spelled
from blocks.errors import ExportError
from blocks.names import counted
from blocks.subject import NO_TOP_1, Subject, read_subject

if TYPE_CHECKING:
    from blocks.images.batches import Images
    from blocks.images.reading import Reading
    from blocks.network import Network
    from blocks.quantise import Int8Report

CHECKED_IMAGES = 16
"""Images on which the logits of each file are compared with PyTorch's."""


def configure(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "arch",
        help="a name of the zoo, a spelling, a YAML file of a search or family, or a "
        ".safetensors file that this command wrote",
    )
    parser.add_argument(
        "--weights",
        metavar="FILE",
        help="or package:NAME (default: what the YAML file names, else random weights)",
    )
    parser.add_argument(
        "--from",
        dest="source",
        default="auto",
        metavar="SOURCE",
        help="auto, timm, torchvision, efficientnet_pytorch, compound_nas",
    )
    parser.add_argument("--num-classes", type=int, default=None, metavar="N")
    parser.add_argument(
        "--to",
        default="onnx,torch_export,safetensors",
        metavar="FORMATS",
        help="(default: %(default)s)",
    )
    parser.add_argument(
        "--int8", action="store_true", help="also an int8 ONNX file, calibrated and measured"
    )
    parser.add_argument(
        "--images",
        type=Path,
        metavar="PATH",
        help="an .npz file or a folder (default: the embedded Fashion-MNIST)",
    )
    parser.add_argument(
        "--labels",
        default="folder",
        choices=("folder", "name"),
        help="a folder per class, or the last number in each file's name (default: folder)",
    )
    parser.add_argument(
        "--limit", type=int, default=2000, metavar="N", help="images at most (default: 2000)"
    )
    parser.add_argument(
        "--crop",
        type=float,
        metavar="FRACTION",
        help="of a photograph's shorter side (default: what the network was trained with; of "
        "published networks 0.875)",
    )
    parser.add_argument(
        "--mean",
        type=float,
        nargs="+",
        metavar="X",
        help="of pixels in 0…1 (default: the YAML file's, else ImageNet's for RGB, else 0.5)",
    )
    parser.add_argument("--std", type=float, nargs="+", metavar="X")
    parser.add_argument("--output", type=Path, metavar="DIR", help="(default: results/export/NAME)")
    parser.add_argument(
        "--seed", type=int, default=0, help="of random weights and of the choice of images"
    )


def run(arguments: argparse.Namespace) -> None:
    from blocks.export.files import export  # torch: seconds that --help need not pay
    from blocks.export.formats import find_format
    from blocks.export.prepare import Meaning
    from blocks.images.read import read_images

    formats = list(dict.fromkeys(word.strip() for word in arguments.to.split(",")))
    suffixes = {name: find_format(name).suffix for name in formats}
    if arguments.limit < 1:
        raise ExportError(f"--limit {arguments.limit} is not a number of images of 1 or more")
    subject = _subject(arguments)
    if subject.several and arguments.int8:
        raise ExportError(
            "--int8 is measured by top-1, which a network of task: multilabel has not; it is not "
            "done yet"
        )
    mean, std = arguments.mean or subject.mean, arguments.std or subject.std
    reading = _reading(subject, arguments.crop)
    meaning = Meaning(mean, std, subject.classes, reading, subject.task, subject.threshold)
    read = partial(
        read_images,
        arguments.images,
        subject.arch,
        subject.num_classes,
        mean=mean,
        std=std,
        labels=arguments.labels,
        classes=subject.classes,
        reading=reading,
        labelled=not subject.several,
    )
    test = read(part="test")
    network, weights = _build(subject, test, arguments)
    console.print(spelled(f"{subject.name}: {network.arch!s}", subject.name))
    console.print(f"weights: {weights or 'random, so that its accuracy means nothing'}")
    folder = arguments.output or Path("results") / "export" / subject.name
    if arguments.int8:
        calibration, measured = _int8_images(network, test, read(part="train"), arguments)
        suffixes = {"onnx": ".onnx", **suffixes}  # int8 is made of it
    checked = test.load(CHECKED_IMAGES)
    table = Table(title=str(folder), title_justify="left")
    for heading in ("file", "bytes", "max abs difference of logits"):
        table.add_column(heading, justify="left" if heading == "file" else "right")
    for name, suffix in suffixes.items():
        path = folder / f"{subject.name}{suffix}"
        difference = export(network, path, name, checked, meaning)
        table.add_row(path.name, f"{path.stat().st_size:,}", f"{difference:.1e}")
    report = None
    if arguments.int8:
        from blocks.quantise import compare, quantise

        int8_path = folder / f"{subject.name}.int8.onnx"
        quantise(folder / f"{subject.name}.onnx", int8_path, calibration)
        report = compare(folder / f"{subject.name}.onnx", int8_path, measured, len(calibration))
        table.add_row(int8_path.name, f"{report.int8_bytes:,}", "see below")
    console.print(table)
    console.print(f"checked on {counted(len(checked), 'image')} of {test.where}")
    if report is not None:
        _print_int8(report, measured)
    elif subject.several:
        console.print(NO_TOP_1)
    else:
        _print_accuracy(network, test, arguments)


def _subject(arguments: argparse.Namespace) -> Subject:
    if Path(arguments.arch).suffix == ".safetensors":
        from blocks.export.safetensors import read_spec

        subject = read_spec(Path(arguments.arch))
        if arguments.num_classes not in (None, subject.num_classes):
            raise ExportError(
                f"--num-classes {arguments.num_classes}, but {arguments.arch} is a network of "
                f"{subject.num_classes} classes"
            )
        return subject
    return read_subject(arguments.arch, arguments.num_classes)


def _reading(subject: Subject, crop: float | None) -> "Reading":
    """How images are read for the network, with another crop where one is asked for."""
    if crop is None:
        return subject.reading
    try:
        return replace(subject.reading, crop=crop)
    except ValueError as error:
        raise ExportError(f"--crop: {error}") from None


def _build(
    subject: Subject, images: "Images", arguments: argparse.Namespace
) -> tuple["Network", str | None]:
    """The network with its weights, and where they are from (None: drawn at random)."""
    from blocks.loading import load_from
    from blocks.weights.find import find_weights
    from blocks.weights.layouts import check_source

    check_source(arguments.source)
    path = find_weights(arguments.weights) if arguments.weights else subject.weights
    if path is None:
        return _random_network(subject, images, arguments.seed), None
    loaded = load_from(path, subject, arguments.source)
    return loaded.network, f"{path} ({loaded.source})"


def _random_network(subject: Subject, images: "Images", seed: int) -> "Network":
    """Random weights, and the statistics that some images and their mirror images have there.

    Without those the activations of a deep network grow until its logits are all rounding.
    """
    import torch

    from blocks.network import Network

    torch.manual_seed(seed)
    network = Network(subject.arch, subject.num_classes).eval()
    some = images.load(4)
    torch.optim.swa_utils.update_bn([torch.cat([some, some.flip(3)])], network)
    return network


def _int8_images(
    network: "Network", test: "Images", train: "Images", arguments: argparse.Namespace
) -> tuple["Images", "Images"]:
    """The images to calibrate with, and those to measure on."""
    from blocks.quantise import is_lite, split_calibration

    calibration, measured = split_calibration(test, train, arguments.seed)
    if not is_lite(network.arch):
        console.print(
            "not a Lite network (ReLU6, no squeeze-excite), so that int8 may lose much; "
            "`python -m blocks lite` gives its Lite form"
        )
    return calibration, _limited(measured, arguments)


def _limited(images: "Images", arguments: argparse.Namespace) -> "Images":
    if len(images) <= arguments.limit:
        return images
    return images.shuffled(arguments.seed).take(range(arguments.limit))


def _print_accuracy(network: "Network", images: "Images", arguments: argparse.Namespace) -> None:
    import torch

    from blocks.export.prepare import run_network

    chosen = _limited(images, arguments)
    if chosen.labels is None:
        return
    predicted = torch.cat([run_network(network, batch).argmax(1) for batch in chosen.batches()])
    right = int((predicted == chosen.labels).sum())
    console.print(
        f"top-1 {right / len(chosen):.4f} on {len(chosen):,} of {counted(len(images), 'image')} of "
        f"{images.where}"
    )


def _print_int8(report: "Int8Report", images: "Images") -> None:
    ratio, low, high = report.latency_ratio
    console.print(
        f"top-1 fp32 {report.float_accuracy:.4f}, int8 {report.int8_accuracy:.4f} "
        f"({100 * report.gain:+.2f} points), the same class on {100 * report.agreement:.2f}%: "
        f"{counted(report.images, 'image')} of {images.where}, calibrated with "
        f"{report.calibration_images} others"
    )
    console.print(
        f"int8 is {report.int8_bytes / report.float_bytes:.0%} of the bytes; one image takes "
        f"{report.float_median_ms:.2f} ms fp32, {report.int8_median_ms:.2f} ms int8: "
        f"{ratio:.2f} times as fast (5%–95%: {low:.2f}–{high:.2f}; ONNX Runtime, by turns, "
        f"{report.threads} threads)"
    )
