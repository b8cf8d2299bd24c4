"""A network explained on some images: maps, how faithful they are, gates; and what is written."""

import json
from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray
from torch import Tensor

from blocks.errors import ExportError
from blocks.figure import heat_colours
from blocks.files import write_whole
from blocks.images.inputs import decode_for
from blocks.latency.device import available_cores, torch_threads
from blocks.names import counted, did_you_mean
from blocks.network import Network
from scaling.compound import ScalingError
from scaling.explanation.attribution import choose_layers, explainable, maps_of
from scaling.explanation.deletion import Probable, area, deletion_curve, random_curve
from scaling.explanation.gates import gate_table, watched
from scaling.inference.model import Model
from scaling.inference.pictures import Pixels, plot_bars, plot_grid
from scaling.inference.predict import name_of
from scaling.inference.written import shown

RANDOM: Final = "random"
PER_PAGE: Final = 12


@dataclass(frozen=True)
class Explained:
    """An image: the class that is explained and its probability, its pixels (C, H, W) in 0…1, the
    maps (H, W) by name, and the area under each one's deletion curve, and under that of random
    order."""

    path: Path
    label: str
    probability: float
    pixels: Tensor
    maps: dict[str, NDArray[np.float32]]
    areas: dict[str, float]


@dataclass(frozen=True)
class Explanation:
    """All images, the gates as a table and, of each block, of all channels, and what could not be
    read."""

    images: tuple[Explained, ...]
    gates: pd.DataFrame
    openings: tuple[tuple[str, NDArray[np.float64]], ...]
    unread: tuple[tuple[Path, str], ...]

    def faithfulness(self) -> pd.DataFrame:
        """A row per kind of map: the mean area under the deletion curve, that of random order, and
        the share of images where the map is the better one."""
        table = pd.DataFrame([each.areas for each in self.images])
        return pd.DataFrame(
            [
                {
                    "map": name,
                    "area": table[name].mean(),
                    "area_random": table[RANDOM].mean(),
                    "better_on": (table[name] < table[RANDOM]).mean(),
                }
                for name in table.columns
                if name != RANDOM
            ]
        )


def explain(
    model: Model,
    paths: Iterable[Path],
    *,
    limit: int = 12,
    stages: int = 3,
    steps: int = 32,
    label: str | None = None,
    on_corrupt: str = "refuse",
) -> Explanation:
    """Explain what `model` says of some of the images, `limit` spread evenly over all.

    Raises:
        ScalingError: an ONNX file, a class that is none, no image that can be read, no captum.
    """
    if model.network is None:
        raise ScalingError(
            f"{model.source} is an ONNX file, which has no gradients; expected the YAML or "
            ".safetensors file that it was exported from"
        )
    target = None if label is None else _number(model, label)
    network = explainable(model.network)
    found, unread = [], []
    with watched(network) as gates:
        for path in _spread(list(paths), limit):
            try:
                pixels = decode_for(path, model.arch, model.subject.reading, ExportError)
            except ExportError as error:
                if on_corrupt == "refuse":
                    raise ScalingError(f"{error}; on_corrupt=skip goes on without") from None
                unread.append((path, str(error)))
                continue
            row = _probable(model, network)(_normalised(model, pixels))[0]
            found.append((path, pixels, row))
    if not found:
        raise ScalingError(f"none of {counted(len(unread), 'image')} can be read")
    openings = tuple((block, np.stack(kept).mean(0).astype(float)) for block, kept in gates.items())

    def look(task: tuple[int, tuple[Path, Tensor, Tensor]]) -> Explained:
        number, (path, pixels, row) = task
        chosen = int(row.argmax()) if target is None else target
        return _explained(model, path, pixels, row, chosen, stages, steps, number)

    # An image on each core: most of the time would go into threads that wait for one another.
    with torch_threads(1), ThreadPoolExecutor(available_cores()) as pool:
        images = tuple(pool.map(look, enumerate(found)))
    return Explanation(images, gate_table(gates), openings, tuple(unread))


