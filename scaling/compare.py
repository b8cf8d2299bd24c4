"""`python -m scaling compare`: does compound scaling beat the alternatives on these images?

Every rule makes a network of the study's B0 that costs the same counted macs, and all are trained
alike. EfficientNet's Table 7 and Figure 8 ask this of single axes on ImageNet with one training
each; here the cost is counted, the trainings are repeated, and differences have intervals.
"""

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any, Final

import numpy as np
import pandas as pd
from rich.table import Table

from blocks.arch import ArchSpec, format_arch
from blocks.console import console, duration, millions
from blocks.cost import Cost, count
from scaling.compound import PAPER, ScalingCoefficients, ScalingError
from scaling.config import CompareConfig, ScalingConfig
from scaling.differences import (
    Chance,
    Difference,
    chance_to_win,
    difference,
    mean_difference,
    pooled_noise,
)
from scaling.fit.run import read_fit
from scaling.paper_tables import print_table
from scaling.plot import plot_compare
from scaling.rules import Rule, compound, find_rule, free
from scaling.solve import Target, solve
from search.commands.progress import TrialProgress
from search.config.settled import SettledConfig
from search.data.datasets import load_data
from search.data.splits import ImageData
from search.errors import StudyError
from search.evaluators.batch import run_jobs
from search.evaluators.train import Job, TrainEvaluator, make_job
from search.record.folder import StudyFolder, StudyLock, environment
from search.record.trials import FailureRecord, TrialRecord, derive_seed, read_records
from search.study.baseline import Baseline, read_baseline
from search.study.images import check_data
from search.study.settle import settled_as_stored
from search.training.train import macs_share

FITTED: Final = "fitted"
FORMER: Final = ("published", "paper")
"""What the fitted coefficients are asked to be no worse than."""
ASTRAY: Final = 45.0
"""Degrees between a network's and its rule's direction above which it is not what the rule says."""
RECORDS: Final = "scaling/compare.jsonl"


@dataclass(frozen=True, slots=True)
class Contender:
    """What a rule makes of B0 at a cost ratio; multipliers as realised, `residual` of the macs.

    `deviation` is how far from the rule's direction rounding and the cost have moved it, in logs.
    """

    rule: str
    ratio: float
    arch: ArchSpec
    cost: Cost
    depth: float
    width: float
    resolution: float
    residual: float
    deviation: float

    @property
    def degrees(self) -> float:
        """Angle between the way from B0 to this network and the rule's, in logs."""
        far = math.hypot(*(math.log(v) for v in (self.depth, self.width, self.resolution)))
        return math.degrees(math.asin(min(1.0, self.deviation / far))) if far else 0.0


@dataclass(frozen=True, slots=True)
class Missing:
    """A rule that has no network of the cost ratio, and why."""

    rule: str
    ratio: float
    reason: str


@dataclass(frozen=True)
class Outcome:
    """What a comparison found; accuracies by spelling are of shape (seeds,).

    `differences` are fitted less the rule, by (rule, ratio); `means` over the ratios that both
    have; `chances` those of one training to be no worse.
    """

    contenders: list[Contender]
    missing: list[Missing]
    accuracies: dict[str, list[float]]
    differences: dict[tuple[str, float], Difference]
    chances: dict[tuple[str, float], Chance]
    means: dict[str, Difference]
    same: dict[tuple[str, float], str]
    deviations: dict[float, float]


