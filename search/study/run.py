"""A whole search: data, trials, the reference, the choice of B0, the files that people read."""

import json
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, Final

import pandas as pd
import yaml

from blocks.arch import ArchSpec, arch_to_mapping, format_arch, parse_arch
from blocks.console import console, millions
from blocks.errors import ArchError, one_line
from blocks.rounding import ROUNDINGS
from blocks.zoo import find_arch
from search.config.schema import RunConfig, validate
from search.data.batches import normalisation
from search.data.datasets import DATASETS, load_data
from search.data.splits import ImageData
from search.errors import StudyError
from search.evaluators.batch import run_jobs
from search.evaluators.supernet import SupernetEvaluator, obtain_supernet
from search.evaluators.train import Evaluator, Job, TrainEvaluator, make_job
from search.evaluators.workers import plan_workers
from search.pareto import non_dominated, reward
from search.plot import plot_pareto
from search.record.trials import (
    FailureRecord,
    StudyFolder,
    StudyLock,
    TrialRecord,
    environment,
    read_records,
)
from search.samplers import SAMPLERS
from search.space.choices import build_space
from search.space.latency_budget import (
    check_latency,
    describe_latency,
    latency_mapping,
    table_sha256,
)
from search.space.members import SpaceCandidates
from search.study.controls import Controls, train_controls
from search.study.loop import PREDICTED_MS, Tally, TrialLoop
from search.study.prior import zero_cost_prior
from search.study.progress import TrialProgress, time_table
from search.study.start import starting_points
from search.training.device import compiled, settle_device, wants_compiled


@dataclass(frozen=True)
class Baseline:
    """The chosen B0 as `b0.yaml` holds it."""

    arch: ArchSpec
    num_classes: int
    trial: int
    rounding: str


START: Final = "start.json"
"""In a study's folder: the combinations that it began with."""


def check_settings(config: RunConfig) -> None:
    """Refuse what no search could run with, before any image is read.

    Raises:
        ConfigError: names the setting, its value, and what was expected.
    """
    validate(config, list(SAMPLERS), list(DATASETS))
    check_latency(config)


def search(config: RunConfig) -> StudyFolder:
    """Run a study, or go on with it, until its trials are complete and its B0 is written.

    Raises:
        ConfigError, DataError, StudyError: see the messages; what was done stays on disk.
    """
    check_settings(config)
    seconds: dict[str, float] = {}
    started = time.perf_counter()
    data = load_data(config.dataset, config.proxy.resolution)
    seconds["read the data"] = time.perf_counter() - started
    budget = config.cost_budget
    space = build_space(
        config.space, config.proxy.resolution, data.in_channels, data.num_classes, budget
    )
    candidates = SpaceCandidates(space, budget, data.num_classes)
    folder = StudyFolder(config.results_dir, config.study)
    with StudyLock(folder):
        config = settle_device(config, candidates, len(data.train), folder)
        config = plan_workers(config, space, data, folder)
        # Before the study is bound to settings that name what does not exist.
        enqueued = _starting_points(config, folder, candidates)
        folder.open(config)
        check_data(folder, data, table_sha256(budget))
        _describe(config, data, candidates, folder)
        if config.search.zero_cost:
            started = time.perf_counter()
            prior = zero_cost_prior(config, data, folder, candidates)
            if not (folder / START).exists():
                enqueued += prior.starting_points(candidates, config.search.zero_cost_top)
            seconds["zero-cost scores"] = time.perf_counter() - started
        # Whole before the first trial: a study that goes on begins as it began.
        folder.write(START, json.dumps(enqueued) + "\n")
        started = time.perf_counter()
        supernet = None
        if config.needs_supernet:
            supernet = obtain_supernet(config, data, folder, candidates)
            seconds["supernet"] = time.perf_counter() - started
        with TrainEvaluator(data, config.training, config.workers, supernet) as evaluator:
            if config.evaluator == "supernet":
                assert supernet is not None
                with SupernetEvaluator(supernet, data, config.supernet, config.workers) as judge:
                    tally = _run_trials(config, candidates, enqueued, folder, judge, seconds)
            else:
                tally = _run_trials(config, candidates, enqueued, folder, evaluator, seconds)
            records = folder.completed()
            if not records:
                raise StudyError(f"{folder.path}: no candidate was trained ({tally.ended_early})")
            chosen = choose_baseline(records, config)
            started = time.perf_counter()
            final, reference, by_proxy = _train_final(config, data, folder, evaluator, chosen)
            seconds["final B0 and reference"] = time.perf_counter() - started
            started = time.perf_counter()
            controls = train_controls(config, folder, evaluator, candidates)
            seconds["controls"] = time.perf_counter() - started
        started = time.perf_counter()
        write_baseline(config, data, folder, chosen, final, controls, by_proxy)
        write_front(config, folder)
        seconds["report"] = time.perf_counter() - started
        _summarise(config, folder, tally, chosen, final, reference)
        if controls is not None:
            console.print(controls.describe())
        if config.evaluator == "supernet":
            console.print(_describe_trained(config, by_proxy))
        console.print(time_table("Where the time went (search)", seconds))
    return folder


