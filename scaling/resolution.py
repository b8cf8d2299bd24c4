"""`python -m scaling resolution`: what a trained network reaches and costs at other image sizes.

A fully convolutional network takes images of any size, and its best one need not be the one that
it was trained at. FixRes (Touvron et al., arXiv 1906.06423) explains it by the apparent size of
objects: training crops parts of images and enlarges them, testing shows them whole, so that
networks see larger objects in training and gain from larger test images. A proxy that shows whole
images in training has no such difference, and the gap here says so of the network at hand.
"""

import json
import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Final

import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray
from rich.table import Table

from blocks.arch import ArchSpec, format_arch
from blocks.console import console, millions
from blocks.cost import Cost, count
from blocks.errors import ArchError
from blocks.network import Network
from blocks.subject import Subject, read_subject
from blocks.weights import load_weights
from blocks.zoo import ZOO
from scaling.compound import ScalingError
from scaling.config import ResolutionConfig, ScalingConfig
from scaling.plot import plot_resolution
from search.assess.statistics import Z, wilson
from search.commands.progress import TrialProgress
from search.config.quantities import parse_quantity
from search.config.settled import SettledConfig
from search.data.batches import Batches, prepare, resize
from search.data.datasets import load_data
from search.data.splits import ImageData, Split
from search.errors import StudyError
from search.evaluators.batch import run_jobs
from search.evaluators.train import TrainEvaluator, make_job
from search.record.folder import StudyFolder, StudyLock, environment
from search.record.trials import TrialRecord
from search.study.baseline import read_baseline
from search.study.images import check_data
from search.study.settle import settled_as_stored

PERCENTS: Final = (20.0, 30.0, 40.0, 50.0, 60.0, 70.0, 80.0, 90.0, 100.0, 115.0, 130.0, 150.0)
"""Of the training resolution; 115 and 130 are about what FixRes gains from."""
RECORDS: Final = "scaling/resolution.jsonl"


@dataclass(frozen=True, slots=True)
class Size:
    """A network at a number of pixels: what it costs, its last map's side, and what to mind.

    `stairs` is by how much its macs are over (or under) what its area makes of those at the
    training resolution: strides round maps up, so that cost has stairs.
    """

    percent: float
    arch: ArchSpec
    cost: Cost
    last_map: int
    stairs: float
    notes: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Score:
    """Accuracies at a size. `low` and `high`: Wilson's 95% interval of the test accuracy.

    `gain` is the test accuracy less that at the training resolution on the same images, with the
    95% interval of paired proportions.
    """

    val_accuracy: float
    test_accuracy: float
    low: float
    high: float
    gain: float
    gain_low: float
    gain_high: float


@dataclass(frozen=True)
class Choice:
    """Sizes chosen by validation accuracy: `best` of all, `affordable` within the budget.

    `cheapest` is the least size whose test accuracy cannot be told from the training
    resolution's. None: no size is within the budget.
    """

    best: int
    affordable: int | None
    cheapest: int


