"""`python -m scaling fit`: coefficients with intervals, by a response surface or a grid."""

import json
import math
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any, Final

import numpy as np
import yaml
from numpy.typing import NDArray
from rich.table import Table

from blocks.arch import ArchSpec, format_arch
from blocks.console import console, duration, millions
from blocks.cost import count, count_many
from blocks.errors import LatencyError, one_line
from blocks.latency.measure import device_name
from blocks.latency.predict import load_predictor
from blocks.rounding import ROUNDINGS
from scaling.compound import PAPER, ScalingCoefficients, ScalingError
from scaling.config import FitConfig, ScalingConfig, listed
from scaling.fit.contour import Contour, Metric, find_contour
from scaling.fit.design import (
    BEYOND,
    LOW,
    Lattice,
    Point,
    check_levels,
    draw_points,
    repeat_points,
)
from scaling.fit.grid import fit_grid
from scaling.fit.surface import (
    Choice,
    Observations,
    Optimum,
    choose_form,
    enough,
    find_optimum,
    usable_forms,
)
from scaling.plot import plot_surface
from scaling.rules import RIVALS, direction
from scaling.setting import RUNS, Setting, run_trainings
from search.assess.statistics import wilson
from search.commands.screens.search import time_table
from search.config.schema import LATENCY
from search.data.datasets import load_data
from search.errors import StudyError
from search.evaluators.train import Job, make_job
from search.record.folder import StudyFolder, StudyLock, environment
from search.record.trials import TrialRecord, derive_seed, read_records
from search.study.baseline import read_baseline
from search.study.images import check_data
from search.study.settle import settled_as_stored
from search.training.train import macs_share

Floats = NDArray[np.float64]

MOST: Final = 72
"""Networks of a default design, however little time they take."""
FEWEST: Final = 24
"""Networks of a default design, however long they take."""
UNTIMED: Final = 48
"""Networks of a default design where the study has trained nothing to tell the time by."""
MARGIN: Final = 0.85
"""Share of the minutes that trainings are planned for."""
NAMES: Final = ("alpha", "beta", "gamma")
SAYS: Final = {
    "paper": "the paper's 1.2, 1.1, 1.15",
    "uniform": "uniform scaling",
    "dwr": "dWr (fast scaling)",
    "depth": "depth alone",
    "width": "width alone",
    "resolution": "resolution alone",
}
_TRIPLES: Final = 40
"""Triples of the region of the indistinguishable that fit.json spells out."""


def fit(config: ScalingConfig) -> ScalingCoefficients:
    """Fit the coefficients of a study's B0; write coefficients.yaml and scaling/fit.json.

    Raises:
        ScalingError, StudyError: see the messages; trained points stay on disk.
    """
    if config.baseline is not None or config.coefficients != "fitted":
        raise ScalingError(
            "scaling fit fits the B0 of a study; baseline=… and coefficients=… belong to "
            "scaling emit"
        )
    started = time.perf_counter()
    folder = StudyFolder(config.results_dir, config.study or "main").require()
    run = settled_as_stored(folder.read_config())
    baseline = read_baseline(folder)
    data = load_data(run.dataset, run.proxy.resolution)
    if data.num_classes != baseline.num_classes:
        raise StudyError(
            f"{folder / 'b0.yaml'} has {baseline.num_classes} classes, the data {data.num_classes}"
        )
    rounding = config.rounding or baseline.rounding
    setting = Setting(config, folder, run, baseline, rounding, data, {})
    with StudyLock(folder):
        check_data(folder, data)
        setting.seconds["read the data"] = time.perf_counter() - started
        coefficients, content = METHODS[config.method](setting)
        whole = {
            **asdict(coefficients),
            "method": config.method,
            **{key: value for key, value in content.items() if not isinstance(value, dict | list)},
            "intervals": content["intervals"],
            "rounding": rounding,
            "baseline": format_arch(baseline.arch),
        }
        whole |= {"grid": content["grid"]} if "grid" in content else {}
        report = {**environment(), "seed": run.seed, "dataset_sha256": data.sha256}
        report |= {**whole, **content, "seconds": setting.seconds}
        folder.write("scaling/fit.json", json.dumps(report, indent=2, allow_nan=False) + "\n")
        # Last: where it is, all of the fit is.
        folder.write("coefficients.yaml", yaml.safe_dump(whole, sort_keys=False, width=10_000))
    _report(coefficients, content)
    console.print(time_table("Where the time went (scaling fit)", setting.seconds))
    return coefficients


