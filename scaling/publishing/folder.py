"""The folder that `python -m scaling publish` writes: weights, ONNX, model.yaml, a model card."""

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final

import torch
import yaml
from torch import Tensor

from blocks.arch import arch_to_mapping, format_arch
from blocks.cost import count
from blocks.errors import ArchError
from blocks.export.files import check_logits, export
from blocks.export.prepare import Meaning, run_network
from blocks.files import write_whole
from blocks.images.reading import whole_mapping
from blocks.latency.measure import measure_latency
from blocks.latency.values import Latency
from blocks.machine import versions
from blocks.network import Network
from blocks.yaml_text import load_yaml
from scaling.compound import ScalingError
from scaling.inference.evaluate import Evaluation
from scaling.inference.model import Model
from scaling.inference.written import summary
from scaling.plot import plot_confusion

MODEL, WEIGHTS, ONNX, CARD = "model.yaml", "model.safetensors", "model.onnx", "README.md"
CHECKED: Final = 16
"""Images on which ONNX and timm have to give PyTorch's logits."""
SECONDS: Final = 3.0
"""Of measuring in each runtime, at most."""
RUNTIMES: Final = ("eager", "onnxruntime")


@dataclass(frozen=True)
class Published:
    """What is in the folder. `evaluation`: None where there were no images. `timm`: why timm cannot
    build the network; None: it can. `differences`: of logits from PyTorch's, by file."""

    folder: Path
    name: str
    model: Model
    content: dict[str, Any]
    evaluation: Evaluation | None
    latencies: tuple[Latency, ...]
    differences: dict[str, float]
    timm: str | None
    license: str

    @property
    def figures(self) -> dict[str, Any]:
        """What it reaches, by name."""
        return {} if self.evaluation is None else dict(self.evaluation.judged.figures)


def publish(
    model: Model, name: str, folder: Path, license_name: str, evaluation: Evaluation | None
) -> Published:
    """Write weights, ONNX file and model.yaml, and prove that all give the same logits.

    Raises:
        ScalingError: an ONNX file, which has no weights to hand on, or a folder that holds
            something else.
        ExportError: a file gives other logits than PyTorch.
    """
    network = model.network
    if network is None:
        raise ScalingError(
            f"{model.source} is an ONNX file; expected what it was exported from, a YAML or "
            ".safetensors file"
        )
    if folder.exists() and any(folder.iterdir()) and not (folder / CARD).is_file():
        raise ScalingError(f"{folder} holds other files; expected a new folder, or output=FOLDER")
    subject = model.subject
    meaning = Meaning(
        model.mean.flatten().tolist(),
        model.std.flatten().tolist(),
        model.classes,
        subject.reading,
        subject.task,
        subject.threshold,
    )
    images = _examples(model, evaluation)
    differences = {
        file: export(network, folder / file, kind, images, meaning)
        for file, kind in ((WEIGHTS, "safetensors"), (ONNX, "onnx"))
    }
    content = _content(model, network, name, license_name, evaluation)
    text = yaml.safe_dump(content, sort_keys=False, width=10_000, allow_unicode=True)
    write_whole(folder / MODEL, text.encode())
    refused, difference = _by_timm(folder, network, images)
    if difference is not None:
        differences["timm"] = difference
    latencies = tuple(measure_latency(network, 1, 1, each, seconds=SECONDS) for each in RUNTIMES)
    if evaluation is not None:
        write_whole(
            folder / "per_class.csv", evaluation.judged.classes.to_csv(index=False).encode()
        )
        if evaluation.judged.confusion is not None:
            picture = plot_confusion(evaluation.judged.confusion, model.classes, name)
            write_whole(folder / "confusion.png", picture)
    return Published(
        folder, name, model, content, evaluation, latencies, differences, refused, license_name
    )


def _examples(model: Model, evaluation: Evaluation | None) -> Tensor:
    """Normalised images that files are checked on: real ones, where there are."""
    if evaluation is not None and evaluation.labelled.pixels is not None:
        some = next(evaluation.labelled.pixels())[:CHECKED]
        pixels = some.float() / 255 if some.dtype == torch.uint8 else some
    else:
        arch = model.arch
        generator = torch.Generator().manual_seed(0)
        shape = (CHECKED, arch.in_channels, *arch.image)
        pixels = torch.rand(shape, generator=generator)
    return (pixels - model.mean) / model.std


def _content(
    model: Model, network: Network, name: str, license_name: str, evaluation: Evaluation | None
) -> dict[str, Any]:
    """model.yaml: what the network's own file says of its training, and all that its use needs."""
    subject, known = model.subject, known_of(model)
    several = {"task": subject.task, "threshold": model.threshold} if model.subject.several else {}
    judged = {} if evaluation is None else {"published": summary(model, evaluation)}
    return {
        "name": name,
        "arch": format_arch(network.arch),
        "num_classes": subject.num_classes,
        **several,
        "license": license_name,
        "cost": asdict(count(network.arch, subject.num_classes)),
        **{key: known[key] for key in KEPT if key in known},
        **judged,
        "weights": WEIGHTS,
        "normalisation": {
            "mean": model.mean.flatten().tolist(),
            "std": model.std.flatten().tolist(),
        },
        "dataset": {**(known.get("dataset") or {}), "classes": list(model.classes)},
        "reading": whole_mapping(subject.reading),
        "versions": versions(),
        "fields": arch_to_mapping(network.arch),
    }


KEPT: Final = (
    "recipe", "metrics", "final", "proxy", "trial", "seed", "teacher", "started_from", "rounding",
)  # fmt: skip
"""Of the file that the network is read from, what says how it came about."""


def known_of(model: Model) -> dict[str, Any]:
    """What the network's own YAML file says; nothing of others."""
    if model.source is None or model.source.suffix not in (".yaml", ".yml"):
        return {}
    content = load_yaml(model.source.read_text(encoding="utf-8"))
    return content if isinstance(content, dict) else {}


def _by_timm(folder: Path, network: Network, images: Tensor) -> tuple[str | None, float | None]:
    """Why timm cannot build the network, or else how far its logits are from PyTorch's."""
    try:
        import timm

        from blocks.timm_models import register_folder
    except ImportError:
        return "it was not installed where this was published", None
    try:
        model = timm.create_model(register_folder(folder), pretrained=True).eval()
    except ArchError as error:
        return str(error), None
    reference = run_network(network.cpu().eval(), images)
    return None, check_logits(run_network(model, images), reference, folder / "timm")
