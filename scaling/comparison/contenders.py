"""The networks that are compared: what each rule makes of B0 at equal macs."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

import numpy as np

from blocks.arch import ArchSpec
from blocks.cost import Cost, count
from scaling.compound import PAPER, ScalingCoefficients, ScalingError
from scaling.config import CompareConfig
from scaling.rule_kinds import Rule, compound, free
from scaling.rules import find_rule
from scaling.solve import solve
from scaling.target import Target
from search.record.trials import derive_seed
from search.study.baseline import Baseline

FITTED: Final = "fitted"
ASTRAY: Final = 45.0
"""Degrees between a network's and its rule's direction above which it is not what the rule says."""


@dataclass(frozen=True, slots=True)
class Contender:
    """What a rule makes of B0 at a cost ratio; multipliers as realised, `residual` of the macs.

    `deviation` is how far from the rule's direction rounding and the cost have moved it, in logs.
    """

    rule: str
    ratio: float
    arch: ArchSpec
    cost: Cost
    depth: float
    width: float
    resolution: float
    residual: float
    deviation: float

    @property
    def degrees(self) -> float:
        """Angle between the way from B0 to this network and the rule's, in logs."""
        far = math.hypot(*(math.log(v) for v in (self.depth, self.width, self.resolution)))
        return math.degrees(math.asin(min(1.0, self.deviation / far))) if far else 0.0


@dataclass(frozen=True, slots=True)
class Missing:
    """A rule that has no network of the cost ratio, and why."""

    rule: str
    ratio: float
    reason: str


def rules_of(
    settings: CompareConfig, coefficients: ScalingCoefficients, seed: int
) -> dict[str, Rule]:
    """The rules by the names of the tables, the fitted one first, random directions last.

    A random direction shares the log of the cost out to depth, width and resolution uniformly
    (Dirichlet 1, 1, 1); the same ones for a study, however many are asked for.
    """
    named = {"paper": PAPER, FITTED: coefficients}
    rules = {
        name: compound(named[name]) if name in named else find_rule(name)
        for name in dict.fromkeys([FITTED, *settings.rules])
    }
    for number in range(1, settings.random + 1):
        generator = np.random.default_rng(derive_seed(seed, "scaling compare", number))
        depth, width, resolution = generator.dirichlet([1.0, 1.0, 1.0]).tolist()
        rules[f"random {number}"] = free(depth, width / 2, resolution / 2)
    return rules


def plan(
    baseline: Baseline, rules: Mapping[str, Rule], settings: CompareConfig, rounding: str
) -> tuple[list[Contender], list[Missing]]:
    """The network of each rule at each cost ratio, by ratio; and the rules that have none.

    Raises:
        ScalingError: the fitted coefficients have none; or there is nothing to compare them with.
    """
    base = count(baseline.arch, baseline.num_classes)
    contenders: list[Contender] = []
    missing: list[Missing] = []
    for ratio in dict.fromkeys(settings.ratios):
        target = Target("macs", ratio * base.macs, settings.tolerance)
        for name, rule in rules.items():
            try:
                found = solve(
                    baseline.arch, rule, target, baseline.num_classes, rounding, keep=False
                )
            except ScalingError as error:
                missing.append(Missing(name, ratio, str(error)))
                continue
            if abs(found.residual) > settings.tolerance:
                reason = f"its nearest network is {found.residual:+.1%} off the macs"
                missing.append(Missing(name, ratio, reason))
                continue
            contender = Contender(
                name,
                ratio,
                found.arch,
                found.cost,
                found.depth,
                found.width,
                found.resolution,
                found.residual,
                found.deviation,
            )
            if contender.degrees > ASTRAY:
                reason = (
                    f"its nearest network of these macs (d {found.depth:.2f}, w {found.width:.2f}, "
                    f"r {found.resolution:.2f}) goes another way than the rule"
                )
                missing.append(Missing(name, ratio, reason))
                continue
            contenders.append(contender)
    for ratio in dict.fromkeys(settings.ratios):
        at_ratio = [each for each in contenders if each.ratio == ratio]
        if FITTED not in {each.rule for each in at_ratio}:
            reason = next(
                each.reason for each in missing if (each.rule, each.ratio) == (FITTED, ratio)
            )
            raise ScalingError(
                f"the fitted coefficients have no network of compare.ratios={ratio:g} times B0's "
                f"macs within compare.tolerance={settings.tolerance:g}: {reason}"
            )
        if len({each.arch for each in at_ratio}) < 2:
            raise ScalingError(
                f"all rules make the same network of compare.ratios={ratio:g}; expected a larger "
                "ratio or more compare.rules"
            )
    return contenders, missing
