"""Answers a second of a small network on image files, from the disk to the class.

    python results/benchmarks/answers.py --images 8000 --repeats 5

The shipped images as PNG files, a network of about a million macs, and the same weights in an ONNX
file: `scaling.inference.answers.ask` beside the plain way, a torchvision `ImageFolder` with
Pillow's resizing in a `DataLoader` of two workers, and the network on all threads. Images and
weights are the same; the ways take turns.
"""

import io
import tempfile
import time
from collections.abc import Callable
from importlib import resources
from pathlib import Path

import numpy as np
import torch
import yaml
from harness import check_finite, make_parser, parse, print_foot, spread
from PIL import Image
from torch.utils.data import DataLoader
from torchvision import transforms
from torchvision.datasets import ImageFolder

from blocks.arch import parse_arch
from blocks.cost import count
from blocks.export.onnx import export_onnx
from blocks.export.prepare import Meaning
from blocks.export.safetensors import save_safetensors
from blocks.network import Network
from scaling.inference.answers import ask
from scaling.inference.config import PredictConfig
from scaling.inference.model import Model, read_model

ARCH = (
    "r28-i1-s8_s1-[ds_r2_k3_s1_e1_c16|ds_r1_k5_s2_e1_c8|ds_r3_k3_s1_e1_c8|"
    "ir_r1_k7_s2_e6_c24_se0.25]-h48"
)
MOMENTS = (0.286, 0.353)


def write_images(folder: Path, images: int) -> list[Path]:
    """So many of the shipped images as PNG files, in ten class folders."""
    file = resources.files("blocks.embedded") / "fashion_mnist_6000_2000.npz"
    with np.load(io.BytesIO(file.read_bytes())) as arrays:
        x, y = arrays["x_train"], arrays["y_train"]
    paths = []
    for number in range(images):
        path = folder / f"{y[number % len(y)]}" / f"{number:06}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(x[number % len(x)]).save(path)
        paths.append(path)
    return sorted(paths)


def write_network(folder: Path) -> tuple[Path, Path]:
    """A YAML file with weights, and an ONNX file, of the same random network."""
    torch.manual_seed(0)
    network = Network(parse_arch(ARCH), 10).eval()
    mean, std = ([moment] for moment in MOMENTS)
    meaning = Meaning(mean, std)
    save_safetensors(network, folder / "model.safetensors", meaning)
    export_onnx(network, folder / "model.onnx", meaning)
    content = {
        "name": "small",
        "arch": ARCH,
        "num_classes": 10,
        "weights": "model.safetensors",
        "normalisation": {"mean": mean, "std": std},
    }
    (folder / "model.yaml").write_text(yaml.safe_dump(content, width=10_000))
    return folder / "model.yaml", folder / "model.onnx"


def ours(model: Model, paths: list[Path]) -> torch.Tensor:
    """Classes of all files."""
    return torch.cat([answers.found.argmax(1) for answers in ask(model, paths)])


def plain(network: torch.nn.Module, root: Path, workers: int) -> torch.Tensor:
    """The same by torchvision's folder and torch's loader."""
    side = parse_arch(ARCH).resolution
    steps = transforms.Compose(
        [
            transforms.Grayscale(),
            transforms.Resize(side),
            transforms.CenterCrop(side),
            transforms.ToTensor(),
            transforms.Normalize(*MOMENTS),
        ]
    )
    loader = DataLoader(ImageFolder(str(root), steps), 256, num_workers=workers)
    with torch.inference_mode():
        return torch.cat([network(images).argmax(1) for images, _ in loader])


def main() -> None:
    parser = make_parser(__doc__, seed=0)
    parser.add_argument("--images", type=int, default=8000)
    parser.add_argument("--repeats", type=int, default=5)
    arguments = parse(parser, images=200, repeats=1)
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder) / "images"
        paths = write_images(root, arguments.images)
        yaml_file, onnx_file = write_network(Path(folder))
        model = read_model(PredictConfig(), str(yaml_file))
        onnx = read_model(PredictConfig(), str(onnx_file))
        assert model.network is not None
        network = model.network
        ways: dict[str, Callable[[], torch.Tensor]] = {
            "scaling predict": lambda: ours(model, paths),
            "scaling predict, ONNX": lambda: ours(onnx, paths),
            "DataLoader of 2 workers": lambda: plain(network, root, 2),
            "DataLoader without workers": lambda: plain(network, root, 0),
        }
        rates: dict[str, list[float]] = {name: [] for name in ways}
        found = {}
        for _ in range(arguments.repeats):
            for name, way in ways.items():
                started = time.perf_counter()
                found[name] = way()
                rates[name].append(len(paths) / (time.perf_counter() - started))
    first = found["scaling predict"]
    for name, answers in found.items():
        same = float(np.mean((answers == first).numpy()))
        check_finite(f"{name}: the same class", [same], low=0.99)
        check_finite(name, rates[name], low=1)
        print(f"{name}: {spread(rates[name], 0, 0, 100)} images/s")
    print(f"{count(parse_arch(ARCH), 10).macs:,} macs an image")
    print_foot(arguments, "onnxruntime")


if __name__ == "__main__":
    main()