def _starting_points(
    config: RunConfig, folder: StudyFolder, candidates: SpaceCandidates
) -> list[dict[str, Any]]:
    """What the study begins with: as it was when it began, whatever became of an earlier study."""
    if not (folder / START).exists():
        return starting_points(config, candidates)
    try:
        found = json.loads((folder / START).read_text(encoding="utf-8"))
        if all(candidates.encode(values) is not None for values in found):
            return list(found)
        reason = "a combination that the space has not"
    except (ValueError, TypeError, AttributeError) as error:
        reason = one_line(error)
    raise StudyError(f"{folder / START} is damaged: {reason}")


def choose_baseline(records: Sequence[TrialRecord], config: RunConfig) -> TrialRecord:
    """The B0 of these candidates.

    objective=pareto or accuracy: the most accurate, all being within the budget; of equals the
    cheapest.
    objective=loss: the one of the least validation loss.
    objective=reward: the highest ACC·(macs/target)^exponent, as the paper chose its B0.
    """
    if config.aim == "loss":
        return min(records, key=lambda record: (record.metrics["val_loss"], record.cost.macs))
    if config.aim == "reward":
        return max(records, key=lambda record: (_reward(record, config), -record.cost.macs))
    return max(records, key=lambda record: (record.metrics["val_accuracy"], -record.cost.macs))


def write_front(config: RunConfig, folder: StudyFolder) -> pd.DataFrame:
    """Write pareto.csv (every candidate, the front marked) and pareto.png; returns the table."""
    records = folder.completed()
    if not records:
        raise StudyError(f"{folder.path} has no completed trial to plot")
    table = pd.DataFrame(
        {
            "trial": [record.number for record in records],
            "val_accuracy": [record.metrics["val_accuracy"] for record in records],
            "macs": [record.cost.macs for record in records],
            "params": [record.cost.params for record in records],
            "flops_fvcore": [record.cost.flops_fvcore for record in records],
            "activations": [record.cost.activations for record in records],
            **_predicted(records),
            "reward": [_reward(record, config) for record in records],
            "arch": [record.arch for record in records],
        }
    )
    table["on_front"] = non_dominated(table["val_accuracy"], table["macs"])
    table = table.sort_values(["macs", "val_accuracy"], ascending=[True, False], ignore_index=True)
    folder.write("pareto.csv", table.to_csv(index=False))
    wanted = reference_arch(config, parse_arch(records[0].arch).in_channels)
    reference = None
    for record in read_records(folder / "reference.jsonl"):
        if isinstance(record, TrialRecord) and wanted and record.arch == format_arch(wanted):
            reference = record
    chosen = choose_baseline(records, config)
    title = f"{config.study}: {config.dataset.name} at {config.proxy.resolution} px, "
    title += _by_what(config)
    png = plot_pareto(
        records, config.budget_macs, reference, config.search.reference or "", chosen, title
    )
    folder.write("pareto.png", png)
    return table


def write_sweep_front(folders: Sequence[StudyFolder], sweep: StudyFolder) -> pd.DataFrame:
    """Write front.csv and front.png of several studies together; returns the table.

    A list of budgets gives a study each; what is best over all of them is the front.
    """
    records = [(folder.study, record) for folder in folders for record in folder.completed()]
    table = pd.DataFrame(
        {
            "study": [study for study, _ in records],
            "trial": [record.number for _, record in records],
            "val_accuracy": [record.metrics["val_accuracy"] for _, record in records],
            "macs": [record.cost.macs for _, record in records],
            "params": [record.cost.params for _, record in records],
            "arch": [record.arch for _, record in records],
        }
    )
    table["on_front"] = non_dominated(table["val_accuracy"], table["macs"])
    table = table.sort_values(["macs", "val_accuracy"], ascending=[True, False], ignore_index=True)
    sweep.write("front.csv", table.to_csv(index=False))
    title = f"{sweep.study}: {len(folders)} studies"
    png = plot_pareto([record for _, record in records], None, None, "", None, title)
    sweep.write("front.png", png)
    return table


