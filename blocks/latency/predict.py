"""A latency predictor: a table of blocks measured on this device, and interpolation between them.

A unit (`blocks.latency.units`) that was measured is looked up. Another is interpolated: kriging
(the mean of a Gaussian process) of the logarithm of measured over modelled milliseconds. The model
is non-negative least squares over what the unit has to do: operator calls, multiply-adds by kind,
elements, parameters.

A network is the sum over its units, corrected by a power law that is fitted on the networks the
units were measured in (`blocks.latency.build`), each predicted without its own units: a small
network keeps everything in the cache, which no unit can know.

How good that is, is measured on networks that took no part in the fit; the table carries the
error, to be printed beside every prediction. The projections of `global_residual` are never
measured: a network with them is said to be outside of what was measured.
"""

import functools
import math
from pathlib import Path

import numpy as np

from blocks.arch import ArchSpec
from blocks.cost import ArchColumns
from blocks.latency.held_out import Floats
from blocks.latency.interpolate import power_law
from blocks.latency.range import MeasuredRange
from blocks.latency.table import LatencyTable, read_table
from blocks.latency.unit_columns import UnitColumns
from blocks.latency.unit_model import UnitModel
from blocks.latency.units import units_of


class Predictor:
    """Predicts milliseconds per batch with a `LatencyTable`, for its device and settings."""

    def __init__(self, table: LatencyTable) -> None:
        self.table = table
        self._model = UnitModel(table.units)
        self._factor, self._power = power_law(
            [each.left_out_ms for each in table.networks],
            [each.measured_ms for each in table.networks],
        )
        self._range = MeasuredRange(list(table.units))

    def predict_ms(self, arch: ArchSpec, num_classes: int = 1000) -> float:
        """Milliseconds of one batch of `Network(arch, num_classes)`.

        In a search most units have been met before, and a prediction is a few look-ups.
        """
        total = self._model.total_ms(units_of(arch, num_classes))
        return self._factor * math.pow(total, self._power)

    def predict_columns(
        self, columns: ArchColumns, num_classes: int = 1000, act: str = "silu"
    ) -> Floats:
        """`predict_ms` of every architecture, (archs,), whose layers have the activation `act`.

        Padding is symmetric, and the norm the same kind in all of them.
        """
        total = self._model.total_ms_of(UnitColumns(columns, num_classes, act))
        found: Floats = self._factor * np.power(total, self._power)
        return found

    def outside(self, arch: ArchSpec, num_classes: int = 1000) -> str | None:
        """How `arch` leaves the range of what was measured, in words; None where it does not."""
        found = (self._range.outside(unit) for unit, _ in units_of(arch, num_classes))
        reasons = [reason for reason in found if reason]
        if not reasons:
            return None
        more = f" (and {len(reasons) - 1} more)" if len(reasons) > 1 else ""
        return f"{reasons[0]}{more}"


@functools.lru_cache(maxsize=8)
def load_predictor(path: Path) -> Predictor:
    """The predictor of a table file; asked again, the same one.

    Raises:
        LatencyError: see `read_table`.
    """
    return Predictor(read_table(path))
