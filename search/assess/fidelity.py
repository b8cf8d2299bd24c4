"""`python -m search fidelity`: how far can the short proxy be trusted to rank architectures?

Random members of the space are trained by the proxy and by a longer schedule, some of them with
several seeds. A proxy that ranks them as the long schedule does may choose; one that does not
only spends time (EcoNAS, Zhou et al. 2020; "NAS evaluation is frustratingly hard", 1912.12522).
"""

import json
import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from typing import Any, Final

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from rich.table import Table

from blocks.console import console
from search.assess.statistics import Correlation, Estimate, partial_spearman, rank_correlation
from search.config.schema import RunConfig
from search.data.datasets import load_data
from search.data.splits import ImageData
from search.errors import StudyError
from search.evaluators.batch import run_jobs
from search.evaluators.supernet import SupernetEvaluator, obtain_supernet
from search.evaluators.train import Job, TrainEvaluator, make_job
from search.evaluators.workers import plan_workers
from search.plot import plot_fidelity
from search.record.trials import (
    FailureRecord,
    StudyFolder,
    StudyLock,
    TrialRecord,
    derive_seed,
    environment,
)
from search.space.choices import build_space
from search.space.latency_budget import describe_latency, table_sha256
from search.space.members import SpaceCandidates, draw_members, too_few
from search.study.progress import TrialProgress
from search.study.run import check_data
from search.training.device import settle_device
from search.training.supernet import Supernet

LEAST: Final = 5
"""Architectures below which ranks say nothing."""
STRONG: Final = 0.5
"""Kendall's tau of a proxy that orders three pairs of four as the long schedule does."""


@dataclass(frozen=True)
class Trust:
    """How the proxy's accuracies and the long schedule's agree over the architectures.

    `ceiling_tau` and `ceiling_rho` are what a proxy of perfect order would be expected to reach,
    given how much of each schedule's spread is the noise of seeds (reliabilities, from the
    repeated architectures; for normal variables, Greiner's relation and Pearson's of 1907; nan
    where noise is all there is). `top_recall` is the share of the long schedule's best `top_k` that
    the proxy's best `top_k` hold; `regret` the accuracy lost by taking the proxy's first.
    """

    correlation: Correlation
    partial: Estimate
    baselines: dict[str, Correlation]
    reliability: tuple[float, float]
    ceiling_tau: float
    ceiling_rho: float
    top_k: int
    top_recall: float
    regret: float
    name: str = "the proxy"

    @property
    def verdict(self) -> str:
        """Go or no-go, in words.

        No-go: the 95% interval of tau holds 0, and its upper end is below 0.5. Undecided: it
        holds 0 and 0.5. Go: it is above 0; with a reservation where the partial correlation
        after params and macs is not, as then these two would have told as much.
        """
        low, high = self.correlation.tau_interval
        if math.isnan(self.correlation.tau):
            return f"no-go: {self.name}, or the long schedule, gives all networks the same accuracy"
        tau = f"tau {self.correlation.tau:.2f} ({low:.2f} to {high:.2f})"
        if not low > 0:
            if high < STRONG:
                return f"no-go: {tau} is no order to choose by; train longer, or on more images"
            return f"undecided: {tau} holds 0 and {STRONG}; more architectures will tell"
        if not self.partial.interval[0] > 0:
            return (
                f"go, with care: {tau} is above 0, but what is left after params and macs may be "
                "nothing"
            )
        return f"go: {tau} is above 0, also after params and macs"


