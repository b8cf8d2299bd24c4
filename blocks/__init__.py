"""What a network is and what it costs.

    from blocks import Network, count, load, parse_arch

    arch = parse_arch("r32-s16-[ds_r1_k3_s1_e1_c16|ir_r2_k5_s2_e6_c24_se0.25]-h64")
    count(arch, num_classes=10).macs
    network = Network(arch, num_classes=10)
    trained = load("results/main/b0.yaml")

Nothing is imported before it is used: not torch, not NumPy.
"""

from typing import TYPE_CHECKING, Any, Final

from blocks.lazy import imported

if TYPE_CHECKING:
    from blocks.arch import ArchSpec, StageSpec, format_arch, parse_arch
    from blocks.cost import Cost, count, count_many
    from blocks.drawing.face import Drawing, draw
    from blocks.errors import CompoundNasError
    from blocks.latency.measure import measure_latency
    from blocks.latency.values import Latency
    from blocks.loading import load
    from blocks.network import Network
    from blocks.zoo import ZOO

__all__ = [
    "ZOO",
    "ArchSpec",
    "CompoundNasError",
    "Cost",
    "Drawing",
    "Latency",
    "Network",
    "StageSpec",
    "count",
    "count_many",
    "draw",
    "format_arch",
    "load",
    "measure_latency",
    "parse_arch",
]

_HOMES: Final = {
    "ZOO": "blocks.zoo",
    "ArchSpec": "blocks.arch",
    "CompoundNasError": "blocks.errors",
    "Cost": "blocks.cost",
    "Drawing": "blocks.drawing.face",
    "Latency": "blocks.latency.values",
    "Network": "blocks.network",
    "StageSpec": "blocks.arch",
    "count": "blocks.cost",
    "count_many": "blocks.cost",
    "draw": "blocks.drawing.face",
    "format_arch": "blocks.arch",
    "load": "blocks.loading",
    "measure_latency": "blocks.latency.measure",
    "parse_arch": "blocks.arch",
}
"""Name → the module that it is imported from when it is first used (PEP 562)."""


def __getattr__(name: str) -> Any:
    return imported(__name__, _HOMES, name)


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