def write_baseline(
    config: RunConfig,
    data: ImageData,
    folder: StudyFolder,
    chosen: TrialRecord,
    final: TrialRecord,
    controls: Controls | None,
    by_proxy: TrialRecord | None = None,
) -> None:
    """Write b0.yaml: the architecture, what it costs, what it and random ones reached, and on
    which images.

    Where the supernet chose, `by_proxy` is its training by the proxy.
    """
    arch = parse_arch(chosen.arch)
    mean, std = normalisation(data, arch.resolution)
    latency = latency_mapping(config.cost_budget, chosen.arch, data.num_classes)
    content: dict[str, Any] = {
        "name": "b0",
        "arch": chosen.arch,
        "num_classes": data.num_classes,
        "trial": chosen.number,
        "cost": _cost(chosen),
        **({"latency": latency} if latency else {}),
        **_reached(config, chosen, by_proxy),
        "reward": _reward(chosen, config),
        "final": {"epochs": final.fidelity["epochs"], "seed": final.seed, **final.metrics},
        **({} if controls is None else {"controls": controls.to_mapping()}),
        "weights": "b0.pt",
        "normalisation": {"mean": mean, "std": std},
        "rounding": config.space.rounding,
        "dataset": {
            "name": data.name,
            "sha256": data.sha256,
            "train": len(data.train),
            "val": len(data.val),
            "test": len(data.test),
            "classes": list(data.classes),
        },
        "fields": arch_to_mapping(arch),
    }
    folder.write("b0.yaml", yaml.safe_dump(content, sort_keys=False, width=10_000))


def read_baseline(folder: StudyFolder) -> Baseline:
    """The B0 of a study.

    Raises:
        StudyError: the study has none yet, or the file is damaged.
    """
    path = folder / "b0.yaml"
    try:
        content = yaml.safe_load(path.read_text(encoding="utf-8"))
        if content.get("rounding", "paper") not in ROUNDINGS:
            raise StudyError(
                f"{path}: rounding {content['rounding']!r} is unknown; expected "
                f"{', '.join(ROUNDINGS)}"
            )
        return Baseline(
            parse_arch(content["arch"]),
            content["num_classes"],
            content["trial"],
            content.get("rounding", "paper"),
        )
    except FileNotFoundError:
        raise StudyError(
            f"{folder.path} has no b0.yaml; finish its search first: "
            f"python -m search run study={folder.study}"
        ) from None
    except (yaml.YAMLError, KeyError, TypeError, AttributeError, UnicodeDecodeError) as error:
        raise StudyError(f"{path} is damaged: {one_line(error)}") from None


def reference_arch(config: RunConfig, in_channels: int) -> ArchSpec | None:
    """The published network that the same proxy is to train, at the data's size and channels.

    None: none is wanted, or the images are too small for its strides.
    """
    if config.search.reference is None:
        return None
    try:
        return replace(
            find_arch(config.search.reference),
            resolution=config.proxy.resolution,
            in_channels=in_channels,
        )
    except ArchError:
        return None


def _run_trials(
    config: RunConfig,
    candidates: SpaceCandidates,
    enqueued: list[dict[str, Any]],
    folder: StudyFolder,
    evaluator: Evaluator,
    seconds: dict[str, float],
) -> Tally:
    before = folder.trained()
    if before:
        console.print(f"going on with {len(before)} candidates from {folder.path}")
    started = time.perf_counter()
    progress = TrialProgress("trial", config.search.trials, len(before))
    for record in before:
        progress.known(record)
    with progress:
        loop = TrialLoop(config, candidates, folder, evaluator, progress, enqueued)
        try:
            tally = loop.run()
        except BaseException:
            # Ctrl-C included: the front of what was done is worth having.
            if folder.completed():
                write_front(config, folder)
            raise
    spent = time.perf_counter() - started
    seconds["propose"] = tally.seconds["ask"]
    seconds["count"] = tally.seconds["count"]
    new = {record.number for record in folder.trained()} - {record.number for record in before}
    worked = [record for record in folder.trained() if record.number in new]
    # Workers overlap; what they did is shown as its share of the wall clock.
    wall = max(0.0, spent - seconds["propose"] - seconds["count"])
    parts = {
        name: sum(record.seconds.get(name, 0.0) for record in worked)
        for name in ("train", "eval", "fvcore")
    }
    whole = sum(parts.values()) or 1.0
    for name, label in (("train", "train"), ("eval", "validate"), ("fvcore", "fvcore referee")):
        seconds[label] = wall * parts[name] / whole
    return tally


