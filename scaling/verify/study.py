"""A family against the study that it is of: its B0, images and coefficients."""

import csv
import json
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Any

from blocks.arch import ArchSpec, format_arch
from blocks.errors import DAMAGED, CompoundNasError, one_line
from blocks.yaml_text import load_yaml
from scaling.family.origin import read_dataset
from scaling.fitting.record import read_fit
from scaling.verify.table import same
from search.data.datasets import load_data
from search.record.folder import StudyFolder
from search.study.baseline import read_baseline


def check_study(folder: StudyFolder, members: dict[str, dict[str, Any]]) -> Iterator[str]:
    """What of the members does not agree with the study that they are of."""
    chosen, dataset = read_baseline(folder), read_dataset(folder)
    baseline = format_arch(chosen.arch)
    b0 = folder / "b0.yaml"
    for name, content in members.items():
        if content["baseline"] != baseline:
            yield f"{name}.yaml: baseline is {content['baseline']}, {baseline} in {b0}"
        if content["num_classes"] != chosen.num_classes:
            yield f"{name}.yaml: {content['num_classes']} classes, {chosen.num_classes} in {b0}"
        if content.get("dataset") != dataset:
            yield f"{name}.yaml: dataset is {content.get('dataset')}, {dataset} in {b0}"
    if "b0" in members and members["b0"]["arch"] != baseline:
        yield f"b0.yaml of the family is {members['b0']['arch']}, {baseline} in {b0}"
    yield from _images(folder, dataset)
    yield from _coefficients(folder, chosen.arch, members)


def _images(folder: StudyFolder, dataset: dict[str, str] | None) -> Iterator[str]:
    """Whether b0.yaml, environment.json, fit.json and the images themselves have one hash."""
    hashes = {} if dataset is None else {str(folder / "b0.yaml"): dataset["sha256"]}
    for path in (folder / "environment.json", folder / "scaling" / "fit.json"):
        if not path.exists():
            continue  # said where it is missed
        try:
            hashes[str(path)] = json.loads(path.read_text(encoding="utf-8"))["dataset_sha256"]
        except DAMAGED as error:
            yield f"{path} is damaged: {one_line(error)}"
    if not (folder / "environment.json").exists():
        yield f"{folder / 'environment.json'}: missing"
    config = folder.read_config()
    try:
        images = load_data(config.dataset, config.proxy.size, config.several).sha256
    except (CompoundNasError, OSError) as error:
        yield f"the images of {folder.path} cannot be read: {one_line(error)}"
        return
    for where, recorded in hashes.items():
        if recorded != images:
            yield f"{where}: images of sha256 {recorded}, those read now have {images}"


def _coefficients(
    folder: StudyFolder, baseline: ArchSpec, members: dict[str, dict[str, Any]]
) -> Iterator[str]:
    """Whether members, coefficients.yaml and what was fitted have one triple."""
    path = folder / "coefficients.yaml"
    fitted: dict[str, float] | None = None
    if path.exists():
        try:
            fitted = asdict(read_fit(folder, baseline).coefficients)
            yield from _fit(folder, path, fitted)
        except CompoundNasError as error:
            yield one_line(error)
    for name, content in members.items():
        if content.get("fitted"):
            if fitted is None:
                yield f"{name}.yaml: its coefficients are of a {path} that cannot be read"
            elif content.get("coefficients") != fitted:
                yield (
                    f"{name}.yaml: coefficients are {content.get('coefficients')}, {fitted} in "
                    f"{path}"
                )


def _fit(folder: StudyFolder, path: Path, fitted: dict[str, float]) -> Iterator[str]:
    """Whether coefficients.yaml says what the fit beside it found."""
    method = load_yaml(path.read_text(encoding="utf-8")).get("method")
    grid = folder / "scaling" / "grid.csv"
    if method == "grid":
        if not grid.exists():
            yield f"{path}: method is grid, but there is no {grid}"
            return
        with open(grid, encoding="utf-8", newline="") as lines:
            best = next(csv.DictReader(lines), {})
        found = {name: best.get(name) for name in fitted}
        if not all(same(found[name], value) for name, value in fitted.items()):
            yield f"{path}: coefficients are {fitted}, the first line of {grid} has {found}"
    record = folder / "scaling" / "fit.json"
    if method is not None and not record.exists():
        yield f"{record}: missing, though {path} is of a fit"
    if record.exists():
        try:
            said = json.loads(record.read_text(encoding="utf-8"))
        except DAMAGED as error:
            yield f"{record} is damaged: {one_line(error)}"
            return
        for name, value in fitted.items():
            if isinstance(said, dict) and name in said and said[name] != value:
                yield f"{path}: {name} is {value}, {said[name]} in {record}"
