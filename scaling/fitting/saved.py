"""A fitted surface on disk: what it expects of a network is asked later, of trained members."""

import io
import json
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from typing import Final

import numpy as np

from blocks.arch import ArchSpec, format_arch
from blocks.errors import one_line
from blocks.images.npz import NPZ_DAMAGE, read_npz
from scaling.fitting.further import Further
from scaling.fitting.lattice import realised_logs
from scaling.fitting.observations import Floats
from scaling.fitting.polynomials import Polynomials
from scaling.fitting.posterior import doublings
from scaling.fitting.surface_fit import SurfaceFit
from search.errors import StudyError
from search.record.folder import StudyFolder

FILE: Final = "scaling/surface.npz"
"""In a study's folder."""


@dataclass(frozen=True)
class SavedSurface:
    """`coefficients` (draws, products): surfaces that are all alike likely, on the logit of the
    metric. `level`: the schedule that they are asked at, where that was varied. `trained`: the macs
    over B0's of the largest network behind them. `quality`: the name of the metric. `steeper`: of
    schedules that trained members were taken in by, by their digest, (draws,), what a doubling of
    the cost buys more. `known`: the spellings of those members, by the digest.
    """

    coefficients: Floats
    polynomials: Polynomials
    level: Floats
    trained: float
    quality: str
    steeper: Mapping[str, Floats] = field(default_factory=dict)
    known: Mapping[str, Collection[str]] = field(default_factory=dict)

    def gains(
        self, baseline: ArchSpec, archs: list[ArchSpec], num_classes: int, schedule: str = ""
    ) -> Floats:
        """(draws, networks): by how much the logit is expected to be above the baseline's, by a
        schedule of `steeper` or, where it is none of these, as the fit's own networks are."""
        logs = [realised_logs(baseline, each, num_classes) for each in (baseline, *archs)]
        places = np.array([[*each, *self.level] for each in logs])
        logits = self.coefficients @ self.polynomials.of(places).T
        if schedule in self.steeper:
            logits = logits + np.outer(self.steeper[schedule], doublings(places))
        found: Floats = logits[:, 1:] - logits[:, :1]
        return found


def save_surface(found: SurfaceFit, folder: StudyFolder) -> None:
    """Keep the surfaces of a fit."""
    own = found.posterior.polynomials
    content = io.BytesIO()
    np.savez_compressed(
        content,
        coefficients=found.posterior.coefficients,
        powers=own.powers,
        centre=own.centre,
        reach=own.reach,
        degrees=own.degrees,
        level=np.array(max(found.optima), dtype=np.float64),
        trained=np.array(found.trained),
        baseline=np.array(format_arch(found.baseline)),
        quality=np.array(found.quality.name),
        shifts=found.posterior.shifts,
        known=np.array(json.dumps(_known(found.further))),
    )
    folder.write(FILE, content.getvalue())


def _known(further: Further) -> dict[str, list[str]]:
    """The spellings of the members that were taken in, by the digest of their schedule."""
    return {
        digest: [format_arch(each.arch) for each in further.points if each.schedule == number]
        for number, (digest, _) in enumerate(further.schedules, 1)
    }


def read_surface(folder: StudyFolder, baseline: ArchSpec) -> SavedSurface | None:
    """The surfaces of a study's fit; None where there is none, or it is another B0's.

    Raises:
        StudyError: the file is damaged.
    """
    path = folder / FILE
    if not path.is_file():
        return None
    try:
        arrays = read_npz(path)
        if str(arrays["baseline"]) != format_arch(baseline):
            return None
        polynomials = Polynomials(
            arrays["powers"], arrays["centre"], arrays["reach"], arrays["degrees"]
        )
        known: dict[str, list[str]] = {}
        if "known" in arrays:  # not in those of version 0.2
            known = json.loads(str(arrays["known"]))
        return SavedSurface(
            arrays["coefficients"],
            polynomials,
            arrays["level"],
            float(arrays["trained"]),
            str(arrays["quality"]),
            {digest: arrays["shifts"][:, 2 * n + 1] for n, digest in enumerate(known)},
            known,
        )
    except NPZ_DAMAGE as error:
        raise StudyError(
            f"{path} is damaged: {one_line(error)}; python -m scaling fit writes it again"
        ) from None
