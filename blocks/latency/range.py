"""What was measured, and how a unit leaves its range."""

from collections.abc import Sequence
from typing import Final

from blocks.latency.units import FAMILIES, Unit


class MeasuredRange:
    """What was measured of each family of units: the extent of its sizes, and its options."""

    _SIZES: Final = ("inputs", "outputs", "hidden", "out_side", "kernel", "groups")
    _OPTIONS: Final = ("act", "stride", "same", "group_norm", "pools")

    def __init__(self, units: Sequence[Unit]) -> None:
        self._extents: dict[str, dict[str, tuple[int, int]]] = {}
        self._options: dict[str, dict[str, set[object]]] = {}
        for kind in {FAMILIES[unit.kind] for unit in units}:
            mine = [unit for unit in units if FAMILIES[unit.kind] == kind]
            values = {name: [getattr(unit, name) for unit in mine] for name in self._SIZES}
            self._extents[kind] = {name: (min(each), max(each)) for name, each in values.items()}
            self._options[kind] = {
                name: {getattr(unit, name) for unit in mine} for name in self._OPTIONS
            }

    def outside(self, unit: Unit) -> str | None:
        family = FAMILIES[unit.kind]
        if family not in self._extents:
            return f"no unit {unit.kind} was measured"
        for name, (low, high) in self._extents[family].items():
            value = getattr(unit, name)
            if not low <= value <= high:
                return f"{unit.kind} of {name} {value}, measured {low} to {high}"
        for name, known in self._options[family].items():
            if getattr(unit, name) not in known:
                return f"{unit.kind} with {name} {getattr(unit, name)}, not measured"
        return None