def fidelity(config: RunConfig) -> Trust:
    """Train what is missing, write fidelity.csv, fidelity.json and fidelity.png.

    Raises:
        ConfigError, DataError, StudyError: see the messages; what was trained stays on disk.
    """
    data = load_data(config.dataset, config.proxy.resolution)
    budget = config.cost_budget
    space = build_space(
        config.space, config.proxy.resolution, data.in_channels, data.num_classes, budget
    )
    candidates = SpaceCandidates(space, budget, data.num_classes)
    spellings = draw_members(
        candidates, config.fidelity.architectures, derive_seed(config.seed, "fidelity")
    )
    if len(spellings) < LEAST:
        raise too_few(budget, len(spellings), LEAST)
    folder = StudyFolder(config.results_dir, config.study)
    with StudyLock(folder):
        config = settle_device(config, candidates, len(data.train), folder)
        config = plan_workers(config, space, data, folder)
        folder.open(config, renew=False)
        check_data(folder, data, table_sha256(budget))
        for line in describe_latency(candidates):
            console.print(line, markup=False)
        supernet = None
        if config.needs_supernet or config.fidelity.supernet:
            supernet = obtain_supernet(config, data, folder, candidates)
        records = _train(config, data, folder, spellings, supernet)
        table = _table(config, spellings, records)
        if len(table) < LEAST:
            raise StudyError(f"{len(table)} architectures were trained; expected {LEAST} or more")
        noise = _replicates(config, spellings, records)
        trust = judge(table, *noise)
        shared = None
        if _judges(config):
            assert supernet is not None
            judged = _judge(config, data, folder, list(table["arch"]), supernet)
            table["supernet"] = [record.metrics["val_accuracy"] for record in judged]
            table["supernet_loss"] = [record.metrics["val_loss"] for record in judged]
            shared = judge_supernet(table, noise[1])
        folder.write("fidelity.csv", table.to_csv(index=False))
        content = {**environment(), "seed": config.seed, **asdict(config.fidelity)}
        content |= {"proxy_epochs": config.proxy.epochs, "long_epochs": config.long_epochs}
        content |= {**asdict(trust), "verdict": trust.verdict}
        if shared is not None:
            content["supernet"] = {
                **asdict(shared),
                "verdict": shared.verdict,
                "with_proxy": asdict(rank_correlation(table["supernet"], table["proxy"])),
                "by_loss": asdict(rank_correlation(-table["supernet_loss"], table["long"])),
            }
        folder.write("fidelity.json", json.dumps(_finite(content), indent=2) + "\n")
        title = f"{config.study}: {config.proxy.epochs} against {config.long_epochs} epochs"
        folder.write("fidelity.png", plot_fidelity(table, title))
    _report(config, trust, len(table))
    if shared is not None:
        _report_supernet(shared, table)
    console.print(f"wrote {folder / 'fidelity.csv'}, fidelity.json, fidelity.png")
    return trust


def judge(table: pd.DataFrame, proxy_noise: float, long_noise: float) -> Trust:
    """What the accuracies of a table (columns proxy, long, params, macs) say.

    `proxy_noise` and `long_noise` are variances of one training's accuracy over seeds.
    """
    proxy, long = table["proxy"].to_numpy(), table["long"].to_numpy()
    top_k = max(1, round(len(table) / 5))
    best = [set(np.argsort(-values, kind="stable")[:top_k]) for values in (proxy, long)]
    shares = (reliability(proxy, proxy_noise), reliability(long, long_noise))
    ceiling_tau, ceiling_rho = ceilings(*shares)
    return Trust(
        correlation=rank_correlation(proxy, long),
        partial=partial_spearman(proxy, long, [table["params"], table["macs"]]),
        baselines={name: rank_correlation(table[name], long) for name in ("params", "macs")},
        reliability=shares,
        ceiling_tau=ceiling_tau,
        ceiling_rho=ceiling_rho,
        top_k=top_k,
        top_recall=len(best[0] & best[1]) / top_k,
        regret=float(long.max() - long[int(np.argmax(proxy))]),
    )


def judge_supernet(table: pd.DataFrame, long_noise: float) -> Trust:
    """`judge` of the column supernet instead of proxy: one supernet has no noise of seeds."""
    trust = judge(table.assign(proxy=table["supernet"]), 0.0, long_noise)
    return replace(trust, name="the supernet")