def read_fit(folder: StudyFolder, baseline: ArchSpec) -> tuple[ScalingCoefficients, str | None]:
    """The fitted coefficients of a study, and the rounding of the networks they were fitted to
    (None: not recorded).

    Raises:
        StudyError: not fitted yet, fitted for another B0, or a damaged file.
    """
    path = folder / "coefficients.yaml"
    try:
        content = yaml.safe_load(path.read_text(encoding="utf-8"))
        coefficients = ScalingCoefficients(content["alpha"], content["beta"], content["gamma"])
        fitted_for, rounding = content["baseline"], content.get("rounding")
    except FileNotFoundError:
        raise StudyError(
            f"{folder.path} has no coefficients.yaml; fit them first: "
            f"python -m scaling fit study={folder.study}"
        ) from None
    except (yaml.YAMLError, KeyError, TypeError, UnicodeDecodeError) as error:
        raise StudyError(f"{path} is damaged: {one_line(error)}") from None
    if fitted_for != format_arch(baseline):
        raise StudyError(
            f"{path} was fitted for another B0; fit again: "
            f"python -m scaling fit study={folder.study}"
        )
    if rounding is not None and rounding not in ROUNDINGS:
        raise StudyError(f"{path} is damaged: rounding is {rounding}")
    return coefficients, rounding


