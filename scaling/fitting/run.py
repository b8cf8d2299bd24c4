"""Fitting the coefficients of a study's B0, by either method, and what is written of it."""

import json
from collections.abc import Callable
from dataclasses import asdict, replace
from typing import Any, Final

import yaml

from blocks.arch import format_arch
from scaling.compound import ScalingError
from scaling.config import ScalingConfig
from scaling.fitting.grid import GridFit, GridPlan, fit_grid
from scaling.fitting.plan import SurfacePlan
from scaling.fitting.saved import save_surface
from scaling.fitting.surface import fit_surface
from scaling.fitting.surface_fit import SurfaceFit
from scaling.listener import SILENT, Listener
from scaling.trainings import reopened
from search.record.folder import environment
from search.study.study import OpenStudy

FitListener = Listener[SurfacePlan | GridPlan]
Method = Callable[[OpenStudy, ScalingConfig, str, FitListener], SurfaceFit | GridFit]

METHODS: Final[dict[str, Method]] = {"surface": fit_surface, "grid": fit_grid}
"""`method` → what trains around a B0 and finds coefficients."""


def fit(config: ScalingConfig, listener: FitListener = SILENT) -> SurfaceFit | GridFit:
    """Fit the coefficients of a study's B0; write coefficients.yaml and scaling/fit.json.

    Raises:
        ScalingError, StudyError: see the messages; trained points stay on disk.
    """
    if config.baseline is not None or config.coefficients != "fitted":
        raise ScalingError(
            "scaling fit fits the B0 of a study; baseline=… and coefficients=… belong to "
            "scaling emit"
        )
    taken = [name for name in ("trained", "candidates") if getattr(config.fit, name)]
    if taken and config.method != "surface":
        raise ScalingError(
            f"fit.{taken[0]}=true with method={config.method}: a grid has no place for networks "
            "that it did not train; expected method=surface"
        )
    with reopened(config) as study:
        rounding = config.rounding or study.baseline.rounding
        found = METHODS[config.method](study, config, rounding, listener)
        found = replace(found, seconds={"read the data": study.opening_seconds, **found.seconds})
        _write(study, found)
    return found


def _write(study: OpenStudy, found: SurfaceFit | GridFit) -> None:
    content = found.to_mapping()
    whole: dict[str, Any] = {
        **asdict(found.coefficients),
        "method": found.method,
        **{key: value for key, value in content.items() if not isinstance(value, dict | list)},
        "intervals": content["intervals"],
        "rounding": found.rounding,
        "trained_macs_ratio": round(found.trained, 4),
        "baseline": format_arch(found.baseline),
    }
    whole |= {"grid": content["grid"]} if "grid" in content else {}
    report = {**environment(), "seed": study.config.seed, "dataset_sha256": study.data.sha256}
    report |= {**whole, **content, "seconds": found.seconds}
    study.folder.write("scaling/fit.json", json.dumps(report, indent=2, allow_nan=False) + "\n")
    if isinstance(found, SurfaceFit):
        save_surface(found, study.folder)
    # Last: where it is, all of the fit is.
    study.folder.write("coefficients.yaml", yaml.safe_dump(whole, sort_keys=False, width=10_000))
