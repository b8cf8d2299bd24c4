"""One network, trained in several ways, or several that are made of it in the same way."""

import tempfile
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
from scipy.stats import t as student

from blocks.arch import Size
from blocks.export.prepare import optional_package
from blocks.images.batches import Images
from blocks.quantise import quantise_network, split_calibration
from scaling.compound import ScalingError
from scaling.experiments.bench import Bench
from scaling.experiments.table import Finding, Lead, Row, finding, leads, row_of
from scaling.training.images import load_images
from scaling.training.result import Trained
from search.data.batches import Batches, prepare
from search.data.splits import ImageData, Split


def run_variants(bench: Bench) -> Finding:
    """Train every variant with every seed, and compare them with the first.

    Raises:
        ScalingError, StudyError, ConfigError, DataError, TrainingError: as `scaling train`.
        ExportError: int8 without the packages that it needs.
    """
    variants = bench.experiment.variants
    for variant in variants:  # what cannot be made is refused before anything is trained
        bench.made(variant.make)
    int8 = bench.options.int8
    if int8:
        _check_int8(bench.data)
    found = [
        [bench.train(variant, variant.name, seed) for seed in bench.seeds] for variant in variants
    ]
    rows = [row_of(each.name, some) for each, some in zip(variants, found, strict=True)]
    said: list[str] = []
    if int8:
        quantised = [_int8_row(bench, row, some) for row, some in zip(rows, found, strict=True)]
        said = [
            f"int8 gives {row.name} {_paired(small.values, row.values)} points, in pairs of the "
            "same network"
            for row, small in zip(rows, quantised, strict=True)
        ]
        rows += quantised
    ahead = leads([row.values for row in rows], [(place, 0) for place in range(1, len(rows))])
    rows = [rows[0], *(replace(row, lead=lead) for row, lead in zip(rows[1:], ahead, strict=True))]
    return finding(bench, rows, found[0][0], said)


def _check_int8(data: ImageData) -> None:
    if data.several:
        raise ScalingError("int8=true is of images with one class each, these have several labels")
    for name in ("onnx", "onnxruntime", "onnxscript"):
        optional_package(name)


def _int8_row(bench: Bench, row: Row, trained: Sequence[Trained]) -> Row:
    """The int8 forms of one way's networks, on the same test images."""
    return replace(
        row,
        name=f"{row.name}, int8",
        values=tuple(int8_accuracy(bench, each) for each in trained),
        more={},
    )


def int8_accuracy(bench: Bench, trained: Trained) -> float:
    """Of a network's int8 form on the test images, calibrated with training images.

    Raises:
        ExportError: it cannot be written, or a package is missing.
    """
    network = trained.network()
    data = load_images(bench.source, network.arch.image)
    batches = prepare(data, network.arch.image)
    test, training = (_as_images(batches, each) for each in (batches.test, batches.train))
    calibration, judged = split_calibration(test, training)
    with tempfile.TemporaryDirectory() as folder:
        paths = Path(folder) / "float.onnx", Path(folder) / "int8.onnx"
        return quantise_network(network, *paths, calibration, judged).int8_accuracy


def _as_images(batches: Batches, split: Split) -> Images:
    mean, std = batches.mean.reshape(-1, 1, 1) / 255, batches.std.reshape(-1, 1, 1) / 255
    return Images(
        where="test images" if split is batches.test else "training images",
        labels=split.labels,
        read=lambda numbers: split.images[list(numbers)].float().contiguous() / 255,
        numbers=tuple(range(len(split))),
        size=Size(*split.images.shape[-2:]),
        mean=mean,
        std=std,
    )


def _paired(ours: Sequence[float], theirs: Sequence[float]) -> Lead:
    """The mean difference of pairs, with Student's interval."""
    gains = np.subtract(ours, theirs)
    if len(gains) < 2:
        return Lead(float(gains[0]))
    half = float(student.ppf(0.975, len(gains) - 1) * gains.std(ddof=1) / len(gains) ** 0.5)
    middle = float(gains.mean())
    return Lead(middle, middle - half, middle + half)