def compare(config: ScalingConfig) -> Outcome | None:
    """Train what is missing, write scaling/compare.csv, compare.json and compare.png.

    With `paper=…` nothing is trained: a table of the paper is rebuilt, and None returned.

    Raises:
        ScalingError, StudyError: see the messages; what was trained stays on disk.
    """
    if config.paper is not None:
        print_table(config.paper)
        return None
    if config.baseline is not None or config.coefficients != FITTED:
        raise ScalingError(
            "scaling compare compares what a study has fitted; baseline=… and coefficients=… "
            "belong to scaling emit"
        )
    settings = config.compare
    folder = StudyFolder(config.results_dir, config.study or "main").require()
    run_config = settled_as_stored(folder.read_config())
    baseline = read_baseline(folder)
    coefficients, rounding = read_fit(folder, baseline.arch)
    rules = rules_of(settings, coefficients, run_config.seed)
    contenders, missing = plan(
        baseline, rules, settings, config.rounding or rounding or baseline.rounding
    )
    data = load_data(run_config.dataset, run_config.proxy.resolution)
    if data.num_classes != baseline.num_classes:
        raise StudyError(
            f"{folder / 'b0.yaml'} has {baseline.num_classes} classes, the data {data.num_classes}"
        )
    epochs = settings.epochs or run_config.proxy.epochs
    spellings = list(
        dict.fromkeys(format_arch(arch) for arch in (baseline.arch, *(c.arch for c in contenders)))
    )
    jobs = {
        spelling: [
            replace(make_job(spelling, epochs, run_config.seed, replicate), test=True, long=True)
            for replicate in range(settings.seeds)
        ]
        for spelling in spellings
    }
    with StudyLock(folder):
        check_data(folder, data)
        (folder / RECORDS).parent.mkdir(parents=True, exist_ok=True)
        _announce(folder, run_config, baseline, contenders, missing, jobs, epochs)
        records = _train(folder, run_config, data, [job for each in jobs.values() for job in each])
        accuracies = {
            spelling: [records[job].metrics[f"{settings.split}_accuracy"] for job in jobs[spelling]]
            for spelling in spellings
            if all(job in records for job in jobs[spelling])
        }
        for spelling in spellings:
            if spelling not in accuracies:
                console.print(f"left out, as a training of it failed: {spelling}", markup=False)
        outcome = judge(contenders, missing, accuracies, settings.seeds)
        table = outcome_table(outcome, baseline, settings.seeds)
        images = len(data.test if settings.split == "test" else data.val)
        folder.write("scaling/compare.csv", table.to_csv(index=False))
        content = {
            **environment(),
            "seed": run_config.seed,
            **asdict(settings),
            "epochs": epochs,
            "images": images,
            "dataset_sha256": data.sha256,
            "baseline": format_arch(baseline.arch),
            **_summary(outcome),
            "verdicts": verdicts(outcome),
        }
        folder.write("scaling/compare.json", json.dumps(content, indent=2) + "\n")
        title = f"{folder.study}: rules at equal macs, {_epochs(epochs)}, {settings.seeds} seeds"
        folder.write("scaling/compare.png", plot_compare(table, settings.split, title))
    _report(outcome, settings, images)
    console.print(f"wrote {folder / 'scaling' / 'compare.csv'}, compare.json, compare.png")
    return outcome


def rules_of(
    settings: CompareConfig, coefficients: ScalingCoefficients, seed: int
) -> dict[str, Rule]:
    """The rules by the names of the tables, the fitted one first, random directions last.

    A random direction shares the log of the cost out to depth, width and resolution uniformly
    (Dirichlet 1, 1, 1); the same ones for a study, however many are asked for.
    """
    named = {"paper": PAPER, FITTED: coefficients}
    rules = {
        name: compound(named[name]) if name in named else find_rule(name)
        for name in dict.fromkeys([FITTED, *settings.rules])
    }
    for number in range(1, settings.random + 1):
        generator = np.random.default_rng(derive_seed(seed, "scaling compare", number))
        depth, width, resolution = generator.dirichlet([1.0, 1.0, 1.0]).tolist()
        rules[f"random {number}"] = free(depth, width / 2, resolution / 2)
    return rules