def resolution(config: ScalingConfig) -> pd.DataFrame:
    """Print and write the table of sizes; returns it.

    Raises:
        ScalingError, StudyError, ArchError, WeightsError: see the messages.
    """
    settings = config.resolution
    budget = (
        None
        if settings.max_macs is None
        else parse_quantity("resolution.max_macs", settings.max_macs)
    )
    if config.baseline is not None and config.study is None:
        return _costs_alone(config, budget)
    folder = StudyFolder(config.results_dir, config.study or "main").require()
    run_config = settled_as_stored(folder.read_config())
    subject, name = _subject(config, folder)
    sizes = sizes_of(subject.arch, subject.num_classes, settings.percents)
    if subject.weights is None and not settings.train:
        return _report_costs(folder, name, sizes, budget)
    data = load_data(run_config.dataset, run_config.proxy.resolution)
    if (data.num_classes, data.in_channels) != (subject.num_classes, subject.arch.in_channels):
        raise StudyError(
            f"the network has {subject.num_classes} classes and {subject.arch.in_channels} input "
            f"channels, the data of {folder.study} {data.num_classes} and {data.in_channels}"
        )
    with StudyLock(folder):
        check_data(folder, data)
        table = cost_table(sizes)
        said = []
        if subject.weights is not None:
            scores = _judge(subject, data, sizes)
            choice = choose(sizes, scores, budget)
            table = table.join(pd.DataFrame([asdict(score) for score in scores]))
            said += verdict(sizes, scores, choice, budget)
            said += _about_images(min(data.test.images.shape[-2:]), sizes)
        if settings.train:
            trained = _train(folder, run_config, data, sizes, settings)
            table = table.join(trained)
            said.append(_about_trained(sizes, trained, settings.seeds))
        folder.write(f"scaling/{name}.csv", table.to_csv(index=False))
        content = {
            **environment(),
            "arch": format_arch(subject.arch),
            "weights": None if subject.weights is None else str(subject.weights),
            "dataset_sha256": data.sha256,
            "val": len(data.val),
            "test": len(data.test),
            "max_macs": budget,
            "verdict": said,
            "sizes": json.loads(table.to_json(orient="records")),
        }
        folder.write(f"scaling/{name}.json", json.dumps(content, indent=2) + "\n")
        title = f"{folder.study}: {subject.name} at other resolutions"
        png = plot_resolution(table, subject.arch.resolution, budget, title)
        folder.write(f"scaling/{name}.png", png)
    _print(table, sizes, subject, budget)
    for line in said:
        console.print(line)
    console.print(f"wrote {folder / 'scaling' / name}.csv, .json, .png")
    return table


