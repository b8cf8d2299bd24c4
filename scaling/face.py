"""The functions behind `from scaling import …`: settings are keywords, and nothing is printed.

A setting has the name that the command line has for it, with its group, `fit={"points": 24}`, or
without, `points=24`; `scaling.config` lists all of them. What the command line refuses is refused.
"""

from collections.abc import Sequence
from os import PathLike, fspath
from typing import TYPE_CHECKING, Any, Final

from blocks.arch import ArchSpec
from blocks.zoo import find_arch
from scaling.compound import ScalingCoefficients, ScalingError
from scaling.family.emit import Family
from scaling.family.emit import emit as emit_by
from scaling.family.member import Member
from scaling.family.members import Origin, find_members, origin_of
from scaling.fitting.record import read_fit
from scaling.settings import make_settings
from search.study.study import Study

if TYPE_CHECKING:  # what only trainings need
    from scaling.comparison.run import Comparison
    from scaling.fitting.grid import GridFit
    from scaling.fitting.surface_fit import SurfaceFit
    from scaling.training.result import Result

Triple = ScalingCoefficients | Sequence[float] | str

_MEMBERS: Final = (
    "num_classes", "coefficients", "members", "rounding", "rule", "exact", "metric", "tolerance",
    "phis", "budgets", "latency_ms", "device", "batch", "threads", "runtime",
)  # fmt: skip
"""Settings of which members a family has."""


def fit(
    study: str = "main", results_dir: str | PathLike[str] = "results", **settings: Any
) -> "SurfaceFit | GridFit":
    """Fit the coefficients of a study's B0, as `python -m scaling fit` does; what is trained
    already is not trained again.

        found = fit("main", points=24, seeds=3)
        found.coefficients, found.intervals, found.versus["paper"].probability, found.verdict

    Raises:
        ConfigError, ScalingError, StudyError: see the messages; trained points stay on disk.
    """
    from scaling.fitting.run import fit as fit_by

    # A number of both methods is of the one that is used.
    groups = ("grid", "fit") if settings.get("method") == "grid" else ("fit", "grid")
    given = {"study": study, "results_dir": results_dir, **settings}
    return fit_by(make_settings(given, ("study", "results_dir", "rounding", "method"), groups))


def compare(
    study: str = "main", results_dir: str | PathLike[str] = "results", **settings: Any
) -> "Comparison":
    """Compare what a study has fitted with other rules, as `python -m scaling compare` does.

        found = compare("main", ratios=[2, 4], seeds=3)
        found.verdicts, found.outcome.differences["paper", 2.0]

    Raises:
        ConfigError, ScalingError, StudyError: see the messages; what was trained stays on disk.
    """
    from scaling.comparison.run import compare as compare_by

    given = {"study": study, "results_dir": results_dir, **settings}
    return compare_by(make_settings(given, ("study", "results_dir", "rounding"), ("compare",)))


def emit(
    study: str | None = None, results_dir: str | PathLike[str] = "results", **settings: Any
) -> Family:
    """Write the family of a study's B0, or of `baseline=`, as `python -m scaling emit` does.

        emit("main", members=4)
        emit(baseline="efficientnet_b0", coefficients=(1.2, 1.1, 1.15), budgets=["500M", "1G"])

    Raises:
        ConfigError, ScalingError, StudyError, ArchError, LatencyError: see the messages.
    """
    given = {"study": study, "results_dir": results_dir, **settings}
    return emit_by(make_settings(given, ("study", "results_dir", "baseline", *_MEMBERS)))


def train(
    study: str | None = None, results_dir: str | PathLike[str] = "results", **settings: Any
) -> "Result":
    """Train members of a study's family, or `network=`, for good, as `python -m scaling train`
    does; what was begun is gone on with, what is trained is read.

        [b0] = train("main", member="b0", recipe={"name": "small", "epochs": 20}).trained
        b0.test["accuracy"], b0.network(), b0.folder
        train("pets", network="efficientnet_b0", weights="b0.pth", recipe="finetune",
              dataset={"name": "imagefolder", "root": "pets"})

    Raises:
        ConfigError, ScalingError, StudyError, DataError, WeightsError, TrainingError: see the
            messages; checkpoints stay on disk.
    """
    from scaling.training.run import train as train_by
    from scaling.training.settings import make_train

    return train_by(make_train({"study": study, "results_dir": fspath(results_dir), **settings}))


def solve_family(
    baseline: ArchSpec | str | Study,
    rule: str = "compound",
    coefficients: Triple | None = None,
    **settings: Any,
) -> list[Member]:
    """The members of a family as values; nothing is built or written.

    `baseline` is a network, its name or spelling, or a study: its B0, by the coefficients that
    were fitted for it unless others are given.

        for member in solve_family(EFFICIENTNET_B0, coefficients=(1.2, 1.1, 1.15), phis=[1, 2]):
            member.arch, member.cost.macs, member.phi, member.realised.depth

    Raises:
        ConfigError, ScalingError, StudyError, ArchError, LatencyError: see the messages.
    """
    given = {"rule": rule, **settings}
    if coefficients is not None:
        given["coefficients"] = coefficients
    config = make_settings(given, _MEMBERS)
    asked = rule == "compound" and config.coefficients == "fitted"
    if isinstance(baseline, Study):
        chosen = baseline.baseline
        fitted = read_fit(baseline.folder, chosen.arch) if asked else None
        return find_members(config, origin_of(chosen, fitted, config.rounding))
    if asked:
        raise ScalingError(
            "a network has no fitted coefficients; expected coefficients=(alpha, beta, gamma), "
            "or another rule"
        )
    arch = find_arch(baseline) if isinstance(baseline, str) else baseline
    return find_members(config, Origin(arch, config.num_classes, config.rounding or "paper"))
