"""A family on exact budgets: how long solving takes, and how near it comes, beside plain rounding.

    python results/benchmarks/emit_time.py --repeats 20

EfficientNet-B0 at 224 px and a small B0 are grown by the paper's triple to 2^φ times their macs, φ
from 0 to 7: solved on the counted networks (`scaling.solve`), rounded as the paper does, and, as
one would write it first, by bisecting φ until the rounded network's count is nearest. The three
take turns. Then `--targets` costs from 50M to 40G macs are solved, of EfficientNet-B0.
"""

import time
from collections.abc import Callable
from functools import partial

import numpy as np
from harness import check_finite, make_parser, parse, print_foot, spread

from blocks.arch import ArchSpec, parse_arch
from blocks.cost import count
from blocks.zoo import EFFICIENTNET_B0
from scaling.compound import PAPER, scale_compound
from scaling.rule_kinds import compound
from scaling.rules import RULES
from scaling.solve import solve_targets
from scaling.target import Target

SMALL = parse_arch(
    "r28-i1-s16-[ds_r1_k3_s1_e1_c16|ir_r2_k3_s2_e4_c24_se0.25|ir_r2_k5_s2_e4_c40_se0.25]-h128"
)
STEPS = 30
WORST = {"solved": 0.05, "rounded": 1.0, "bisected": 0.5}
"""Shares by which a network may be off its macs before something is broken."""


def main() -> None:
    parser = make_parser(__doc__)
    parser.add_argument("--repeats", type=int, default=20)
    parser.add_argument("--targets", type=int, default=200)
    arguments = parse(parser, repeats=1, targets=8)
    for name, baseline, classes in (
        ("EfficientNet-B0 at 224 px", EFFICIENTNET_B0, 1000), ("a small B0 at 28 px", SMALL, 10),
    ):  # fmt: skip
        macs = count(baseline, classes).macs
        wanted = [float(macs * 2**phi) for phi in range(8)]
        ways: dict[str, Callable[[], list[ArchSpec]]] = {
            "solved": partial(solved, baseline, wanted, classes),
            "rounded": partial(rounded, baseline),
            "bisected": partial(bisected, baseline, wanted, classes),
        }
        seconds: dict[str, list[float]] = {each: [] for each in ways}
        for _ in range(arguments.repeats):
            for each, make in ways.items():
                started = time.perf_counter()
                found = make()
                seconds[each].append(time.perf_counter() - started)
        for each, make in ways.items():
            found = make()
            miss = [
                count(arch, classes).macs / one - 1 for arch, one in zip(found, wanted, strict=True)
            ]
            check_finite(f"{name}, {each}: macs off", miss, -WORST[each], WORST[each])
            print(
                f"{name}, {each}: {spread(1e3 * np.array(seconds[each]), 1)} ms for 8 members, "
                f"macs off by at most {100 * max(map(abs, miss)):.1f}%"
            )
    values = np.geomspace(50e6, 40e9, arguments.targets)
    for rule in ("dwr", "uniform", "width", "efficientnetv2"):
        solutions = solve_targets(
            EFFICIENTNET_B0, RULES[rule], [Target("macs", float(one)) for one in values], 1000
        )
        off = np.array([abs(each.residual) for each in solutions])
        check_finite(f"{rule}: residuals", off, high=0.2)
        print(
            f"{len(values)} targets from 50M to 40G macs, {rule}: off by {100 * off.max():.2f}% "
            f"at most, {100 * np.median(off):.2f}% in the median; {(off <= 0.02).mean():.1%} of "
            "them within 2%"
        )
    print_foot(arguments)


def solved(baseline: ArchSpec, wanted: list[float], num_classes: int) -> list[ArchSpec]:
    targets = [Target("macs", one) for one in wanted]
    return [each.arch for each in solve_targets(baseline, compound(PAPER), targets, num_classes)]


def rounded(baseline: ArchSpec) -> list[ArchSpec]:
    return [scale_compound(baseline, PAPER, phi) for phi in range(8)]


def bisected(baseline: ArchSpec, wanted: list[float], num_classes: int) -> list[ArchSpec]:
    return [bisect(baseline, one, num_classes) for one in wanted]


def bisect(baseline: ArchSpec, macs: float, num_classes: int) -> ArchSpec:
    """The network of the φ whose rounded network's count is nearest."""
    low, high = 0.0, 12.0
    tried: dict[float, ArchSpec] = {}
    for _ in range(STEPS):
        phi = (low + high) / 2
        tried[phi] = scale_compound(baseline, PAPER, phi)
        if count(tried[phi], num_classes).macs < macs:
            low = phi
        else:
            high = phi
    return min(tried.values(), key=lambda arch: abs(count(arch, num_classes).macs / macs - 1))


if __name__ == "__main__":
    main()
