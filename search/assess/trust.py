"""What two measurements of the same architectures say of each other: order, noise, regret."""

import math
from dataclasses import dataclass, replace
from typing import Final

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from search.assess.statistics import Correlation, Estimate, partial_spearman, rank_correlation

STRONG: Final = 0.5
"""Kendall's tau of a proxy that orders three pairs of four as the long schedule does."""


@dataclass(frozen=True)
class Trust:
    """How the proxy's accuracies and the long schedule's agree over the architectures.

    `ceiling_tau` and `ceiling_rho` are what a proxy of perfect order would be expected to reach,
    given how much of each schedule's spread is the noise of seeds (reliabilities, from the
    repeated architectures; for normal variables, Greiner's relation and Pearson's of 1907; nan
    where noise is all there is). `top_recall` is the share of the long schedule's best `top_k` that
    the proxy's best `top_k` hold; `regret` the accuracy lost by taking the proxy's first.
    """

    correlation: Correlation
    partial: Estimate
    baselines: dict[str, Correlation]
    reliability: tuple[float, float]
    ceiling_tau: float
    ceiling_rho: float
    top_k: int
    top_recall: float
    regret: float
    name: str = "the proxy"
    metric: str = "accuracy"

    @property
    def verdict(self) -> str:
        """Go or no-go, in words.

        No-go: the 95% interval of tau holds 0, and its upper end is below 0.5. Undecided: it
        holds 0 and 0.5. Go: it is above 0; with a reservation where the partial correlation
        after params and macs is not, as then these two would have told as much.
        """
        low, high = self.correlation.tau_interval
        if math.isnan(self.correlation.tau):
            return (
                f"no-go: {self.name}, or the long schedule, gives all networks the same "
                f"{self.metric}"
            )
        tau = f"tau {self.correlation.tau:.2f} ({low:.2f} to {high:.2f})"
        if not low > 0:
            if high < STRONG:
                return f"no-go: {tau} is too weak to choose by; train longer, or on more images"
            return f"undecided: {tau} includes 0 and {STRONG}; more architectures will tell"
        if not self.partial.interval[0] > 0:
            return (
                f"go, with care: {tau} is above 0, but what is left after params and macs may be "
                "nothing"
            )
        return f"go: {tau} is above 0, also after params and macs"


def judge(
    table: pd.DataFrame, proxy_noise: float, long_noise: float, metric: str = "accuracy"
) -> Trust:
    """What the accuracies of a table (columns proxy, long, params, macs) say.

    `proxy_noise` and `long_noise` are variances of one training's accuracy over seeds. `metric`
    is the word for what the accuracies are.
    """
    proxy, long = table["proxy"].to_numpy(), table["long"].to_numpy()
    top_k = max(1, round(len(table) / 5))
    best = [set(np.argsort(-values, kind="stable")[:top_k]) for values in (proxy, long)]
    shares = (reliability(proxy, proxy_noise), reliability(long, long_noise))
    ceiling_tau, ceiling_rho = ceilings(*shares)
    return Trust(
        correlation=rank_correlation(proxy, long),
        partial=partial_spearman(proxy, long, [table["params"], table["macs"]]),
        baselines={name: rank_correlation(table[name], long) for name in ("params", "macs")},
        reliability=shares,
        ceiling_tau=ceiling_tau,
        ceiling_rho=ceiling_rho,
        top_k=top_k,
        top_recall=len(best[0] & best[1]) / top_k,
        regret=float(long.max() - long[int(np.argmax(proxy))]),
        metric=metric,
    )


def judge_supernet(table: pd.DataFrame, long_noise: float, metric: str = "accuracy") -> Trust:
    """`judge` of the column supernet instead of proxy: one supernet has no noise of seeds."""
    trust = judge(table.assign(proxy=table["supernet"]), 0.0, long_noise, metric)
    return replace(trust, name="the supernet")


def reliability(values: NDArray[np.float64], noise: float) -> float:
    """Share of a variance between architectures that is not the noise of seeds."""
    spread = float(np.var(values, ddof=1))
    return float(np.clip(1 - noise / spread, 0.0, 1.0)) if spread > 0 else 0.0


def ceilings(left: float, right: float) -> tuple[float, float]:
    """Expected tau and rho of two measurements of one quality, of these reliabilities."""
    perfect = math.sqrt(left * right)
    return 2 / math.pi * math.asin(perfect), 6 / math.pi * math.asin(perfect / 2)