def _explained(
    model: Model,
    path: Path,
    pixels: Tensor,
    row: Tensor,
    target: int,
    stages: int,
    steps: int,
    seed: int,
) -> Explained:
    assert model.network is not None
    network = explainable(model.network)  # its own: hooks are the network's, not the thread's
    image, probable = _normalised(model, pixels), _probable(model, network)
    maps = dict(maps_of(network, choose_layers(network, stages), image, target, steps))
    areas = {
        name: area(deletion_curve(probable, image, heat, target)) for name, heat in maps.items()
    }
    areas[RANDOM] = area(random_curve(probable, image, target, seed))
    arrays = {name: heat.numpy() for name, heat in maps.items()}
    return Explained(path, model.classes[target], float(row[target]), pixels, arrays, areas)


def _normalised(model: Model, pixels: Tensor) -> Tensor:
    return ((pixels - model.mean) / model.std)[None]


def _probable(model: Model, network: Network) -> Probable:
    def probable(images: Tensor) -> Tensor:
        with torch.no_grad():
            return model.probable(network(images))

    return probable


def _number(model: Model, label: str) -> int:
    if label not in model.classes:
        raise ScalingError(
            f"label={label} is no class of {model.name}{did_you_mean(label, model.classes)}"
        )
    return model.classes.index(label)


def _spread(paths: Sequence[Path], limit: int) -> list[Path]:
    if len(paths) <= limit:
        return list(paths)
    return [paths[round(place)] for place in np.linspace(0, len(paths) - 1, limit)]


def write_explanation(folder: Path, model: Model, found: Explanation) -> list[str]:
    """Write pages of overlays, the maps themselves, how faithful they are, and the gates; gives the
    names of the files."""
    names = []

    def write(name: str, content: bytes) -> None:
        write_whole(folder / name, content)
        names.append(name)

    for page, start in enumerate(range(0, len(found.images), PER_PAGE), 1):
        some = found.images[start : start + PER_PAGE]
        write(f"overlays_{page:02}.png" if page > 1 else "overlays.png", _page(some))
    write("faithfulness.csv", found.faithfulness().to_csv(index=False).encode())
    content = [
        {
            "file": name_of(each.path),
            "class": each.label,
            "probability": round(each.probability, 6),
            "deletion_areas": {name: round(value, 4) for name, value in each.areas.items()},
        }
        for each in found.images
    ]
    write("images.json", (json.dumps(content, indent=2, ensure_ascii=False) + "\n").encode())
    if len(found.gates):
        write("gates.csv", found.gates.to_csv(index=False).encode())
        title = f"{model.name}: squeeze-excite over {counted(len(found.images), 'image')}"
        write("gates.png", plot_bars(found.openings, title, "gates of all channels (0 is closed)"))
    return names


def _page(images: Sequence[Explained]) -> bytes:
    rows, titles = [], []
    for each in images:
        pixels = shown(each.pixels)
        rows.append([pixels, *(overlay(pixels, heat) for heat in each.maps.values())])
        areas = (f"{each.areas[name]:.2f} (random {each.areas[RANDOM]:.2f})" for name in each.maps)
        titles.append([f"{each.label[:20]} {each.probability:.2f}", *areas])
    columns = ["", *(f"{name}: Grad-CAM" for name in list(images[0].maps)[:-1])]
    return plot_grid(rows, titles, [*columns, "integrated gradients"])


def overlay(pixels: Pixels, heat: NDArray[np.float32]) -> Pixels:
    """The heat in colours over a pale grey image: (H, W, 3) in 0…1."""
    grey = np.repeat(pixels.mean(2, keepdims=True), 3, 2)
    most = np.percentile(heat, 99.5)
    share = np.clip(heat / most, 0, 1)[..., None] if most > 0 else np.zeros((*heat.shape, 1))
    colours = heat_colours(share[..., 0])
    weight = 0.15 + 0.6 * share
    return np.asarray((1 - weight) * grey + weight * colours, dtype=np.float32)
