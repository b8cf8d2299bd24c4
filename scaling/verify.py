"""A family against its own records: rebuilt, recounted, its origin read again."""

import csv
import json
import math
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Any

import yaml

from blocks.arch import ArchSpec, arch_from_mapping, format_arch, parse_arch
from blocks.console import console
from blocks.cost import Cost, count, referee
from blocks.errors import CompoundNasError, CostMismatchError, one_line
from blocks.machine import versions
from blocks.network import Network
from blocks.zoo import EFFICIENTNET_SCALING
from scaling.compound import ScalingCoefficients, scale
from scaling.config import ScalingConfig
from scaling.family import REALISED, family_folder, family_row, member_costs, read_dataset
from scaling.fit.run import read_fit
from scaling.rules import Multipliers, compound, find_rule
from scaling.solve import Target, solve
from search.data.datasets import load_data
from search.errors import StudyError
from search.record.folder import StudyFolder
from search.study.baseline import read_baseline

_DAMAGE = (
    CompoundNasError, KeyError, TypeError, ValueError, AttributeError, ArithmeticError,
)  # fmt: skip
"""What a record that somebody has changed may raise."""


def verify(config: ScalingConfig) -> list[str]:
    """Compare a family with what it was made from; print every difference, and return them.

    Every member is rebuilt from its YAML (spelling, fields, the recorded multipliers applied to the
    baseline, and its rule solved again for its target must make one network), counted by arithmetic
    and by fvcore, and compared with its line of family.csv. In a study the coefficients must be
    those of coefficients.yaml, these those of what was fitted, the B0 that of b0.yaml, and the
    images, read again, those whose hash is recorded. The versions must be those that are installed,
    and what is recorded to exist must be there.

    Raises:
        StudyError: there is no family to verify, or a file of the study is damaged.
    """
    folder = family_folder(config)
    family = folder / "family"
    if not folder.path.is_dir():
        folder.require()
    paths = sorted(family.glob("*.yaml"))
    if not paths and not (family / "family.csv").exists():
        raise StudyError(
            f"{family} holds no family; write one first: python -m scaling emit "
            f"study={folder.study}"
        )
    differences: list[str] = []
    members: dict[str, dict[str, Any]] = {}
    for path in paths:
        try:
            content = _read(path)
            differences += [f"{path}: {said}" for said in _member(content)]
            if content["name"] != path.stem:
                differences.append(f"{path}: name is {content['name']}, not {path.stem}")
            members[path.stem] = content
        except _DAMAGE as error:
            what = f"no {error}" if isinstance(error, KeyError) else one_line(error)
            differences.append(f"{path}: damaged: {what}")
    differences += [f"{family / 'family.csv'}: {said}" for said in _table(family, members)]
    if (folder / "config.yaml").exists():
        differences += _study(folder, members)
    elif any(content.get("dataset") or content.get("fitted") for content in members.values()):
        differences.append(f"{folder / 'config.yaml'}: missing, though the family is of a study")
    for difference in differences:
        console.print(difference, markup=False)
    if differences:
        console.print(f"{folder.study}: {len(differences)} differences from the record")
    else:
        console.print(
            f"{folder.study}: {len(members)} members rebuilt and recounted, all as recorded"
        )
    return differences


def _read(path: Path) -> dict[str, Any]:
    try:
        content = yaml.safe_load(path.read_text(encoding="utf-8"))
    except yaml.YAMLError as error:
        raise ValueError(one_line(error)) from None
    if not isinstance(content, dict):
        raise TypeError("not a mapping")
    return content


def _member(content: dict[str, Any]) -> Iterator[str]:
    """What of a member's YAML does not agree with the rest of it, or with the network."""
    arch, baseline = parse_arch(content["arch"]), parse_arch(content["baseline"])
    if arch_from_mapping(content["fields"]) != arch:
        yield f"fields make {arch_from_mapping(content['fields'])}, not arch {arch}"
    if content["resolution"] != arch.resolution:
        yield f"resolution is {content['resolution']}, that of arch {arch.resolution}"
    rebuilt = _rebuild(content, baseline, arch.resolution)
    if rebuilt != arch:
        yield f"its multipliers make {rebuilt} of the baseline, not arch {arch}"
    num_classes = content["num_classes"]
    try:
        cost = referee(Network(arch, num_classes))
    except CostMismatchError as error:
        yield f"arithmetic and fvcore disagree: {error}"
        cost = count(arch, num_classes)
    counted = member_costs(cost, count(baseline, num_classes))
    yield from _compare(content, counted)
    if "target" in content:
        target = content["target"]
        residual = round(asdict(cost)[target["metric"]] / target["value"] - 1, 6)
        if residual != target["residual"]:
            yield f"target.residual is {target['residual']}, counted {residual}"
    if "latency" in content:
        latency = content["latency"]
        residual = round(latency["median_ms"] / latency["target_ms"] - 1, 6)
        if residual != latency["residual"]:
            yield f"latency.residual is {latency['residual']}, by its median {residual}"
    yield from _origin(content, baseline, cost)
    installed = versions()
    yield from _compare({"versions": content["versions"]}, {"versions": installed})


