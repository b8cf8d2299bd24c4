"""What networks cost, by arithmetic, and the measuring tool that referees it.

`macs` are the papers' multiply-adds: convolutions and linear layers only. `flops_fvcore` is
fvcore's total in eval mode: the same multiply-adds, plus 2 per batch-norm output element (5
under group norm) and 1 per element that adaptive average pooling reads (fvcore
`jit_handles.py`). Activations, max pooling, additions and the squeeze-excite product are
counted by neither.
"""

from typing import TYPE_CHECKING, Any, Final

from blocks.cost.counting import Cost, count, count_by_operator, count_by_stage
from blocks.lazy import imported

if TYPE_CHECKING:
    from blocks.cost.columns import BLOCK_NUMBERS, ArchColumns, count_many
    from blocks.cost.fvcore_referee import measure_flops_fvcore, referee
    from blocks.cost.many import CostColumns

__all__ = [
    "BLOCK_NUMBERS",
    "ArchColumns",
    "Cost",
    "CostColumns",
    "count",
    "count_by_operator",
    "count_by_stage",
    "count_many",
    "measure_flops_fvcore",
    "referee",
]

_HOMES: Final = {
    "BLOCK_NUMBERS": "blocks.cost.columns",
    "ArchColumns": "blocks.cost.columns",
    "CostColumns": "blocks.cost.many",
    "count_many": "blocks.cost.columns",
    "measure_flops_fvcore": "blocks.cost.fvcore_referee",
    "referee": "blocks.cost.fvcore_referee",
}
"""What needs NumPy or PyTorch: name → the module that it is imported from when it is first used."""


def __getattr__(name: str) -> Any:
    return imported(__name__, _HOMES, name)
