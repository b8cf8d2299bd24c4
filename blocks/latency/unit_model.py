"""The milliseconds of units: those that were measured, and others by interpolation."""

from collections.abc import Mapping, Sequence
from typing import Final

import numpy as np

from blocks.latency.held_out import Floats
from blocks.latency.interpolate import Kriging, relative_least_squares
from blocks.latency.unit_columns import UnitColumns
from blocks.latency.units import Unit
from blocks.latency.work import features, work


class UnitModel:
    """Milliseconds of units: looked up where measured, else interpolated once and remembered."""

    def __init__(self, measured: Mapping[Unit, float]) -> None:
        units = list(measured)
        times = np.array(list(measured.values()))
        tasks = np.array([work(unit) for unit in units])
        self._rates = relative_least_squares(tasks, times)
        self._kriging = Kriging(
            np.array([features(unit) for unit in units]), np.log(times / (tasks @ self._rates))
        )
        self._known = dict(measured)
        self._by_key: dict[tuple[str, bool], dict[tuple[int, ...], float]] = {}

    def total_ms(self, units: Sequence[tuple[Unit, int]]) -> float:
        """The sum over `units`, each taken as often as its number says."""
        self._interpolate([unit for unit, _ in units])
        return sum(times * self._known[unit] for unit, times in units)

    def total_ms_of(self, units: UnitColumns) -> Floats:
        """`total_ms` of every architecture, (archs,); a unit is made only of what is new."""
        known = self._by_key.setdefault((units.act, units.group_norm), {})
        distinct = units.distinct()
        new = [place for place, key in enumerate(distinct.keys) if key not in known]
        if new:
            found = list(units.units(distinct.first[new]))
            self._interpolate(found)
            for place, unit in zip(new, found, strict=True):
                known[distinct.keys[place]] = self._known[unit]
        times = np.array([known[key] for key in distinct.keys])[distinct.place]
        each = np.zeros(units.times.size)
        each[units.present] = times * units.times.reshape(-1)[units.present]
        total: Floats = each.reshape(units.times.shape).sum(0)
        return total

    def _interpolate(self, units: Sequence[Unit]) -> None:
        """See to it that all of `units` are known."""
        missing = list(dict.fromkeys(unit for unit in units if unit not in self._known))
        for start in range(0, len(missing), _AT_ONCE):
            some = missing[start : start + _AT_ONCE]
            modelled = np.array([work(unit) for unit in some]) @ self._rates
            factors = np.exp(self._kriging.predict(np.array([features(unit) for unit in some])))
            self._known.update(zip(some, (modelled * factors).tolist(), strict=True))


_AT_ONCE: Final = 1000
"""Units that are interpolated together: their distances to all measured ones are in memory."""
