"""What a fit found: coefficients, their intervals, and how they compare with other triples."""

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, Final

from blocks.arch import ArchSpec
from scaling.compound import ScalingCoefficients
from scaling.fitting.optimum import ALIKE, Versus
from search.config.quality import Quality

NAMES: Final = ("alpha", "beta", "gamma")
SAYS: Final = {
    "paper": "the paper's 1.2, 1.1, 1.15",
    "uniform": "uniform scaling",
    "dwr": "dWr (fast scaling)",
    "depth": "depth alone",
    "width": "width alone",
    "resolution": "resolution alone",
}
"""What a fit is compared with, in words."""
MOST: Final = 1000
"""Networks, of which more are not worth counting."""


@dataclass(frozen=True, kw_only=True)
class Fit(ABC):
    """The coefficients that a fit found, however it was made.

    `intervals`: 95%, by `NAMES`. `versus`: against each of `scaling.rules.RIVALS` that reaches the
    cost. `alike`: share of all ways to spend the cost that are not told from the best. `networks`:
    how many different ones were trained for it, `trained` the macs over B0's of the largest.
    `seconds` by what they were spent on. `quality`: what accuracy is, in the study.
    """

    method: ClassVar[str]
    where: ClassVar[str]
    """What the compared ways to scale have in common, in words."""

    study: str
    folder: Path
    coefficients: ScalingCoefficients
    intervals: Mapping[str, tuple[float, float]]
    versus: Mapping[str, Versus]
    alike: float
    rounding: str
    quality: Quality
    baseline: ArchSpec
    networks: int
    trained: float
    seconds: Mapping[str, float]

    @property
    def verdict(self) -> str:
        """What the data say of the fitted triple beside the paper's, in words."""
        paper = self.versus.get("paper")
        return verdict(paper, self.where, self.networks, self.seeming, self.beside)

    @property
    def seeming(self) -> Versus | None:
        """The way to scale that seems best against the paper's triple, where another is chosen."""
        return None

    @property
    def beside(self) -> int:
        """Networks that were taken in, which the fit did not train."""
        return 0

    @abstractmethod
    def to_mapping(self) -> dict[str, Any]:
        """What fit.json says of it beside the coefficients."""


def verdict(
    paper: Versus | None,
    where: str,
    networks: int,
    seeming: Versus | None = None,
    beside: int = 0,
) -> str:
    """Whether a fit is better or worse than the paper's triple or as good, or how many networks
    would tell, with as many `beside` them as there are.

    A choice that keeps near the paper's says nothing of others: then what seems best is asked.
    """
    if paper is None:
        return "the paper's direction does not reach this cost within the design"
    whether, said = "it", ""
    if paper.indistinguishable and seeming is not None and seeming.indistinguishable:
        paper, whether, said = seeming, "another way to scale", "what seems best has "
    low, high = (100 * value for value in paper.interval)
    what = (
        f"{100 * paper.difference:+.2f} points ({low:+.2f} to {high:+.2f}), "
        f"P(better) {paper.probability:.2f}"
    )
    if paper.alike:
        return f"as good as {SAYS['paper']}, within {100 * ALIKE:g} points: {where} {said}{what}"
    if paper.indistinguishable:
        enough = paper.enough(networks + beside) - beside
        more = f"more than {MOST:,}" if enough > MOST else f"about {max(enough, networks + 1):.2g}"
        return (
            f"cannot say with {networks} networks whether {whether} is better than "
            f"{SAYS['paper']}: {where} {said}{what}; {more} would tell"
        )
    word = "better" if low > 0 else "worse"
    return f"{word} than {SAYS['paper']} {where}: {what}"