def _judges(config: RunConfig) -> bool:
    return config.evaluator == "supernet" or config.fidelity.supernet


def _judge(
    config: RunConfig,
    data: ImageData,
    folder: StudyFolder,
    spellings: list[str],
    supernet: Supernet,
) -> list[TrialRecord]:
    jobs = [
        (make_job(spelling, 0, config.seed), folder / "fidelity.jsonl") for spelling in spellings
    ]
    with SupernetEvaluator(supernet, data, config.supernet, config.workers) as evaluator:
        records = run_jobs(evaluator, jobs)
    for record in records:
        if isinstance(record, FailureRecord):
            raise StudyError(f"the supernet could not judge {record.arch}: {record.error}")
    return [record for record in records if isinstance(record, TrialRecord)]


def reliability(values: NDArray[np.float64], noise: float) -> float:
    """Share of a variance between architectures that is not the noise of seeds."""
    spread = float(np.var(values, ddof=1))
    return float(np.clip(1 - noise / spread, 0.0, 1.0)) if spread > 0 else 0.0


def ceilings(left: float, right: float) -> tuple[float, float]:
    """Expected tau and rho of two measurements of one quality, of these reliabilities."""
    perfect = math.sqrt(left * right)
    return 2 / math.pi * math.asin(perfect), 6 / math.pi * math.asin(perfect / 2)


def _train(
    config: RunConfig,
    data: ImageData,
    folder: StudyFolder,
    spellings: list[str],
    supernet: Supernet | None,
) -> dict[Job, TrialRecord]:
    jobs = _jobs(config, spellings)
    console.print(
        f"{len(spellings)} random architectures at {config.proxy.epochs} and at "
        f"{config.long_epochs} epochs, {min(config.fidelity.repeated, len(spellings))} of them "
        f"with {config.fidelity.seeds} seeds: {len(jobs)} trainings"
    )
    with (
        TrainEvaluator(data, config.training, config.workers, supernet) as evaluator,
        TrialProgress("training", len(jobs)) as progress,
    ):
        work = [(job, folder / "fidelity.jsonl") for job in jobs]
        outcomes = run_jobs(evaluator, work, progress.one_more)
    pairs = zip(jobs, outcomes, strict=True)
    return {job: record for job, record in pairs if isinstance(record, TrialRecord)}


def _jobs(config: RunConfig, spellings: list[str]) -> list[Job]:
    return [
        _job(config, spelling, epochs, replicate)
        for number, spelling in enumerate(spellings)
        for epochs in (config.proxy.epochs, config.long_epochs)
        for replicate in range(config.fidelity.seeds if number < config.fidelity.repeated else 1)
    ]


def _job(config: RunConfig, spelling: str, epochs: int, replicate: int = 0) -> Job:
    """A training by the proxy, which may inherit, or by the long schedule, which does not."""
    job = make_job(spelling, epochs, config.seed, replicate)
    is_proxy = epochs == config.proxy.epochs
    return replace(job, inherit=config.inherits and is_proxy, long=not is_proxy)


def _table(
    config: RunConfig, spellings: list[str], records: dict[Job, TrialRecord]
) -> pd.DataFrame:
    """A row per architecture that both schedules trained: what its first seeds reached."""
    rows = []
    for spelling in spellings:
        found = [
            [
                records[job].metrics["val_accuracy"]
                for replicate in range(config.fidelity.seeds)
                if (job := _job(config, spelling, epochs, replicate)) in records
            ]
            for epochs in (config.proxy.epochs, config.long_epochs)
        ]
        first = [
            records.get(_job(config, spelling, epochs))
            for epochs in (config.proxy.epochs, config.long_epochs)
        ]
        if first[0] is None or first[1] is None:
            continue
        rows.append(
            {
                "proxy": first[0].metrics["val_accuracy"],
                "long": first[1].metrics["val_accuracy"],
                "proxy_std": float(np.std(found[0], ddof=1)) if len(found[0]) > 1 else np.nan,
                "long_std": float(np.std(found[1], ddof=1)) if len(found[1]) > 1 else np.nan,
                "params": first[0].cost.params,
                "macs": first[0].cost.macs,
                "arch": spelling,
            }
        )
    return pd.DataFrame(rows)


