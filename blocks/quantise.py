"""int8 post-training quantisation with ONNX Runtime, and what it costs in accuracy.

Static: the ranges of all activations are taken from calibration images. Weights are int8 with a
scale for each channel, activations uint8 with one for each tensor; the file is an ordinary ONNX
file of quantise and dequantise nodes (QDQ), which runs wherever ONNX does.

Lite networks (no squeeze-excite, ReLU6) are made for this: ReLU6 bounds every range. Others are
quantised too; what they lose is measured and stands in the report.
"""

import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
import torch
from torch import Tensor

from blocks.arch import ArchSpec
from blocks.errors import ExportError
from blocks.export.files import export
from blocks.export.onnx import INPUT, onnx_session, run_session
from blocks.export.prepare import optional_package
from blocks.files import whole_file
from blocks.images.batches import Images
from blocks.network import Network

CALIBRATION_IMAGES: Final = 256
"""Ranges are settled well before; more images only widen them by outliers."""

_LATENCY_REPEATS: Final = 100
_LATENCY_WARM_UP: Final = 10
_CHECKED_IMAGES: Final = 16


@dataclass(frozen=True)
class Int8Report:
    """A float32 and an int8 ONNX file of one network, side by side on the same labelled images.

    Accuracies are top-1 fractions of `images` images, `agreement` the fraction on which both
    name the same class. `latency_ratio` is float32 time over int8 time, of one image, by turns
    (median of all turns, and their 5% and 95%), with ONNX Runtime's threads at `threads`.
    """

    images: int
    calibration_images: int
    float_accuracy: float
    int8_accuracy: float
    agreement: float
    float_bytes: int
    int8_bytes: int
    float_median_ms: float
    int8_median_ms: float
    latency_ratio: tuple[float, float, float]
    threads: int

    @property
    def gain(self) -> float:
        """Accuracy won by int8, as a fraction; mostly it is lost, and this negative."""
        return self.int8_accuracy - self.float_accuracy


def is_lite(arch: ArchSpec) -> bool:
    """Whether all activations are ReLU6 and no stage has squeeze-excite."""
    return arch.act == "relu6" and not any(stage.act or stage.se_ratio for stage in arch.stages)


def quantise(float_path: Path, path: Path, calibration: Images) -> None:
    """Write the int8 form of the ONNX file `float_path` to `path`, calibrated on those images.

    Raises:
        ExportError: a package is missing, or the file cannot be read, quantised or written.
    """
    optional_package("onnx")
    onnx_session(float_path)  # a file that cannot be read is named here, in one line
    shapes = optional_package("onnxruntime.quantization.shape_inference")
    quantization = optional_package("onnxruntime.quantization")
    with whole_file(path) as temporary, tempfile.TemporaryDirectory() as folder:
        prepared = Path(folder) / "prepared.onnx"
        # Fuses what can be fused and infers every shape, which the quantiser builds on.
        shapes.quant_pre_process(str(float_path), str(prepared))
        quantization.quantize_static(
            str(prepared),
            str(temporary),
            _CalibrationReader(calibration),
            quant_format=quantization.QuantFormat.QDQ,
            per_channel=True,
            activation_type=quantization.QuantType.QUInt8,
            weight_type=quantization.QuantType.QInt8,
            calibrate_method=quantization.CalibrationMethod.MinMax,
        )


class _CalibrationReader:
    """ONNX Runtime's protocol of a calibration set: a batch at a time, then None."""

    def __init__(self, images: Images) -> None:
        self._batches: Iterator[Tensor] = images.batches()

    def get_next(self) -> dict[str, Any] | None:
        batch = next(self._batches, None)
        return None if batch is None else {INPUT: batch.numpy()}


def split_calibration(images: Images, training: Images, seed: int = 0) -> tuple[Images, Images]:
    """Images to calibrate with, and others to measure on.

    The first are at most `CALIBRATION_IMAGES` of `training`; where that is the same set, they
    are taken out of `images`, at most half.

    Raises:
        ExportError: no labels, or a single image.
    """
    check_labels(images)
    if training.where != images.where:
        mixed = training.shuffled(seed)
        return mixed.take(range(min(CALIBRATION_IMAGES, len(mixed)))), images
    if len(images) < 2:
        raise ExportError(
            f"{images.where} has {len(images)} image; expected 2 or more, as int8 is not "
            "measured on the images that it is calibrated with"
        )
    mixed = images.shuffled(seed)
    calibrating = min(CALIBRATION_IMAGES, len(images) // 2)
    return mixed.take(range(calibrating)), mixed.take(range(calibrating, len(mixed)))


def check_labels(images: Images) -> Tensor:
    """The labels of `images`.

    Raises:
        ExportError: it has none.
    """
    if images.labels is None:
        raise ExportError(
            f"{images.where} has no labels of the network's classes; int8 needs labelled images "
            "to measure what it loses (--images, --labels)"
        )
    return images.labels


def compare(
    float_path: Path, int8_path: Path, images: Images, calibration_images: int
) -> Int8Report:
    """Run both files on all images and measure their latency by turns.

    Raises:
        ExportError: the images have no labels, or a file cannot be run.
    """
    all_labels = check_labels(images)
    sessions = [onnx_session(path) for path in (float_path, int8_path)]
    float_right = int8_right = agreeing = seen = 0
    for batch in images.batches():
        labels = all_labels[seen : seen + len(batch)]
        float_class, int8_class = (run_session(each, batch).argmax(1) for each in sessions)
        float_right += int((float_class == labels).sum())
        int8_right += int((int8_class == labels).sum())
        agreeing += int((float_class == int8_class).sum())
        seen += len(batch)
    float_ms, int8_ms = time_by_turns(float_path, int8_path, images.load(1))
    low, middle, high = np.percentile(float_ms / int8_ms, [5, 50, 95])
    return Int8Report(
        images=seen,
        calibration_images=calibration_images,
        float_accuracy=float_right / seen,
        int8_accuracy=int8_right / seen,
        agreement=agreeing / seen,
        float_bytes=float_path.stat().st_size,
        int8_bytes=int8_path.stat().st_size,
        float_median_ms=float(np.median(float_ms)),
        int8_median_ms=float(np.median(int8_ms)),
        latency_ratio=(float(middle), float(low), float(high)),
        threads=torch.get_num_threads(),
    )


def time_by_turns(first: Path, second: Path, image: Tensor) -> tuple[Any, Any]:
    """Milliseconds of both ONNX files on `image`, one after the other, so many times.

    By turns, so that another load on the machine slows both.
    """
    sessions = [onnx_session(path) for path in (first, second)]
    inputs = {INPUT: image.numpy()}
    times: list[list[float]] = [[], []]
    for _ in range(_LATENCY_WARM_UP + _LATENCY_REPEATS):
        for session, own in zip(sessions, times, strict=True):
            started = time.perf_counter()
            session.run(None, inputs)
            own.append(1e3 * (time.perf_counter() - started))
    return tuple(np.array(own[_LATENCY_WARM_UP:]) for own in times)  # type: ignore[return-value]


def quantise_network(
    network: Network, float_path: Path, int8_path: Path, calibration: Images, images: Images
) -> Int8Report:
    """Export `network` to ONNX, quantise that with `calibration`, and measure both on `images`.

    Raises:
        ExportError: see `export`, `quantise` and `compare`.
    """
    check_labels(images)
    export(network, float_path, "onnx", images.load(_CHECKED_IMAGES))
    quantise(float_path, int8_path, calibration)
    return compare(float_path, int8_path, images, len(calibration))
