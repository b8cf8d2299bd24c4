"""The coefficients, by a response surface: a design around B0 is trained, accuracy fitted to it,
and the best triple found where the counted cost is the same."""

import math
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from blocks.arch import ArchSpec, format_arch
from blocks.cost import count, count_many
from blocks.errors import LatencyError
from blocks.latency.device import device_name
from blocks.latency.predict import load_predictor
from scaling.compound import ScalingCoefficients, ScalingError
from scaling.config import FitConfig, ScalingConfig
from scaling.fitting.contour import Contour, Metric, find_contour
from scaling.fitting.design import BEYOND, LOW, Point, check_axes, check_levels
from scaling.fitting.further import Further, read_candidates, read_further
from scaling.fitting.lattice import Floats, Lattice
from scaling.fitting.observations import Observations
from scaling.fitting.optimum import REFERENCE, Optimum, choose, find_optimum
from scaling.fitting.plan import SurfacePlan, plan_points, plan_surface
from scaling.fitting.posterior import Posterior, infer
from scaling.fitting.record import RUNS
from scaling.fitting.result import SAYS
from scaling.fitting.schedules import Level, Schedules, level_of
from scaling.fitting.surface_fit import BestNetwork, SurfaceFit, intervals_of
from scaling.listener import SILENT, Listener
from scaling.plot import plot_surface
from scaling.trainings import run_trainings
from search.config.quality import ACCURACY, Quality
from search.config.schema import LATENCY
from search.data.classes import worth
from search.errors import StudyError
from search.evaluators.train import Job, make_job
from search.record.trials import Record, TrialRecord, derive_seed
from search.study.study import OpenStudy


def fit_surface(
    study: OpenStudy,
    config: ScalingConfig,
    rounding: str,
    listener: Listener[SurfacePlan] = SILENT,
) -> SurfaceFit:
    """Train a design around B0, fit a surface, and find its best triple at equal counted cost.

    Raises:
        ScalingError, StudyError: see the messages; trained points stay on disk.
    """
    settings, baseline = config.fit, study.baseline
    schedules = Schedules.of(settings, study.config.short_epochs)
    high = math.log2(settings.cost) + BEYOND
    lattice = Lattice(baseline.arch, baseline.num_classes, rounding, LOW, high)
    check_axes(lattice, settings.cost)
    metric, base = _metric(settings, baseline.arch, baseline.num_classes)
    seed = derive_seed(study.config.seed, "scaling")
    contour = find_contour(
        lattice, metric, base, settings.cost, settings.tolerance, seed,
        most_macs=math.inf if settings.metric == "macs" else 2**high,
    )  # fmt: skip
    design = plan_points(study, settings, lattice, high, schedules, seed)
    points, quality = design.points, study.config.quality
    further = Further()
    if settings.trained:
        further = read_further(study, quality)
    elif settings.candidates:
        further = read_candidates(study, quality, points)
    check_levels(points, lattice.stuck)
    jobs = [
        (make_point_job(point, study.config.seed, replicate), point.train_fraction)
        for point in points
        for replicate in range(point.trainings)
    ]
    started = time.perf_counter()
    with listener.begin(plan_surface(study, settings, design)) as progress:
        records = run_trainings(study, jobs, study.folder / RUNS, progress)
    trained = time.perf_counter()
    observations = observe(points, records, worth(quality, study.data.val), quality)
    observations = further.added_to(observations)
    posterior = infer(observations, settings.draws, seed)
    rivals = contour.rivals()
    grown = further if settings.trained else Further()  # from B0, as members are
    optima = {
        level: find_optimum(posterior, contour.logs, rivals, np.array(level), lattice.steps)
        for level in schedules.levels
    }
    level = max(optima)
    optimum = optima[level]
    _plot(study, settings, contour, optimum, rivals)
    return SurfaceFit(
        study=study.folder.study,
        folder=study.folder.path,
        coefficients=ScalingCoefficients(
            *(round(float(value), 4) for value in np.exp(optimum.logs))
        ),
        intervals=intervals_of(optimum),
        versus=optimum.versus,
        alike=float(optimum.region.mean()),
        rounding=rounding,
        quality=quality,
        baseline=baseline.arch,
        networks=len({point.arch for point in points} | grown.archs),
        trained=max(max(point.macs for point in points) / points[0].macs, grown.largest),
        stuck=lattice.stuck,
        seconds={
            "train the surface": trained - started,
            "infer surfaces": time.perf_counter() - trained,
        },
        settings=settings,
        observations=observations,
        failed=sum(not isinstance(record, TrialRecord) for record in records),
        posterior=posterior,
        contour=contour,
        schedules=schedules,
        optima=optima,
        network=_network(lattice, contour, posterior, level, rivals.get(REFERENCE)),
        further=further,
    )


def observe(
    points: Sequence[Point],
    records: Sequence[Record],
    images: int,
    quality: Quality = ACCURACY,
) -> Observations:
    """What the trainings say of the points, in `quality`: a record per training, in order.

    Raises:
        StudyError: all failed.
    """
    left = iter(records)
    logs, accuracy = [], []
    for point in points:
        found = [next(left) for _ in range(point.trainings)]
        values = [quality.of(each.metrics) for each in found if isinstance(each, TrialRecord)]
        if values:
            logs.append([*point.logs, *level_of(point, points)])
            accuracy.append(np.array(values))
    if not accuracy:
        raise StudyError(f"all {len(records)} trainings of the surface failed")
    return Observations(np.array(logs), tuple(accuracy), images)


def make_point_job(point: Point, seed: int, replicate: int) -> Job:
    """A training of a point."""
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


def _network(
    lattice: Lattice,
    contour: Contour,
    posterior: Posterior,
    level: Level,
    reference: Floats | None,
) -> BestNetwork:
    points = np.column_stack(
        [contour.realised, np.tile(np.array(level), (len(contour.realised), 1))]
    )
    known = None if reference is None else posterior.predict(np.array([[*reference, *level]]))[:, 0]
    best = choose(posterior.predict(points), known)
    arch = lattice.arch([int(place) for place in contour.places[best]])
    depth, width, resolution = (float(value) for value in np.exp(contour.realised[best]))
    return BestNetwork(
        arch=format_arch(arch),
        cost_ratio=float(contour.ratios[best]),
        macs=count_many([arch], lattice.num_classes)[0].macs,
        depth=depth,
        width=width,
        resolution=resolution,
        networks=len(contour.places),
    )


def _plot(
    study: OpenStudy,
    settings: FitConfig,
    contour: Contour,
    optimum: Optimum,
    rivals: Mapping[str, Floats],
) -> None:
    png = plot_surface(
        np.exp(contour.logs),
        optimum.expected,
        optimum.region,
        np.exp(optimum.logs),
        {SAYS[name]: np.exp(place) for name, place in rivals.items()},
        f"{study.folder.study}: what {settings.cost:g} × {settings.metric} buy",
        study.config.quality,
    )
    study.folder.write("scaling/surface.png", png)
