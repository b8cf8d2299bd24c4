"""A known start against random weights.

With `weights=` or `start=` that is what the network begins with, on the user's images. Without, a
start is made: the first half of the classes is trained on, and the second half judged, of which
few images are to be had. So nothing that is judged was seen before, and no file is needed.
"""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Final

import numpy as np
import torch
from torch import Tensor

from blocks.arch import Size
from blocks.files import whole_file
from scaling.compound import ScalingError
from scaling.experiments.bench import Bench, open_bench
from scaling.experiments.config import Variant
from scaling.experiments.table import Finding, finding, leads, row_of
from scaling.training.images import load_images
from scaling.training.result import Trained
from search.config.arguments import quote
from search.data.splits import PARTS, ImageData, Split

KNOWN: Final = ("weights", "start")
_HEAD: Final = "classifier."


def run_pretraining(bench: Bench) -> Finding:
    """Train the first way from random weights, the others from known ones.

    Raises:
        ScalingError, StudyError, ConfigError, DataError, WeightsError, TrainingError: as `scaling
            train`; or there are too few classes to divide.
    """
    config = bench.asked().config
    if config.weights is not None or config.start is not None:
        return _from_given(bench)
    return _from_half(bench)


def _from_given(bench: Bench) -> Finding:
    plain, *others = bench.experiment.variants
    without = replace(plain, settings=(*plain.settings, "weights=null", "start=null"))
    found = [
        [bench.train(each, each.name, seed) for seed in bench.seeds] for each in (without, *others)
    ]
    return _compared(bench, found, ())


def _from_half(bench: Bench) -> Finding:
    first, second = _halves(bench.data)
    folder = bench.path("").parent / bench.experiment.name
    folder.mkdir(parents=True, exist_ok=True)
    pixels = load_images(bench.source, bench.arch.image)
    before = _write(folder / "first.npz", pixels, first, None)
    after = _write(folder / "second.npz", pixels, second, bench.options.images_per_class)
    start = Variant("first")
    upper = _bench_of(bench, before, (start,), ())
    later = (f"recipe.epochs={bench.options.later_epochs}",)
    lower = _bench_of(bench, after, bench.experiment.variants, later)
    plain, *others = lower.experiment.variants
    found: list[list[Trained]] = [[] for _ in lower.experiment.variants]
    for seed in bench.seeds:
        known = upper.train(start, "first", seed)
        weights = _headless(known, folder / f"first-{seed}.safetensors")
        found[0].append(lower.train(plain, plain.name, seed))
        for place, each in enumerate(others, start=1):
            begun = replace(each, settings=(*each.settings, f"weights={quote(weights)}"))
            found[place].append(lower.train(begun, each.name, seed))
    names = [", ".join(bench.data.classes[number] for number in some) for some in (first, second)]
    images = found[0][0].content["dataset"]["train"]
    said = (
        f"start: the network after {bench.asked().config.recipe.epochs} epochs of {names[0]}",
        f"judged: {names[1]}; {images:,} training images, {bench.options.later_epochs} epochs",
    )
    return _compared(bench, found, said)


def _compared(bench: Bench, found: Sequence[Sequence[Trained]], said: Sequence[str]) -> Finding:
    variants = bench.experiment.variants
    rows = [row_of(each.name, some) for each, some in zip(variants, found, strict=True)]
    ahead = leads([row.values for row in rows], [(place, 0) for place in range(1, len(rows))])
    rows = [rows[0], *(replace(row, lead=lead) for row, lead in zip(rows[1:], ahead, strict=True))]
    return finding(bench, rows, found[0][0], said)


def _halves(data: ImageData) -> tuple[range, range]:
    classes = data.num_classes
    if data.several or classes < 4:
        raise ScalingError(
            f"pretraining divides the classes, and {data.name} has "
            f"{'several labels an image' if data.several else f'{classes} classes'}; expected 4 "
            "classes or more, or weights=FILE or start=MEMBER to begin with"
        )
    return range(classes // 2), range(classes // 2, classes)


def _write(path: Path, data: ImageData, classes: range, few: int | None) -> Path:
    """The images of these classes as arrays, numbered from 0; of `few` so many training images of
    each class, the same whatever the seed."""
    arrays: dict[str, Any] = {}
    for part in PARTS:
        split: Split = getattr(data, part)
        rows = _rows(split.labels, classes, few if part == "train" else None)
        if not len(rows):
            raise ScalingError(f"{data.name} has no {part} images of classes {list(classes)}")
        arrays[f"x_{part}"] = split.rows(rows).images.permute(0, 2, 3, 1).numpy()
        arrays[f"y_{part}"] = (split.labels[rows] - classes.start).numpy()
    with whole_file(path) as temporary, temporary.open("wb") as file:
        np.savez(file, **arrays)
    return path


def _rows(labels: Tensor, classes: range, few: int | None) -> Tensor:
    generator = torch.Generator().manual_seed(0)
    order = torch.randperm(len(labels), generator=generator)
    own = [order[labels[order] == number][:few] for number in classes]
    return torch.cat(own).sort().values


def _bench_of(
    bench: Bench, images: Path, variants: tuple[Variant, ...], settings: Sequence[str]
) -> Bench:
    """The same network on other images, in a study of its own within this one's folder."""
    words = (
        "study", "results_dir", "network", "member", "dataset", "task", "resolution", "stream",
    )  # fmt: skip
    kept = [
        line
        for line in bench.overrides
        if line.lstrip("+~").partition("=")[0].partition(".")[0] not in words
    ]
    size = Size(*bench.arch.image)
    own = [
        f"study={bench.experiment.name}",
        f"results_dir={quote(bench.source.folder / 'experiments')}",
        f"network={bench.arch}",
        "dataset=npz",
        f"dataset.root={quote(images)}",
        f"resolution={size}",
    ]
    if not bench.source.flip:
        own.append("recipe.flip=false")
    experiment = replace(bench.experiment, variants=variants)
    return open_bench(experiment, bench.options, [*kept, *own, *settings], bench.watcher)


def _headless(trained: Trained, path: Path) -> Path:
    """Its weights without the classifier, which is that of other classes."""
    from safetensors.torch import save_file

    state = trained.network().state_dict()
    kept = {name: value.contiguous() for name, value in state.items() if _HEAD not in name}
    with whole_file(path) as temporary:
        save_file(kept, str(temporary))
    return path