def fit_surface(setting: Setting) -> tuple[ScalingCoefficients, dict[str, Any]]:
    """Train a design around B0, fit a surface, and find its best triple at equal counted cost."""
    settings, baseline = setting.config.fit, setting.baseline
    epochs = [int(n) for n in listed(settings.epochs or setting.run.proxy.epochs)]
    fractions = [float(share) for share in listed(settings.train_fraction)]
    axes = 3 + int(len(epochs) > 1) + int(len(fractions) > 1)
    if settings.points is not None:
        usable_forms(settings.form, settings.points, axes)  # before hours of training
    high = math.log2(settings.cost) + BEYOND
    lattice = Lattice(baseline.arch, baseline.num_classes, setting.rounding, LOW, high)
    metric, base = _metric(settings, baseline.arch, baseline.num_classes)
    seed = derive_seed(setting.run.seed, "scaling")
    contour = find_contour(
        lattice, metric, base, settings.cost, settings.tolerance, seed,
        most_macs=math.inf if settings.metric == "macs" else 2**high,
    )  # fmt: skip
    points = _design(setting, lattice, high, epochs, fractions, seed, axes)
    check_levels(points)
    _announce(setting, points)
    jobs = [
        (_job(point, setting.run.seed, replicate), point.train_fraction)
        for point in points
        for replicate in range(point.trainings)
    ]
    records = run_trainings(setting, jobs, "surface")
    started = time.perf_counter()
    observations = observe(points, records, len(setting.data.val))
    forms = usable_forms(settings.form, len(observations), axes)
    choice = choose_form(observations, forms)
    rivals = {
        name: place
        for name, rule in RIVALS.items()
        if (place := contour.along(direction(rule))) is not None
    }
    optima = {}
    for level in _levels(epochs, fractions):
        optima[level] = find_optimum(
            observations, choice, contour.logs, rivals, settings.resamples, seed, np.array(level)
        )
    optimum = optima[max(optima)]
    triple = [round(float(value), 4) for value in np.exp(optimum.logs)]
    coefficients = ScalingCoefficients(*triple)
    content: dict[str, Any] = {
        "nominal_cost": round(coefficients.nominal_cost, 6),
        "cost": settings.cost,
        "metric": settings.metric,
        "points": len(observations),
        "trainings": int(observations.trainings.sum()),
        "failed": sum(record is None for record in records),
        "form": choice.chosen,
        "leave_one_out_points": {name: 100 * error for name, error in choice.errors.items()},
        "noise_points": 100 * observations.noise,
        "repeated": int((observations.trainings > 1).sum()),
        "dispersion": observations.dispersion,
        "misfit_logit": math.sqrt(observations.misfit),
        "val_images": observations.images,
        **_describe(optimum, contour, settings.resamples),
        "network": _network(lattice, contour, choice, optimum, max(optima)),
        "law_of_cost": {
            "coefficients": contour.coefficients.tolist(),
            "deviation_of_networks": contour.stairs,
        },
        "settings": asdict(settings),
    }
    if len(optima) > 1:
        content["schedules"] = [
            {
                "epochs": round(max(epochs) * math.exp(level[0])) if len(epochs) > 1 else epochs[0],
                "train_fraction": max(fractions) * math.exp(level[-1])
                if len(fractions) > 1
                else fractions[0],
                **dict(zip(NAMES, np.exp(each.logs).tolist(), strict=True)),
                **_describe(each, contour, settings.resamples),
            }
            for level, each in optima.items()
        ]
    else:
        content |= {"epochs": epochs[0], "train_fraction": fractions[0]}
    title = f"{setting.folder.study}: what {settings.cost:g} × {settings.metric} buy"
    png = plot_surface(
        np.exp(contour.logs),
        _gains(choice, contour.logs, max(optima)),
        optimum.region,
        np.exp(optimum.logs),
        {SAYS[name]: np.exp(place) for name, place in rivals.items()},
        title,
    )
    setting.folder.write("scaling/surface.png", png)
    setting.seconds["fit and bootstrap"] = time.perf_counter() - started
    return coefficients, content


METHODS: Final[
    dict[str, Callable[[Setting], tuple[ScalingCoefficients, dict[str, Any]]]]
] = {"surface": fit_surface, "grid": fit_grid}  # fmt: skip
"""`method` → what finds coefficients, and what fit.json says of them."""


def observe(
    points: Sequence[Point], records: Sequence[TrialRecord | None], images: int
) -> Observations:
    """What the trainings say of the points: a record per training, in order; None: it failed.

    Raises:
        StudyError: all failed.
    """
    left = iter(records)
    logs, accuracy = [], []
    for point in points:
        found = [next(left) for _ in range(point.trainings)]
        values = [each.metrics["val_accuracy"] for each in found if each is not None]
        if values:
            logs.append([*point.logs, *_schedule(point, points)])
            accuracy.append(np.array(values))
    if not accuracy:
        raise StudyError(f"all {len(records)} trainings of the surface failed")
    return Observations(np.array(logs), tuple(accuracy), images)


def _schedule(point: Point, points: Sequence[Point]) -> list[float]:
    """Logs of what was varied beside the network, over the most of it; what was not is left out."""
    varied = []
    for name in ("epochs", "train_fraction"):
        values = {getattr(each, name) for each in points}
        if len(values) > 1:
            varied.append(math.log(getattr(point, name) / max(values)))
    return varied


def _levels(epochs: Sequence[int], fractions: Sequence[float]) -> list[tuple[float, ...]]:
    """All combinations of the schedules, as `_schedule` has them; the last is the most of each."""
    levels: list[tuple[float, ...]] = [()]
    for values in (epochs, fractions):
        if len(values) > 1:
            logs = sorted(math.log(value / max(values)) for value in values)
            levels = [(*level, log) for level in levels for log in logs]
    return levels