def _replicates(
    config: RunConfig, spellings: list[str], records: dict[Job, TrialRecord]
) -> tuple[float, float]:
    """Variance of one training over seeds, pooled over the repeated, of both schedules."""
    noise = []
    for epochs in (config.proxy.epochs, config.long_epochs):
        variances = []
        for spelling in spellings[: config.fidelity.repeated]:
            seeds = range(config.fidelity.seeds)
            jobs = [_job(config, spelling, epochs, replicate) for replicate in seeds]
            found = [records[job].metrics["val_accuracy"] for job in jobs if job in records]
            if len(found) > 1:
                variances.append(float(np.var(found, ddof=1)))
        noise.append(float(np.mean(variances)) if variances else 0.0)
    return noise[0], noise[1]


def _report(config: RunConfig, trust: Trust, number: int) -> None:
    screen = Table(
        title=f"{config.proxy.epochs} epochs against {config.long_epochs}, {number} architectures, "
        "95% bootstrap intervals",
        title_justify="left",
    )
    for name in ("what ranks", "Kendall tau", "Spearman rho"):
        screen.add_column(name, justify="left" if name == "what ranks" else "right")
    rows = {"the proxy": trust.correlation, **trust.baselines}
    _print_orders(screen, rows, "  after params and macs", trust)
    console.print(
        f"of the best {trust.top_k} the proxy finds {trust.top_recall:.0%}; its first is "
        f"{100 * trust.regret:.2f} points below the best; share of the spread that is not noise: "
        f"{trust.reliability[0]:.0%} of the proxy's, {trust.reliability[1]:.0%} of the long "
        "schedule's"
    )
    console.print(trust.verdict)


def _print_orders(
    screen: Table, rows: Mapping[str, Correlation], partial: str, trust: Trust
) -> None:
    """The correlations, what is left of the first after params and macs, and the ceiling."""
    for name, found in rows.items():
        screen.add_row(
            name, _cell(found.tau, found.tau_interval), _cell(found.rho, found.rho_interval)
        )
    left = trust.partial
    screen.add_row(partial, "", _cell(left.value, left.interval))
    screen.add_row(
        "  at best, for the noise of seeds", f"{trust.ceiling_tau:.2f}", f"{trust.ceiling_rho:.2f}"
    )
    console.print(screen)


def _report_supernet(trust: Trust, table: pd.DataFrame) -> None:
    screen = Table(
        title=f"The supernet's order against stand-alone training, {len(table)} architectures",
        title_justify="left",
    )
    for name in ("what ranks, against what", "Kendall tau", "Spearman rho"):
        screen.add_column(name, justify="left" if name.startswith("what") else "right")
    rows = {
        "its accuracy, the long schedule": trust.correlation,
        "its accuracy, the proxy": rank_correlation(table["supernet"], table["proxy"]),
        "its loss, the long schedule": rank_correlation(-table["supernet_loss"], table["long"]),
        **{f"{name}, the long schedule": found for name, found in trust.baselines.items()},
    }
    _print_orders(screen, rows, "its accuracy after params and macs", trust)
    console.print(f"the supernet: {trust.verdict}")


def _cell(value: float, interval: tuple[float, float]) -> str:
    return "–" if math.isnan(value) else f"{value:.2f} ({interval[0]:.2f} to {interval[1]:.2f})"


def _finite(value: Any) -> Any:
    """JSON has no nan: null."""
    if isinstance(value, dict):
        return {key: _finite(one) for key, one in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(one) for one in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value