def _origin(content: dict[str, Any], baseline: ArchSpec, cost: Cost) -> Iterator[str]:
    """What of a member is not what its rule makes of the baseline for its φ or target."""
    num_classes, triple = content["num_classes"], content.get("coefficients")
    if content.get("fitted") and not isinstance(triple, dict):
        yield f"coefficients are {triple}, though fitted"
        return
    coefficients = ScalingCoefficients(**triple) if isinstance(triple, dict) else None
    rule = compound(coefficients) if coefficients is not None else find_rule(content["rule"])
    if rule.name != content["rule"]:
        yield f"rule is {content['rule']}, its coefficients are of rule {rule.name}"
    if "target" in content:
        target = Target(*(content["target"][name] for name in ("metric", "value", "tolerance")))
        solved = solve(baseline, rule, target, num_classes, content["rounding"])
        if format_arch(solved.arch) != content["arch"]:
            yield f"its rule makes {solved.arch} for its target, not arch {content['arch']}"
        now: dict[str, Any] = {
            "realised": {name: round(getattr(solved, name), 6) for name in REALISED},
        }
        yield from _compare({"realised": content["realised"]}, now)
        own = asdict(count(baseline, num_classes))[target.metric]
        yield from _differ("phi", content["phi"], round(math.log2(target.value / own), 6))
    elif "latency" in content:
        ratio = cost.macs / count(baseline, num_classes).macs
        yield from _differ("phi", content["phi"], round(math.log2(ratio), 6))
    elif "phi" in content:
        phi = float(content["phi"])
        if coefficients is not None:
            at = Multipliers(coefficients.alpha**phi, coefficients.beta**phi, 1.0)
            nominal = round(coefficients.nominal_cost**phi, 4)
            yield from _differ("nominal_macs_ratio", content["nominal_macs_ratio"], nominal)
        else:
            at = rule.at(2.0**phi)
        for name, value in (("depth", at.depth), ("width", at.width)):
            recorded = content[f"{name}_multiplier"]
            yield from _differ(f"{name}_multiplier", recorded, round(value, 12))
    else:
        row = EFFICIENTNET_SCALING[f"efficientnet_{content['name']}"]
        for name, value in (
            ("depth_multiplier", row.depth), ("width_multiplier", row.width),
            ("dropout", row.dropout),
        ):  # fmt: skip
            yield from _differ(name, content[name], value)


def _differ(what: str, recorded: Any, now: Any) -> Iterator[str]:
    if recorded != now:
        yield f"{what} is {recorded}, now {now}"


def _rebuild(content: dict[str, Any], baseline: ArchSpec, resolution: int) -> ArchSpec:
    """The member by its recorded multipliers; the baseline itself is not rounded."""
    factors = [content[name] for name in ("width_multiplier", "depth_multiplier", "late_depth")]
    if factors == [1, 1, 1] and resolution == baseline.resolution:
        return baseline
    width, depth, late_depth = (float(factor) for factor in factors)
    return scale(
        baseline,
        width,
        depth,
        resolution,
        content["rounding"],
        late_depth=late_depth,
        repeats=content["repeats"],
    )


def _compare(recorded: dict[str, Any], now: dict[str, Any]) -> Iterator[str]:
    """`group.key is …, now …` of all that differs in mappings of mappings."""
    for group, values in now.items():
        for key in sorted({*values, *recorded[group]}):
            old, new = recorded[group].get(key), values.get(key)
            if old != new:
                yield f"{group}.{key} is {old}, now {new}"


def _table(family: Path, members: dict[str, dict[str, Any]]) -> Iterator[str]:
    """What of family.csv does not agree with the YAML files."""
    try:
        with open(family / "family.csv", encoding="utf-8", newline="") as lines:
            rows = {row["name"]: row for row in csv.DictReader(lines)}
    except (OSError, KeyError, UnicodeDecodeError) as error:
        yield f"cannot be read: {one_line(error)}"
        return
    for name in sorted(rows.keys() - members.keys()):
        yield f"lists {name}, of which there is no readable {name}.yaml"
    for name, content in members.items():
        if name not in rows:
            yield f"does not list {name}"
            continue
        for key, value in family_row(content).items():
            said = rows[name].get(key)
            if not _same(said, value):
                yield f"{name}: {key} is {said}, {value} in {name}.yaml"


def _same(said: str | None, value: Any) -> bool:
    if value is None:
        return said in ("", None)
    if isinstance(value, int | float) and not isinstance(value, bool):
        try:
            return float(said or "nan") == float(value)
        except ValueError:
            return False
    return said == str(value)


def _study(folder: StudyFolder, members: dict[str, dict[str, Any]]) -> Iterator[str]:
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
        except (ValueError, KeyError, TypeError) as error:
            yield f"{path} is damaged: {one_line(error)}"
    if not (folder / "environment.json").exists():
        yield f"{folder / 'environment.json'}: missing"
    config = folder.read_config()
    try:
        images = load_data(config.dataset, config.proxy.resolution).sha256
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
            fitted = asdict(read_fit(folder, baseline)[0])
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
    method = yaml.safe_load(path.read_text(encoding="utf-8")).get("method")
    grid = folder / "scaling" / "grid.csv"
    if method == "grid":
        if not grid.exists():
            yield f"{path}: method is grid, but there is no {grid}"
            return
        with open(grid, encoding="utf-8", newline="") as lines:
            best = next(csv.DictReader(lines), {})
        found = {name: best.get(name) for name in fitted}
        if not all(_same(found[name], value) for name, value in fitted.items()):
            yield f"{path}: coefficients are {fitted}, the first line of {grid} has {found}"
    record = folder / "scaling" / "fit.json"
    if method is not None and not record.exists():
        yield f"{record}: missing, though {path} is of a fit"
    if record.exists():
        try:
            said = json.loads(record.read_text(encoding="utf-8"))
        except ValueError as error:
            yield f"{record} is damaged: {one_line(error)}"
            return
        for name, value in fitted.items():
            if isinstance(said, dict) and name in said and said[name] != value:
                yield f"{path}: {name} is {value}, {said[name]} in {record}"