def _job(point: Point, seed: int, replicate: int) -> Job:
    if point.train_fraction == 1:
        return make_job(point.arch, point.epochs, seed, replicate)
    # Another seed, so that in one file it is another training.
    fidelity = {"epochs": point.epochs, "train_fraction": point.train_fraction}
    return Job(point.arch, point.epochs, derive_seed(seed, point.arch, fidelity, replicate))


def _metric(settings: FitConfig, baseline: ArchSpec, num_classes: int) -> tuple[Metric, float]:
    """What networks cost by `fit.metric`, and what B0 does.

    Raises:
        ScalingError: of latencies, a table that cannot be read, or is of another device.
    """
    name = settings.metric
    if name != LATENCY:
        return lambda columns: getattr(columns.count(num_classes), name), float(
            getattr(count(baseline, num_classes), name)
        )
    assert settings.latency_table is not None  # `validate` has seen to it
    try:
        path = Path(settings.latency_table).expanduser()
        predictor = load_predictor(path)
        table = predictor.table
        table.check(device_name(), table.runtime, table.threads, table.batch, str(path))
    except LatencyError as error:
        raise ScalingError(f"fit.latency_table: {error}") from None
    act = baseline.act
    return (
        lambda columns: predictor.predict_columns(columns, num_classes, act),
        predictor.predict_ms(baseline, num_classes),
    )


def _design(
    setting: Setting,
    lattice: Lattice,
    high: float,
    epochs: Sequence[int],
    fractions: Sequence[float],
    seed: int,
    axes: int,
) -> list[Point]:
    """The points to train: those of scaling/design.json, or new ones, which are written there."""
    settings = setting.config.fit
    made_by = {
        "baseline": format_arch(setting.baseline.arch),
        "rounding": setting.rounding,
        "seed": setting.run.seed,
        "epochs": list(epochs),
        "train_fraction": list(fractions),
        **{name: getattr(settings, name) for name in ("points", "repeated", "seeds", "cost")},
        "minutes": settings.minutes if settings.points is None else None,
    }
    path = setting.folder / "scaling/design.json"
    if path.exists():
        try:
            known = json.loads(path.read_text(encoding="utf-8"))
            if known["made_by"] == made_by:
                return [Point(**{**each, "logs": tuple(each["logs"])}) for each in known["points"]]
        except (ValueError, KeyError, TypeError) as error:
            raise StudyError(f"{path} is damaged: {one_line(error)}") from None
    number = settings.points or MOST
    points = draw_points(lattice, number, high, epochs, fractions, seed)
    points = repeat_points(points, settings.repeated, settings.seeds)
    if settings.points is None:
        points = _affordable(setting, points, settings.form, axes)
    elif len(points) < number:
        console.print(f"scaling makes only {len(points)} different networks of this B0")
    usable_forms(settings.form, len(points), axes)
    content = {"made_by": made_by, "points": [asdict(point) for point in points]}
    setting.folder.write("scaling/design.json", json.dumps(content, indent=1) + "\n")
    return points


def _affordable(setting: Setting, points: list[Point], form: str | None, axes: int) -> list[Point]:
    """The first points that by prediction are trained within `fit.minutes`."""
    rate = _rate(setting)
    if rate is None:
        return points[:UNTIMED]
    settings = setting.config.fit
    time_left = MARGIN * 60 * settings.minutes * setting.run.workers.count
    spent = np.cumsum([_work(point) * rate for point in points])
    least = max(FEWEST, enough(form or "quadratic", axes))
    return points[: max(least, int((spent <= time_left).sum()))]


def _work(point: Point) -> float:
    """What a point's trainings take, in units of `_rate`.

    On CPUs time goes with macs and with activations alike; their geometric mean is as near as any.
    """
    each = math.sqrt(point.macs * point.activations) * point.epochs * point.train_fraction
    return each * point.trainings


