"""What the accuracies at several sizes say: the choices, and a verdict in words."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

from blocks.console import millions
from scaling.differences import in_points
from scaling.resolution.scores import Score, Trained
from scaling.resolution.sizes import Resized, own_size


@dataclass(frozen=True)
class Choice:
    """Sizes chosen by validation accuracy: `best` of all, `affordable` within the budget.

    `cheapest` is the least size whose test accuracy cannot be told from the training
    resolution's. None: no size is within the budget.
    """

    best: int
    affordable: int | None
    cheapest: int


def choose(sizes: Sequence[Resized], scores: Sequence[Score], budget: int | None) -> Choice:
    """The best size by validation accuracy (of equals the cheapest), with and without a budget."""

    def best(numbers: Sequence[int]) -> int:
        return max(numbers, key=lambda at: (scores[at].val, -sizes[at].cost.macs))

    everything = range(len(sizes))
    within = [at for at in everything if budget is None or sizes[at].cost.macs <= budget]
    own = own_size(sizes)
    # What is better is no equal; where it is cheaper too, it is the best, or near it.
    alike = [
        at for at in everything if at == own or scores[at].gain_low <= 0 <= scores[at].gain_high
    ]
    return Choice(
        best(everything),
        best(within) if within else None,
        min(alike, key=lambda at: sizes[at].cost.macs),
    )


def verdict(
    sizes: Sequence[Resized],
    scores: Sequence[Score],
    choice: Choice,
    budget: int | None,
    words: str = "accuracy",
) -> list[str]:
    """In words: the train-test gap, the cheapest equal, and what the budget buys. `words` are those
    for what networks are judged by."""
    own = own_size(sizes)
    best, chosen = sizes[choice.best], scores[choice.best]
    pixels = best.arch.image
    if choice.best == own:
        said = [
            f"no train-test gap: by validation {words} {pixels} px, where it was trained, is the "
            "best of these"
        ]
    else:
        found = (
            f"by validation {words} the best is {pixels} px, {best.percent:g}% of the training "
            f"resolution: {gain_in_points(chosen)} points of test {words} against the training's, "
            f"at {best.cost.macs / sizes[own].cost.macs:.2f} times its macs"
        )
        if chosen.gain_low > 0:
            said = [f"a train-test gap: {found}"]
        elif chosen.gain_high < 0:
            said = [f"no train-test gap: {found}, which is worse"]
        else:
            said = [f"no train-test gap that can be told: {found}"]
    cheap = sizes[choice.cheapest]
    if choice.cheapest != own:
        said.append(
            f"{cheap.arch.image} px cost {cheap.cost.macs / sizes[own].cost.macs:.0%} of the "
            f"training resolution's macs, and their test {words} cannot be told from its: "
            f"{gain_in_points(scores[choice.cheapest])} points"
        )
    if budget is not None:
        if choice.affordable is None:
            said.append(f"no size is within resolution.max_macs={millions(budget)}")
        else:
            size, score = sizes[choice.affordable], scores[choice.affordable]
            said.append(
                f"within {millions(budget)} macs the best is {size.arch.image} px: "
                f"{millions(size.cost.macs)}, test {words} {100 * score.test:.2f} "
                f"({100 * score.low:.2f} to {100 * score.high:.2f})"
            )
    return said


def about_images(stored: int, sizes: Sequence[Resized]) -> list[str]:
    """What the images themselves, stored at this height, say of a gap."""
    said = [
        "training showed whole images, so that objects look as large there as in a test image of "
        "the training resolution (FixRes's gap comes of random crops, which this proxy lacks)"
    ]
    if any(size.arch.resolution > stored for size in sizes):
        said.append(f"the images are stored at {stored} px: above it they are interpolated")
    return said


def about_trained(
    sizes: Sequence[Resized], trained: Sequence[Trained], seeds: int, words: str = "accuracy"
) -> str:
    """The best of the networks trained at each size, chosen by validation accuracy."""

    def rank(number: int) -> tuple[float, int]:
        accuracy = trained[number].val
        return (-1.0 if math.isnan(accuracy) else accuracy), -sizes[number].cost.macs

    at, own = max(range(len(sizes)), key=rank), own_size(sizes)
    reached, before = (100 * trained[number].test for number in (at, own))
    return (
        f"trained anew at every size ({seeds} {'seed' if seeds == 1 else 'seeds'}, the proxy), the "
        f"best by validation is {sizes[at].arch.image} px: test {words} {reached:.2f}, at "
        f"{sizes[own].arch.image} px {before:.2f}"
    )


def gain_in_points(score: Score) -> str:
    """The gain over the training resolution and its interval, in points."""
    return in_points(score.gain, score.gain_low, score.gain_high)