def sizes_of(
    arch: ArchSpec, num_classes: int, percents: Sequence[float] | None = None
) -> list[Size]:
    """`arch` at percentages of its resolution, which is always one of them, small to large.

    Of `PERCENTS` (None) those that are too small for the strides are left out.

    Raises:
        ScalingError: a given percentage that is too small for the strides.
    """
    base = count(arch, num_classes).macs
    found: dict[int, Size] = {}
    for percent in sorted({*(PERCENTS if percents is None else percents), 100.0}):
        side = max(1, round(arch.resolution * percent / 100))
        try:
            resized = replace(arch, resolution=side)
        except ArchError as error:
            if percents is None:
                continue
            raise ScalingError(f"resolution.percents={percent:g}: {error}") from None
        if side in found and percent != 100:
            continue
        cost = count(resized, num_classes)
        stairs = cost.macs / base * (arch.resolution / side) ** 2 - 1
        stride = arch.total_stride
        last_map = -(-side // stride)
        notes = []
        if last_map == 1:
            notes.append("last map 1×1")
        if side % stride:
            notes.append(f"off {stride}: pays for {last_map * stride}")
        found[side] = Size(percent, resized, cost, last_map, stairs, tuple(notes))
    return [found[side] for side in sorted(found)]


def paired_gain(
    first: NDArray[np.bool_], second: NDArray[np.bool_]
) -> tuple[float, tuple[float, float]]:
    """Share that `first` has right less `second`'s on the same images, with its 95% interval.

    Agresti and Min's (2005) of matched proportions: half an image is added to each of the four
    cells, which keeps it honest where few images differ.
    """
    images = len(first)
    won, lost = int((first & ~second).sum()), int((second & ~first).sum())
    more, less, whole = won + 0.5, lost + 0.5, images + 2
    centre = (more - less) / whole
    margin = Z * math.sqrt(max(0.0, more + less - (more - less) ** 2 / whole)) / whole
    return (won - lost) / images, (centre - margin, centre + margin)


def choose(sizes: Sequence[Size], scores: Sequence[Score], budget: int | None) -> Choice:
    """The best size by validation accuracy (of equals the cheapest), with and without a budget."""

    def best(numbers: Sequence[int]) -> int:
        return max(numbers, key=lambda at: (scores[at].val_accuracy, -sizes[at].cost.macs))

    everything = range(len(sizes))
    within = [at for at in everything if budget is None or sizes[at].cost.macs <= budget]
    own = next(at for at in everything if sizes[at].percent == 100)
    # What is better is no equal; where it is cheaper too, it is the best, or near it.
    alike = [
        at for at in everything if at == own or scores[at].gain_low <= 0 <= scores[at].gain_high
    ]
    return Choice(
        best(everything),
        best(within) if within else None,
        min(alike, key=lambda at: sizes[at].cost.macs),
    )


def verdict(
    sizes: Sequence[Size], scores: Sequence[Score], choice: Choice, budget: int | None
) -> list[str]:
    """In words: the train-test gap, the cheapest equal, and what the budget buys."""
    own = next(at for at, size in enumerate(sizes) if size.percent == 100)
    best, chosen = sizes[choice.best], scores[choice.best]
    pixels = best.arch.resolution
    if choice.best == own:
        said = [
            f"no train-test gap: by validation accuracy {pixels} px, where it was trained, is the "
            "best of these"
        ]
    else:
        found = (
            f"by validation accuracy the best is {pixels} px, {best.percent:g}% of the training "
            f"resolution: {_points(chosen)} points of test accuracy against the training's, at "
            f"{best.cost.macs / sizes[own].cost.macs:.2f} times its macs"
        )
        if chosen.gain_low > 0:
            said = [f"a train-test gap: {found}"]
        elif chosen.gain_high < 0:
            said = [f"no train-test gap: {found}, which is worse"]
        else:
            said = [f"no train-test gap that can be told: {found}"]
    cheap = sizes[choice.cheapest]
    if choice.cheapest != own:
        said.append(
            f"{cheap.arch.resolution} px cost {cheap.cost.macs / sizes[own].cost.macs:.0%} of the "
            "training resolution's macs, and their test accuracy cannot be told from its: "
            f"{_points(scores[choice.cheapest])} points"
        )
    if budget is not None:
        if choice.affordable is None:
            said.append(f"no size is within resolution.max_macs={millions(budget)}")
        else:
            size, score = sizes[choice.affordable], scores[choice.affordable]
            said.append(
                f"within {millions(budget)} macs the best is {size.arch.resolution} px: "
                f"{millions(size.cost.macs)}, test accuracy {100 * score.test_accuracy:.2f} "
                f"({100 * score.low:.2f} to {100 * score.high:.2f})"
            )
    return said


def cost_table(sizes: Sequence[Size]) -> pd.DataFrame:
    """A row per size: percent, pixels, cost, last map, stairs, notes."""
    own = next(size for size in sizes if size.percent == 100)
    return pd.DataFrame(
        [
            {
                "percent": size.percent,
                "pixels": size.arch.resolution,
                **asdict(size.cost),
                "macs_ratio": size.cost.macs / own.cost.macs,
                "last_map": size.last_map,
                "stairs": round(size.stairs, 5),
                "notes": "; ".join(size.notes),
            }
            for size in sizes
        ]
    )


def _subject(config: ScalingConfig, folder: StudyFolder) -> tuple[Subject, str]:
    """The network that is asked about, its weights, and the name of its files."""
    weights = config.resolution.weights
    if config.baseline is None:
        chosen = read_baseline(folder)
        path = folder / "b0.pt" if weights is None else Path(weights)
        if not path.is_file():
            wanted = "finish its search" if weights is None else "expected a file of weights"
            raise StudyError(f"there is no {path}; {wanted}")
        return Subject("b0", chosen.arch, chosen.num_classes, path), "resolution"
    subject = read_subject(config.baseline)
    if not config.baseline.endswith((".yaml", ".yml")):
        subject = replace(subject, num_classes=read_baseline(folder).num_classes)
    if weights is not None:
        subject = replace(subject, weights=Path(weights))
    if subject.weights is not None and not subject.weights.is_file():
        raise StudyError(f"there is no {subject.weights}; expected a file of weights")
    return subject, f"resolution_{subject.name}"


def _costs_alone(config: ScalingConfig, budget: int | None) -> pd.DataFrame:
    assert config.baseline is not None
    settings = config.resolution
    if settings.train or settings.weights is not None:
        named = "resolution.train=true" if settings.train else f"weights={settings.weights}"
        raise ScalingError(f"{named} needs images to judge by; name their study with study=…")
    subject = read_subject(config.baseline)
    if not config.baseline.endswith((".yaml", ".yml")):
        subject = replace(subject, num_classes=config.num_classes)
    name = subject.name if config.baseline not in ZOO else config.baseline
    folder = StudyFolder(config.results_dir, name)
    if (folder / "config.yaml").exists():
        raise ScalingError(
            f"{folder.path} is the study of a search; name it with study=… to judge "
            f"{config.baseline} by its images, or give the costs a results_dir=… of their own"
        )
    sizes = sizes_of(subject.arch, subject.num_classes, settings.percents)
    return _report_costs(folder, "resolution", sizes, budget)


def _report_costs(
    folder: StudyFolder, name: str, sizes: Sequence[Size], budget: int | None
) -> pd.DataFrame:
    table = cost_table(sizes)
    folder.write(f"scaling/{name}.csv", table.to_csv(index=False))
    own = next(size for size in sizes if size.percent == 100)
    _print(table, sizes, Subject(folder.study, own.arch), budget)
    if budget is not None:
        within = [size for size in sizes if size.cost.macs <= budget]
        found = f"{within[-1].arch.resolution} px is the largest" if within else "no size is"
        console.print(f"{found} within {millions(budget)} macs")
    console.print(
        "costs alone: accuracy needs weights, resolution.weights=FILE, and the images of a study"
    )
    console.print(f"wrote {folder / 'scaling' / name}.csv")
    return table


def _judge(subject: Subject, data: ImageData, sizes: Sequence[Size]) -> list[Score]:
    """Accuracy at every size, with the normalisation of the training resolution."""
    assert subject.weights is not None
    network = Network(subject.arch, subject.num_classes)
    load_weights(network, subject.weights)
    network.eval()
    batches = prepare(data, subject.arch.resolution)
    right = [
        [_correct(network, batches, split, size.arch.resolution) for split in (data.val, data.test)]
        for size in sizes
    ]
    own = next(at for at, size in enumerate(sizes) if size.percent == 100)
    scores = []
    for val, test in right:
        gain, (low, high) = paired_gain(test, right[own][1])
        interval = wilson(float(test.mean()), len(test))
        if test is right[own][1]:
            low = high = 0.0
        scores.append(Score(float(val.mean()), float(test.mean()), *interval, gain, low, high))
    return scores


@torch.inference_mode()
def _correct(network: Network, batches: Batches, split: Split, side: int) -> NDArray[np.bool_]:
    """Which images of a split the network has right at a size; shape (images,)."""
    images = resize(split.images, side)
    answers = [network(batches.normalise(chunk)).argmax(1) for chunk in torch.split(images, 256)]
    found: NDArray[np.bool_] = (torch.cat(answers) == split.labels).numpy()
    return found


def _train(
    folder: StudyFolder,
    run_config: SettledConfig,
    data: ImageData,
    sizes: Sequence[Size],
    settings: ResolutionConfig,
) -> pd.DataFrame:
    """Mean accuracies of the network trained by the proxy at every size."""
    epochs = settings.epochs or run_config.proxy.epochs
    jobs = [
        replace(
            make_job(format_arch(size.arch), epochs, run_config.seed, replicate),
            test=True,
            long=True,
        )
        for size in sizes
        for replicate in range(settings.seeds)
    ]
    console.print(
        f"training the network at {len(sizes)} sizes, {settings.seeds} seeds each: {len(jobs)} "
        f"trainings of {epochs} {'epoch' if epochs == 1 else 'epochs'}"
    )
    (folder / RECORDS).parent.mkdir(parents=True, exist_ok=True)
    with (
        TrainEvaluator(data, run_config.training, run_config.workers) as evaluator,
        TrialProgress("resolution", len(jobs)) as progress,
    ):
        work = [(job, folder / RECORDS) for job in jobs]
        records = run_jobs(evaluator, work, progress.one_more)
    rows = []
    for number in range(len(sizes)):
        seeds = records[number * settings.seeds : (number + 1) * settings.seeds]
        trained = [record for record in seeds if isinstance(record, TrialRecord)]
        rows.append(
            {
                f"trained_{split}_accuracy": (
                    float(np.mean([each.metrics[f"{split}_accuracy"] for each in trained]))
                    if trained
                    else math.nan
                )
                for split in ("val", "test")
            }
        )
    return pd.DataFrame(rows)


def _about_images(data_side: int, sizes: Sequence[Size]) -> list[str]:
    """What the images themselves say of a gap."""
    said = [
        "training showed whole images, so that objects look as large there as in a test image of "
        "the training resolution (FixRes's gap comes of random crops, which this proxy lacks)"
    ]
    if any(size.arch.resolution > data_side for size in sizes):
        said.append(f"the images are stored at {data_side} px: above it they are interpolated")
    return said


def _about_trained(sizes: Sequence[Size], trained: pd.DataFrame, seeds: int) -> str:
    """The best of the networks trained at each size, chosen by validation accuracy."""
    best = trained["trained_val_accuracy"].fillna(-1.0).to_numpy()
    at = max(range(len(sizes)), key=lambda number: (best[number], -sizes[number].cost.macs))
    own = next(number for number, size in enumerate(sizes) if size.percent == 100)
    reached, before = (100 * trained["trained_test_accuracy"][number] for number in (at, own))
    return (
        f"trained anew at every size ({seeds} {'seed' if seeds == 1 else 'seeds'}, the proxy), the "
        f"best by validation is {sizes[at].arch.resolution} px: test accuracy {reached:.2f}, at "
        f"{sizes[own].arch.resolution} px {before:.2f}"
    )


def _print(
    table: pd.DataFrame, sizes: Sequence[Size], subject: Subject, budget: int | None
) -> None:
    screen = Table(
        title=f"{subject.name} at other resolutions than its {subject.arch.resolution} px",
        title_justify="left",
    )
    judged, trained = "test_accuracy" in table, "trained_test_accuracy" in table
    for heading in (
        "", "pixels", "macs", "macs / own", "macs over area", "last map",
        *(("val", "test (95%)", "test less own's (95%)") if judged else ()),
        *(("trained: val", "trained: test") if trained else ()),
    ):  # fmt: skip
        screen.add_column(heading, justify="right")
    screen.add_column("mind")
    for row, size in zip(table.to_dict("records"), sizes, strict=True):
        cells = [
            f"{size.percent:g}%",
            str(size.arch.resolution),
            millions(size.cost.macs),
            f"{row['macs_ratio']:.2f}×",
            f"{size.stairs:+.0%}",
            f"{size.last_map}×{size.last_map}",
        ]
        if judged:
            cells += [
                f"{100 * row['val_accuracy']:.2f}",
                f"{100 * row['test_accuracy']:.2f} ({100 * row['low']:.2f} to "
                f"{100 * row['high']:.2f})",
                "" if size.percent == 100 else _points(
                    Score(*(row[name] for name in Score.__dataclass_fields__))
                ),
            ]  # fmt: skip
        if trained:
            cells += [f"{100 * row[f'trained_{split}_accuracy']:.2f}" for split in ("val", "test")]
        over = budget is not None and size.cost.macs > budget
        notes = [*size.notes, *(["over the budget"] if over else [])]
        screen.add_row(*cells, "; ".join(notes), style="dim" if over else None)
    console.print(screen)
    stride = subject.arch.total_stride
    if any(size.last_map == 1 for size in sizes):
        console.print("last map 1×1: nothing is left to pool, and every place is seen once")
    if any(size.arch.resolution % stride for size in sizes):
        console.print(
            f"off {stride}: strides round maps up, so that cost has stairs; the last map of such a "
            f"size costs what the next multiple of {stride} px does"
        )


def _points(score: Score) -> str:
    low, high = 100 * score.gain_low, 100 * score.gain_high
    return f"{100 * score.gain:+.2f} ({low:+.2f} to {high:+.2f})"