def _rate(setting: Setting) -> float | None:
    """Seconds per unit of `_work`, as the study's own trainings took; None if there is none."""
    rates = []
    share = macs_share(setting.run.proxy)
    for name in ("trials.jsonl", "reference.jsonl", "controls.jsonl"):
        for record in read_records(setting.folder / name):
            if isinstance(record, TrialRecord) and record.fidelity["epochs"] > 0:
                work = math.sqrt(record.cost.macs * record.cost.activations)
                work *= share * record.fidelity["epochs"]
                rates.append(sum(record.seconds.values()) / work)
    return float(np.median(rates)) if rates else None


def _announce(setting: Setting, points: Sequence[Point]) -> None:
    trainings = sum(point.trainings for point in points)
    base = points[0]
    ratios = [point.macs / base.macs for point in points]
    console.print(
        f"response surface: {len(points)} networks of {min(ratios):.2f} to {max(ratios):.2f} times "
        f"the macs of {setting.folder.study}'s B0, {sum(p.trainings > 1 for p in points)} of them "
        f"with {setting.config.fit.seeds} seeds: {trainings} trainings"
    )
    rate, workers = _rate(setting), setting.run.workers.count
    if rate is None:
        console.print("  how long they take is not known: the study has trained nothing by itself")
    else:
        seconds = rate * sum(_work(point) for point in points) / workers
        console.print(
            f"  about {duration(seconds)} in {workers} processes, by what the search's trainings "
            f"took, those that {RUNS} holds included"
        )
    sides = [int(point.arch[1:].partition("-")[0]) for point in points]
    own = setting.data.train.images.shape[-1]
    if setting.run.dataset.name != "imagefolder" and max(sides) > own:
        console.print(
            f"  the images have {own} px: resolutions above (up to {max(sides)}) are the same "
            "images enlarged"
        )


