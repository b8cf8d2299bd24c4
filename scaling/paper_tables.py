"""The paper's comparisons of single axes with compound scaling, rebuilt and counted.

EfficientNet (arXiv 1905.11946) says of Tables 3 and 7 that each row has about the same FLOPS. The
rows here are built as they are labelled, and what they really cost stands beside what is printed.
"""

from dataclasses import dataclass
from typing import Final

from blocks.arch import ArchSpec, parse_arch
from blocks.cost import Cost, count
from blocks.names import did_you_mean
from blocks.zoo import ZOO
from scaling.compound import ScalingError, scale


@dataclass(frozen=True, slots=True)
class PrintedRow:
    """A row as the paper prints it: billions of FLOPS (its word for multiply-adds), top-1 in %.

    Without them (None) it is no row of the paper, but a setting whose cost is nearer to the
    compound row's.
    """

    network: str
    label: str
    depth: float
    width: float
    resolution: int
    billions: float | None
    top1: float | None


@dataclass(frozen=True, slots=True)
class CountedRow:
    """A row, the network that it describes, its cost, and that cost over the unscaled network's."""

    row: PrintedRow
    arch: ArchSpec
    cost: Cost
    ratio: float


# MobileNetV1 (arXiv 1704.04861) Table 1. The toolkit's `ds` is linear behind its 1×1 convolution,
# where MobileNetV1 has a ReLU: a network of the same layers and the same cost, but not the same
# network, and so no member of the zoo.
MOBILENETV1: Final = parse_arch(
    "r224-s32-["
    "ds_r1_k3_s1_e1_c64_noskip|ds_r2_k3_s2_e1_c128_noskip|ds_r2_k3_s2_e1_c256_noskip|"
    "ds_r6_k3_s2_e1_c512_noskip|ds_r2_k3_s2_e1_c1024_noskip]-h0-nre"
)

COMPOUND: Final = "d=1.4 w=1.2 r=1.3"
"""Label of the compound row of each network."""
_NETWORKS: Final = {"mobilenetv1": MOBILENETV1, **ZOO}

PAPER_TABLES: Final = {
    "table3": (
        PrintedRow("mobilenetv1", "baseline", 1, 1, 224, 0.6, 70.6),
        PrintedRow("mobilenetv1", "w=2", 1, 2, 224, 2.2, 74.2),
        PrintedRow("mobilenetv1", "r=2", 1, 1, 448, 2.2, 72.7),
        PrintedRow("mobilenetv1", COMPOUND, 1.4, 1.2, 291, 2.3, 75.6),
        PrintedRow("mobilenetv2_100", "baseline", 1, 1, 224, 0.3, 72.0),
        PrintedRow("mobilenetv2_100", "d=4", 4, 1, 224, 1.2, 76.8),
        PrintedRow("mobilenetv2_100", "w=2", 1, 2, 224, 1.1, 76.4),
        PrintedRow("mobilenetv2_100", "r=2", 1, 1, 448, 1.2, 74.8),
        PrintedRow("mobilenetv2_100", COMPOUND, 1.4, 1.2, 291, 1.3, 77.4),
        PrintedRow("resnet50", "baseline", 1, 1, 224, 4.1, 76.0),
        PrintedRow("resnet50", "d=4", 4, 1, 224, 16.2, 78.1),
        PrintedRow("resnet50", "w=2", 1, 2, 224, 14.7, 77.7),
        PrintedRow("resnet50", "r=2", 1, 1, 448, 16.4, 77.5),
        PrintedRow("resnet50", COMPOUND, 1.4, 1.2, 291, 16.7, 78.8),
    ),
    "table7": (
        PrintedRow("efficientnet_b0", "baseline", 1, 1, 224, 0.4, 77.3),
        PrintedRow("efficientnet_b0", "d=4", 4, 1, 224, 1.8, 79.0),
        PrintedRow("efficientnet_b0", "w=2", 1, 2, 224, 1.8, 78.9),
        PrintedRow("efficientnet_b0", "r=2", 1, 1, 448, 1.9, 79.1),
        PrintedRow("efficientnet_b0", COMPOUND, 1.4, 1.2, 291, 1.8, 81.1),
        # The single axes at the compound row's cost, as near as whole layers come to it.
        PrintedRow("efficientnet_b0", "d=4.3, fair", 4.3, 1, 224, None, None),
        PrintedRow("efficientnet_b0", "w=2.22, fair", 1, 2.22, 224, None, None),
        PrintedRow("efficientnet_b0", "w=2.24, fair", 1, 2.24, 224, None, None),
        PrintedRow("efficientnet_b0", "480 px, fair", 1, 1, 480, None, None),
    ),
}  # fmt: skip
"""EfficientNet §4.1, Table 3, and §6, Table 7."""

NOTES: Final = {
    "table3": (
        "mobilenetv1 is counted as a network of its layers: this grammar has no ReLU behind a "
        "depthwise-separable block's 1×1 convolution, which costs no macs; the printed costs of "
        "resnet50's d=4 and w=2 are near what w=2 and d=4 cost: they may be exchanged"
    ),
    "table7": (
        "as labelled, d=4, w=2 and r=2 get 12–19% less compute than the compound row; the rows "
        "marked fair cost what it costs"
    ),
}


def find_table(name: str) -> tuple[PrintedRow, ...]:
    """The rows of a table as the paper prints them.

    Raises:
        ScalingError: no such table; names the nearest.
    """
    if name not in PAPER_TABLES:
        raise ScalingError(
            f"paper={name} is unknown; expected {' or '.join(PAPER_TABLES)}"
            f"{did_you_mean(name, PAPER_TABLES)}"
        )
    return PAPER_TABLES[name]


def count_table(name: str) -> list[CountedRow]:
    """The rows of a table, each built by the official rounding and counted.

    Raises:
        ScalingError: no such table.
    """
    found = []
    for row in find_table(name):
        baseline = _NETWORKS[row.network]
        arch = scale(baseline, row.depth, row.width, row.resolution)
        cost = count(arch)
        found.append(CountedRow(row, arch, cost, cost.macs / count(baseline).macs))
    return found