def plan(
    baseline: Baseline, rules: Mapping[str, Rule], settings: CompareConfig, rounding: str
) -> tuple[list[Contender], list[Missing]]:
    """The network of each rule at each cost ratio, by ratio; and the rules that have none.

    Raises:
        ScalingError: the fitted coefficients have none; or there is nothing to compare them with.
    """
    base = count(baseline.arch, baseline.num_classes)
    contenders: list[Contender] = []
    missing: list[Missing] = []
    for ratio in dict.fromkeys(settings.ratios):
        target = Target("macs", ratio * base.macs, settings.tolerance)
        for name, rule in rules.items():
            try:
                found = solve(baseline.arch, rule, target, baseline.num_classes, rounding)
            except ScalingError as error:
                missing.append(Missing(name, ratio, str(error)))
                continue
            if abs(found.residual) > settings.tolerance:
                reason = f"its nearest network is {found.residual:+.1%} off the macs"
                missing.append(Missing(name, ratio, reason))
                continue
            contender = Contender(
                name,
                ratio,
                found.arch,
                found.cost,
                found.depth,
                found.width,
                found.resolution,
                found.residual,
                found.deviation,
            )
            if contender.degrees > ASTRAY:
                reason = (
                    f"its nearest network of these macs (d {found.depth:.2f}, w {found.width:.2f}, "
                    f"r {found.resolution:.2f}) goes another way than the rule"
                )
                missing.append(Missing(name, ratio, reason))
                continue
            contenders.append(contender)
    for ratio in dict.fromkeys(settings.ratios):
        at_ratio = [each for each in contenders if each.ratio == ratio]
        if FITTED not in {each.rule for each in at_ratio}:
            reason = next(
                each.reason for each in missing if (each.rule, each.ratio) == (FITTED, ratio)
            )
            raise ScalingError(
                f"the fitted coefficients have no network of compare.ratios={ratio:g} times B0's "
                f"macs within compare.tolerance={settings.tolerance:g}: {reason}"
            )
        if len({each.arch for each in at_ratio}) < 2:
            raise ScalingError(
                f"all rules make the same network of compare.ratios={ratio:g}; expected a larger "
                "ratio or more compare.rules"
            )
    return contenders, missing


def judge(
    contenders: list[Contender],
    missing: list[Missing],
    accuracies: dict[str, list[float]],
    seeds: int,
) -> Outcome:
    """Differences of the fitted rule to every other, from accuracies by spelling.

    The noise is that of a ratio's networks together, each counted once however many rules make it.

    Raises:
        StudyError: the fitted rule's network, or every other one, is not among them.
    """
    differences: dict[tuple[str, float], Difference] = {}
    chances: dict[tuple[str, float], Chance] = {}
    same: dict[tuple[str, float], str] = {}
    deviations: dict[float, float] = {}
    for ratio in dict.fromkeys(each.ratio for each in contenders):
        first: dict[str, str] = {}
        for each in contenders:
            if each.ratio == ratio:
                spelling = format_arch(each.arch)
                if spelling in first:
                    same[each.rule, ratio] = first[spelling]
                first.setdefault(spelling, each.rule)
        trained = {rule: accuracies[arch] for arch, rule in first.items() if arch in accuracies}
        if FITTED not in trained or len(trained) < 2:
            raise StudyError(
                f"too few networks of {ratio:g} times B0's macs were trained to compare: "
                f"{', '.join(trained) or 'none'}"
            )
        noise = pooled_noise(list(trained.values()))
        deviations[ratio] = math.sqrt(noise.variance)
        for each in contenders:
            rule = same.get((each.rule, ratio), each.rule)
            if each.ratio == ratio and rule in trained and rule != FITTED:
                key = each.rule, ratio
                differences[key] = difference(trained[FITTED], trained[rule], noise)
                chances[key] = chance_to_win(differences[key], seeds)
    means = {}
    for rule in dict.fromkeys(each.rule for each in contenders):
        parts = [found for (name, _), found in differences.items() if name == rule]
        if parts:
            means[rule] = mean_difference(parts)
    return Outcome(contenders, missing, accuracies, differences, chances, means, same, deviations)


def verdicts(outcome: Outcome) -> dict[str, str]:
    """In words, by rule: whether the fitted coefficients are better, worse, or cannot be told."""
    said = {}
    for rule in dict.fromkeys(each.rule for each in outcome.contenders):
        if rule == FITTED:
            continue
        ratios = [each.ratio for each in outcome.contenders if each.rule == rule]
        alike = [ratio for ratio in ratios if outcome.same.get((rule, ratio)) == FITTED]
        if rule not in outcome.means:
            said[rule] = "the same network" if alike == ratios else "not trained"
            continue
        mean = outcome.means[rule]
        word = "indistinguishable"
        if mean.distinguishable:
            word = "fitted is better" if mean.value > 0 else "fitted is worse"
        number = sum(name == rule for name, _ in outcome.differences)
        said[rule] = (
            f"{word}: {_points(mean)} points"
            + (f" in the mean of {number} ratios" if number > 1 else "")
            + "".join(f", the same network at {ratio:g}×" for ratio in alike)
            + f"; P(fitted ≥ {rule}) {mean.probability:.2f}"
        )
    return said


