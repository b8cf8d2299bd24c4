"""Some small networks that answer together, against a single one of as many macs."""

from collections.abc import Sequence
from dataclasses import replace

import torch

from blocks.arch import format_arch
from scaling.compound import ScalingError
from scaling.experiments.bench import Bench
from scaling.experiments.config import Make, Variant
from scaling.experiments.table import Finding, Row, finding, leads, reached, row_of
from scaling.training.record import read_outcomes
from scaling.training.result import Trained


def run_ensemble(bench: Bench) -> Finding:
    """Train `size` small networks for every seed, of other seeds each, and one large network for
    every seed; the small ones' probabilities are averaged.

    The large one is compared with the ensembles, as are single small ones (the first of each
    ensemble). No network is in two ensembles.

    Raises:
        ScalingError, StudyError, ConfigError, DataError, TrainingError: as `scaling train`.
    """
    if bench.data.several:
        raise ScalingError("the ensemble experiment is of images with one class each")
    size, rule = bench.options.size, bench.options.rule
    large_way = Variant("large", make=Make(rule=rule, macs=float(size)))
    bench.made(large_way.make)
    small_way = Variant("small")
    large = [bench.train(large_way, "large", seed) for seed in bench.seeds]
    first = bench.seeds.start
    groups = [
        [bench.train(small_way, "small", first + size * place + number) for number in range(size)]
        for place in range(bench.options.seeds)
    ]
    together = tuple(accuracy_together(some) for some in groups)
    one = row_of("one large", large)
    alone = row_of("one small", [some[0] for some in groups])
    everyone = [each for some in groups for each in some]
    cost = groups[0][0].content["cost"]
    ensemble = Row(
        f"{size} small",
        format_arch(bench.arch),
        size * cost["macs"],
        size * cost["params"],
        together,
        more={"seconds_an_epoch": size * row_of("", everyone).more["seconds_an_epoch"]},
    )
    rows = [one, ensemble, alone]
    ahead = leads([row.values for row in rows], [(1, 0), (2, 0), (1, 2)])
    rows = [one, replace(ensemble, lead=ahead[0]), replace(alone, lead=ahead[1])]
    said = [f"{size} small together less one of them: {ahead[2]} points"]
    return finding(bench, rows, large[0], said)


def accuracy_together(trained: Sequence[Trained]) -> float:
    """Of the mean of the probabilities of networks, on the test images that all were judged on.

    Raises:
        ScalingError: they were judged on different images.
    """
    outcomes = [read_outcomes(each.folder) for each in trained]
    labels = outcomes[0][1]
    if any(not torch.equal(labels, theirs) for _, theirs in outcomes):
        raise ScalingError(f"{trained[0].folder} and others were judged on different test images")
    if len(trained) == 1:
        return reached(trained[0])
    mean = torch.stack([logits.softmax(1) for logits, _ in outcomes]).mean(0)
    return float((mean.argmax(1) == labels).double().mean())