def _train_final(
    config: RunConfig,
    data: ImageData,
    folder: StudyFolder,
    evaluator: TrainEvaluator,
    chosen: TrialRecord,
) -> tuple[TrialRecord, TrialRecord | None, TrialRecord | None]:
    """Train the chosen B0 for longer and read the test split once; the reference beside it, and
    B0 by the proxy where only the supernet has judged it."""
    final_job = make_job(chosen.arch, config.search.final_epochs, config.seed, replicate=1)
    final_job = replace(final_job, test=True, long=True, save=str(folder / "b0.pt"))
    reference = reference_arch(config, data.in_channels)
    if reference is None and config.search.reference is not None:
        console.print(
            f"{config.search.reference} is left out: {config.proxy.resolution} px are too few for "
            "its strides"
        )
    jobs: list[tuple[Job, Path]] = [(final_job, folder / "final.jsonl")]
    if reference is not None:
        job = make_job(format_arch(reference), config.proxy.epochs, config.seed)
        jobs.append((job, folder / "reference.jsonl"))
    console.print(
        f"training the chosen B0 (trial {chosen.number}) for {config.search.final_epochs} epochs"
        + (f", and {config.search.reference} by the proxy" if reference else "")
        + (", and B0 by the proxy" if config.evaluator == "supernet" else "")
    )
    if config.evaluator == "supernet":
        job = make_job(chosen.arch, config.proxy.epochs, config.seed)
        jobs.append((replace(job, inherit=config.inherits), folder / "reference.jsonl"))
    records = run_jobs(evaluator, jobs)
    final, *others = records
    if isinstance(final, FailureRecord):
        raise StudyError(f"the final training of B0 failed ({final.kind}): {final.error}")
    for failure in others:
        if isinstance(failure, FailureRecord):
            console.print(
                f"the training of {failure.arch} failed ({failure.kind}): {failure.error}",
                markup=False,
            )
    trained = {record.arch: record for record in others if isinstance(record, TrialRecord)}
    by_proxy = trained.get(chosen.arch) if config.evaluator == "supernet" else None
    return final, trained.get(format_arch(reference)) if reference else None, by_proxy


def check_data(folder: StudyFolder, data: ImageData, table: str | None = None) -> None:
    """Pin the study to the images it began with, and to its latency table's hash, if it has one."""
    path = folder / "environment.json"
    config = folder.read_config()
    # They round differently.
    operators = "compiled" if compiled(config.proxy, config.workers.device) else "torch"
    if path.exists():
        try:
            known = json.loads(path.read_text(encoding="utf-8"))
            stored, measured = known["dataset_sha256"], known.get("latency_table_sha256")
        except (ValueError, KeyError, AttributeError) as error:
            raise StudyError(f"{path} is damaged: {error}") from None
        if stored != data.sha256:
            raise StudyError(
                f"{folder.path} was made on other images (sha256 {stored[:12]}… → "
                f"{data.sha256[:12]}…); give this one another name with study=…"
            )
        if table is not None and measured != table:
            raise StudyError(
                f"{folder.path} was made with another latency table (sha256 {str(measured)[:12]}… "
                f"→ {table[:12]}…); give this one another name with study=…"
            )
        if known.get("operators", operators) != operators:
            console.print(
                f"{folder.path} was begun with {known['operators']} operators, and goes on with "
                f"{operators} ones: the last digits of a training are others"
            )
        return
    content = {**environment(), "operators": operators, "dataset_sha256": data.sha256}
    content |= {} if table is None else {"latency_table_sha256": table}
    folder.write("environment.json", json.dumps(content, indent=2) + "\n")