def outcome_table(outcome: Outcome, baseline: Baseline, seeds: int) -> pd.DataFrame:
    """A row per rule and ratio, B0 first: what it costs and reached (fractions, not percents)."""
    base = count(baseline.arch, baseline.num_classes)
    b0 = Contender("b0", 1.0, baseline.arch, base, 1.0, 1.0, 1.0, 0.0, 0.0)
    rows = []
    for each in (b0, *outcome.contenders):
        spelling, key = format_arch(each.arch), (each.rule, each.ratio)
        reached = outcome.accuracies.get(spelling)
        found, chance = outcome.differences.get(key), outcome.chances.get(key)
        rows.append(
            {
                "ratio": each.ratio,
                "rule": each.rule,
                "depth": round(each.depth, 4),
                "width": round(each.width, 4),
                "resolution": round(each.resolution, 4),
                "pixels": each.arch.resolution,
                "blocks": sum(stage.repeats for stage in each.arch.stages),
                **asdict(each.cost),
                "macs_ratio": each.cost.macs / base.macs,
                "residual": round(each.residual, 5),
                "deviation": round(each.deviation, 4),
                "degrees_off_rule": round(each.degrees, 1),
                "same_as": outcome.same.get(key),
                "seeds": 0 if reached is None else seeds,
                "accuracy_mean": None if reached is None else float(np.mean(reached)),
                "accuracy_std": None if reached is None else float(np.std(reached, ddof=1)),
                "fitted_less_rule": None if found is None else found.value,
                "low": None if found is None else found.low,
                "high": None if found is None else found.high,
                "p_fitted_no_worse": None if found is None else found.probability,
                "p_training_no_worse": None if chance is None else chance.value,
                "p_training_low": None if chance is None else chance.low,
                "p_training_high": None if chance is None else chance.high,
                "arch": spelling,
            }
        )
    return pd.DataFrame(rows)


def _announce(
    folder: StudyFolder,
    run_config: SettledConfig,
    baseline: Baseline,
    contenders: Sequence[Contender],
    missing: Sequence[Missing],
    jobs: Mapping[str, Sequence[Job]],
    epochs: int,
) -> None:
    """What will be trained, and about how long it takes by what B0's own training took."""
    held = {
        (record.arch, record.seed, record.fidelity["epochs"])
        for record in read_records(folder / RECORDS)
        if isinstance(record, TrialRecord)
    }
    left = [
        job
        for each in jobs.values()
        for job in each
        if (job.arch, job.seed, job.epochs) not in held
    ]
    seeds = len(next(iter(jobs.values())))
    ratios = len({each.ratio for each in contenders})
    rules = len({each.rule for each in contenders})
    line = (
        f"{rules} rules at {ratios} cost {'ratio' if ratios == 1 else 'ratios'} make "
        f"{len(jobs) - 1} different networks of {folder.study}'s B0; with B0 and {seeds} seeds "
        f"each {sum(map(len, jobs.values()))} trainings of {_epochs(epochs)}, {len(left)} to do"
    )
    b0 = next(
        (record for record in folder.completed() if record.arch == format_arch(baseline.arch)), None
    )
    if b0 is not None and b0.seconds.get("train") and left:
        costs = {format_arch(each.arch): each.cost.macs for each in contenders}
        macs = sum(costs.get(job.arch, b0.cost.macs) for job in left)
        # The proxy's images grow, those of these trainings do not.
        work = macs_share(run_config.proxy) * b0.fidelity["epochs"] * b0.cost.macs
        each_second = sum(b0.seconds.values()) / work
        seconds = each_second * epochs * macs / max(1, run_config.workers.count)
        line += f": about {duration(seconds)}, by the time that B0's training took"
    console.print(line)
    for lost in missing:
        console.print(
            f"  {lost.rule} is not compared at {lost.ratio:g}×: {lost.reason}", markup=False
        )