def _describe(optimum: Optimum, contour: Contour, resamples: int) -> dict[str, Any]:
    """Intervals, region and rivals of an optimum, for fit.json."""
    triples = np.exp(contour.logs)
    region = triples[optimum.region]
    step = max(1, len(region) // _TRIPLES)
    return {
        "intervals": {
            name: np.exp(optimum.intervals[number]).tolist() for number, name in enumerate(NAMES)
        },
        "val_accuracy_predicted": optimum.accuracy,
        "region": {
            "share": float(optimum.region.mean()),
            **{
                name: [float(region[:, n].min()), float(region[:, n].max())]
                for n, name in enumerate(NAMES)
            },
            "triples": region[::step].round(4).tolist(),
        },
        "versus": {
            name: {
                "difference": each.difference,
                "interval": list(each.interval),
                "probability": each.probability,
                "probability_interval": list(wilson(each.probability, resamples)),
                "indistinguishable": each.indistinguishable,
            }
            for name, each in optimum.versus.items()
        },
        "forms_in_resamples": optimum.forms,
    }


def _network(
    lattice: Lattice,
    contour: Contour,
    choice: Choice,
    optimum: Optimum,
    level: tuple[float, ...],
) -> dict[str, Any]:
    """Of the real networks that cost the target the one the surface thinks best."""
    logs = np.column_stack([contour.realised, np.tile(np.array(level), (len(contour.realised), 1))])
    best = int(choice.fitted.predict(logs)[0].argmax())
    arch = lattice.arch([int(place) for place in contour.places[best]])
    cost = count_many([arch], lattice.num_classes)[0]
    return {
        "arch": format_arch(arch),
        "cost_ratio": float(contour.ratios[best]),
        "macs": cost.macs,
        "depth": float(np.exp(contour.realised[best, 0])),
        "width": float(np.exp(contour.realised[best, 1])),
        "resolution": float(np.exp(contour.realised[best, 2])),
        "networks": len(contour.places),
    }


def _gains(choice: Choice, logs: Floats, level: tuple[float, ...]) -> Floats:
    """(points,): predicted accuracies."""
    points = np.column_stack([logs, np.tile(np.array(level), (len(logs), 1))])
    return np.asarray(choice.fitted.predict(points)[0])


def verdict(content: dict[str, Any]) -> str:
    """What the data say of the fitted triple beside the paper's, in words."""
    paper = content["versus"].get("paper")
    if paper is None:
        return "the paper's direction does not reach this cost within the design"
    # Points of a grid differ in cost, as the paper's did.
    where = "among the points of the grid" if "grid" in content else "at equal cost"
    low, high = (100 * value for value in paper["interval"])
    what = (
        f"{100 * paper['difference']:+.2f} points ({low:+.2f} to {high:+.2f}), "
        f"P(better) {paper['probability']:.2f}"
    )
    if paper["indistinguishable"]:
        return f"indistinguishable from {SAYS['paper']}: {where} {what}"
    word = "better" if low > 0 else "worse"
    return f"{word} than {SAYS['paper']} {where}: {what}"


def _report(coefficients: ScalingCoefficients, content: dict[str, Any]) -> None:
    values = (coefficients.alpha, coefficients.beta, coefficients.gamma)
    said = [
        f"{letter}={value:.4g} ({content['intervals'][name][0]:.2f} to "
        f"{content['intervals'][name][1]:.2f}) {what}"
        for letter, name, what, value in zip(
            "αβγ", NAMES, ("depth", "width", "resolution"), values, strict=True
        )
    ]
    console.print(
        f"fitted {', '.join(said)}; the paper's are {PAPER.alpha:g}, {PAPER.beta:g}, "
        f"{PAPER.gamma:g}"
    )
    if "leave_one_out_points" in content:
        errors = content["leave_one_out_points"]
        told = ", ".join(f"{name} {error:.2f}" for name, error in errors.items())
        console.print(
            f"  of networks left out the forms miss by (points, rms): {told}; {content['form']} "
            f"is used; seeds alone differ by {content['noise_points']:.2f} "
            f"({content['repeated']} networks repeated, {content['val_images']} images)"
        )
        network = content["network"]
        console.print(
            f"  the best real network of {network['cost_ratio']:.2f} × {content['metric']} "
            f"(macs {millions(network['macs'])}): {network['arch']}",
            markup=False,
        )
    table = Table(title="The fitted triple against others, 95% intervals", title_justify="left")
    for name in ("against", "points of accuracy", "P(better)"):
        table.add_column(name, justify="left" if name == "against" else "right")
    for name, each in content["versus"].items():
        # + 0: there is no −0.00.
        difference, low, high = (
            round(100 * value, 2) + 0.0 for value in (each["difference"], *each["interval"])
        )
        table.add_row(
            SAYS[name],
            f"{difference:+.2f} ({low:+.2f} to {high:+.2f})",
            f"{each['probability']:.2f}",
        )
    console.print(table)
    lost = [SAYS[name] for name in RIVALS if name not in content["versus"]]
    if lost:
        console.print(
            f"  not compared, as nothing within the design costs so much by it: {', '.join(lost)}"
        )
    ways = "points of the grid" if "grid" in content else "ways to spend that cost"
    console.print(f"  {content['region']['share']:.0%} of all {ways} are not told from the best")
    if "grid" in content:
        console.print(
            "  the best point was chosen by the accuracies that it is compared by: P(better) says "
            "too much for it, and points differ in cost; method=surface does neither"
        )
    for each in content.get("schedules", []):
        console.print(
            f"  at {each['epochs']} epochs and {each['train_fraction']:g} of the images: "
            + ", ".join(
                f"{letter}={each[name]:.2f} ({each['intervals'][name][0]:.2f} to "
                f"{each['intervals'][name][1]:.2f})"
                for letter, name in zip("αβγ", NAMES, strict=True)
            )
        )
    console.print(verdict(content))