def _describe(
    config: RunConfig, data: ImageData, candidates: SpaceCandidates, folder: StudyFolder
) -> None:
    channels = "grey" if data.in_channels == 1 else "RGB"
    console.print(
        f"{data.name}: {len(data.train)} train, {len(data.val)} val, {len(data.test)} test "
        f"{channels} images, {data.num_classes} classes, at {config.proxy.resolution} px"
    )
    wanted = wants_compiled(config.proxy, config.workers.device)
    if wanted and not compiled(config.proxy, config.workers.device):
        console.print(
            "no compiled operators (is there a C++ compiler?): training by PyTorch's own, which "
            "takes about twice as long"
        )
    if data.skipped:
        console.print(f"skipped {len(data.skipped)} unreadable images, first {data.skipped[0]}")
    console.print(
        f"space: {len(candidates.space):,} combinations; budget {config.cost_budget}; "
        f"sampler {config.sampler}, objective {config.aim}; results in {folder.path}",
        markup=False,
    )
    for line in describe_latency(candidates):
        console.print(line, markup=False)


def _summarise(
    config: RunConfig,
    folder: StudyFolder,
    tally: Tally,
    chosen: TrialRecord,
    final: TrialRecord,
    reference: TrialRecord | None,
) -> None:
    if tally.ended_early:
        console.print(f"ended early: {tally.ended_early}")
    judged = "judged" if config.evaluator == "supernet" else "trained"
    console.print(
        f"{len(folder.trained())} {judged}; this run: {tally.stopped} of them stopped early, "
        f"{tally.over_budget} outside the budget (counted, not {judged}), {tally.duplicates} "
        f"duplicates (not {judged} again), {tally.failures} failed"
    )
    console.print(f"B0: {chosen.arch}", markup=False)
    console.print(
        f"  macs {millions(chosen.cost.macs)}, flops_fvcore {millions(chosen.cost.flops_fvcore)}, "
        f"params {chosen.cost.params:,}"
    )
    if PREDICTED_MS in chosen.metrics:
        console.print(
            f"  predicted latency {chosen.metrics[PREDICTED_MS]:.4g} ms; `python -m blocks profile "
            f"{folder / 'b0.yaml'}` measures it"
        )
    console.print(
        f"  val accuracy {chosen.metrics['val_accuracy']:.4f} {_by_what(config, 'at ')}; "
        f"after {final.fidelity['epochs']}: val {final.metrics['val_accuracy']:.4f}, "
        f"test {final.metrics['test_accuracy']:.4f}"
    )
    if reference is not None:
        console.print(
            f"  {config.search.reference} by the same proxy: val accuracy "
            f"{reference.metrics['val_accuracy']:.4f} at macs {millions(reference.cost.macs)}"
        )


def _by_what(config: RunConfig, before: str = "") -> str:
    """How candidates were judged, for people."""
    if config.evaluator == "supernet":
        return "by the supernet"
    return f"{before}{config.proxy.epochs} epochs"


def _reached(
    config: RunConfig, chosen: TrialRecord, by_proxy: TrialRecord | None
) -> dict[str, Any]:
    """What the chosen one reached, by the supernet if that chose it, and by the proxy."""
    judged: dict[str, Any] = {}
    trained: TrialRecord | None = chosen
    if config.evaluator == "supernet":
        judged, trained = {"supernet": chosen.metrics}, by_proxy
    if trained is None:
        return judged
    proxy = {"epochs": config.proxy.epochs, "seed": trained.seed, **trained.metrics}
    return {**judged, "proxy": proxy}


def _describe_trained(config: RunConfig, by_proxy: TrialRecord | None) -> str:
    """What the controls, which are trained, compare with where candidates are not."""
    if by_proxy is None:
        return "  B0 by the proxy failed: nothing compares with the controls"
    return (
        f"  B0 by the same proxy as the controls: val accuracy "
        f"{by_proxy.metrics['val_accuracy']:.4f}, which compares with theirs; the supernet's "
        "accuracies do not"
    )


def _reward(record: TrialRecord, config: RunConfig) -> float:
    return reward(
        record.metrics["val_accuracy"],
        record.cost.macs,
        config.target_macs,
        config.reward.exponent,
    )


def _predicted(records: Sequence[TrialRecord]) -> dict[str, list[float]]:
    """The column of predicted milliseconds, of a study that has them."""
    if not all(PREDICTED_MS in record.metrics for record in records):
        return {}
    return {PREDICTED_MS: [record.metrics[PREDICTED_MS] for record in records]}


def _cost(record: TrialRecord) -> dict[str, int]:
    return asdict(record.cost)