def _train(
    folder: StudyFolder, run_config: SettledConfig, data: ImageData, jobs: Sequence[Job]
) -> dict[Job, TrialRecord]:
    with (
        TrainEvaluator(data, run_config.training, run_config.workers) as evaluator,
        TrialProgress("compare", len(jobs)) as progress,
    ):
        work = [(job, folder / RECORDS) for job in jobs]
        outcomes = run_jobs(evaluator, work, progress.one_more)
    failures = [record for record in outcomes if isinstance(record, FailureRecord)]
    if len(failures) == len(jobs):
        raise StudyError(f"all {len(jobs)} trainings failed; the last: {failures[-1].error}")
    pairs = zip(jobs, outcomes, strict=True)
    return {job: record for job, record in pairs if isinstance(record, TrialRecord)}


def _summary(outcome: Outcome) -> dict[str, Any]:
    """The numbers of an outcome, for compare.json."""
    return {
        "noise_std": {f"{ratio:g}": value for ratio, value in outcome.deviations.items()},
        "differences": [
            {"rule": rule, "ratio": ratio, **asdict(found),
             "training_no_worse": asdict(outcome.chances[rule, ratio])}
            for (rule, ratio), found in outcome.differences.items()
        ],
        "mean_differences": {rule: asdict(found) for rule, found in outcome.means.items()},
        "same": [
            {"rule": rule, "ratio": ratio, "as": other}
            for (rule, ratio), other in outcome.same.items()
        ],
        "missing": [asdict(each) for each in outcome.missing],
        "accuracies": outcome.accuracies,
    }  # fmt: skip


def _report(outcome: Outcome, settings: CompareConfig, images: int) -> None:
    for ratio in dict.fromkeys(each.ratio for each in outcome.contenders):
        _print_ratio(outcome, settings, ratio)
    deviations = [
        f"{100 * each:.2f} points at {ratio:g}×" for ratio, each in outcome.deviations.items()
    ]
    console.print(
        f"noise of one training: {', '.join(deviations)}; intervals are 95% over seeds, on "
        f"these {images} {settings.split} images"
    )
    for rule, said in verdicts(outcome).items():
        console.print(f"  against {rule}: {said}")
    for rival in FORMER:
        for (rule, ratio), chance in outcome.chances.items():
            if rule == rival:
                console.print(
                    f"P(a training by the fitted coefficients ≥ one by {rival}) at {ratio:g}×: "
                    f"{chance.value:.2f} (95% {chance.low:.2f} to {chance.high:.2f})"
                )


def _print_ratio(outcome: Outcome, settings: CompareConfig, ratio: float) -> None:
    screen = Table(
        title=f"{ratio:g} times B0's macs ±{settings.tolerance:.0%}, {settings.seeds} seeds",
        title_justify="left",
    )
    screen.add_column("rule")
    for heading in (
        "d", "w", "r", "off rule", "pixels", "macs", "params", f"{settings.split} accuracy",
        "fitted less it", "P(fitted ≥ it)",
    ):  # fmt: skip
        screen.add_column(heading, justify="right")
    for each in outcome.contenders:
        if each.ratio != ratio:
            continue
        key = each.rule, ratio
        reached = outcome.accuracies.get(format_arch(each.arch))
        accuracy = "failed"
        if reached is not None:
            accuracy = f"{100 * np.mean(reached):.2f} ± {100 * np.std(reached, ddof=1):.2f}"
        found = outcome.differences.get(key)
        shown = "" if found is None else _points(found)
        if key in outcome.same:
            accuracy = f"same network as {outcome.same[key]}"
        screen.add_row(
            each.rule,
            f"{each.depth:.2f}",
            f"{each.width:.2f}",
            f"{each.resolution:.2f}",
            f"{each.degrees:.0f}°",
            str(each.arch.resolution),
            f"{millions(each.cost.macs)} ({each.residual:+.1%})",
            f"{each.cost.params:,}",
            accuracy,
            shown,
            "" if found is None else f"{found.probability:.2f}",
        )
    console.print(screen)


def _points(found: Difference) -> str:
    low, high = 100 * found.low, 100 * found.high
    return f"{100 * found.value:+.2f} ({low:+.2f} to {high:+.2f})"


def _epochs(number: int) -> str:
    return f"{number} epoch{'s' if number > 1 else ''}"
