"""What `run` shows at its end."""

from collections.abc import Mapping

from rich.table import Table

from blocks.console import console, duration, millions, network
from blocks.names import counted
from search.assess.statistics import wilson
from search.config.quality import ACCURACY, SEVERAL, Quality
from search.config.schema import RunConfig
from search.data.classes import Majority
from search.record.trials import TrialRecord
from search.space.latency_budget import PREDICTED_MS
from search.study.final import FinalRound
from search.study.front import judged_by
from search.study.lead import FEW_TEST_IMAGES
from search.study.objective import Objective
from search.study.run import SearchResult


def show_search(found: SearchResult) -> None:
    """Print what was trained, the chosen B0, what stands beside it, and where the time went."""
    config, tally = found.study.config, found.tally
    if tally.ended_early:
        console.print(f"ended early: {tally.ended_early}")
    judged = "judged" if config.evaluator == "supernet" else "trained"
    console.print(
        f"{len(found.study.folder.trained())} {judged}; this run: {tally.stopped} of them stopped "
        f"early, {tally.over_budget} over the budget (not {judged}), "
        f"{tally.duplicates} duplicates (not {judged} again), {tally.failures} failed"
    )
    _show_baseline(found, config)
    if found.controls is not None:
        console.print(found.controls.describe())
    if config.evaluator == "supernet":
        console.print(_describe_trained(found.last.by_proxy, config.quality))
    console.print(time_table("Where the time went (search)", found.seconds))


def time_table(title: str, seconds: dict[str, float]) -> Table:
    """Where the time went, as shares of the whole."""
    table = Table(title=title, title_justify="left")
    table.add_column("step")
    table.add_column("time", justify="right")
    table.add_column("share", justify="right")
    whole = sum(seconds.values())
    for name, spent in seconds.items():
        table.add_row(name, duration(spent), f"{spent / whole:.0%}" if whole else "")
    table.add_row("in all", duration(whole), "", style="bold")
    return table


def _show_baseline(found: SearchResult, config: RunConfig) -> None:
    last = found.last
    chosen, final = last.chosen.by_proxy, last.final
    console.print(describe_gain(last), markup=False)
    written = network(chosen.arch, str(found.study.folder / "b0.yaml"))
    console.print(f"B0 ({last.chosen.name}): {written}", markup=False)
    console.print(
        f"  macs {millions(chosen.cost.macs)}, flops_fvcore {millions(chosen.cost.flops_fvcore)}, "
        f"params {chosen.cost.params:,}"
    )
    if PREDICTED_MS in chosen.metrics:
        console.print(
            f"  predicted latency {chosen.metrics[PREDICTED_MS]:.4g} ms; `python -m blocks profile "
            f"{found.study.folder / 'b0.yaml'}` measures it",
            whole=True,
        )
    how = judged_by(config, "at ")
    if last.chosen.reference is not None:
        how = f"at {config.proxy.epochs} epochs"
    quality = config.quality
    console.print(
        f"  val {quality.words} {quality.of(chosen.metrics):.4f} {how}; "
        f"after {final.fidelity['epochs']}: val {quality.of(final.metrics):.4f}, "
        f"test {quality.of(final.metrics, 'test'):.4f}"
        + ("" if quality == ACCURACY else f" ({_beside(config, final)})")
    )
    if found.majority is not None:
        console.print(describe_majority(found.majority, final.metrics, quality), markup=False)
    probe = found.probe
    if probe is not None and final.metrics[f"test_{probe.metric}"] < probe.test_accuracy:
        of = "" if probe.metric == "accuracy" else f"{config.quality.words} "
        console.print(
            f"  below a linear probe on {probe.on}, test {of}{probe.test_accuracy:.4f}: "
            "train for longer (proxy.epochs, search.final_epochs), allow more macs, or look at the "
            "images (`python -m search data`)"
        )
    if last.standing is not None:
        console.print(_finalists_table(last, config))
    for reference, record in last.references:
        console.print(
            f"  by the proxy val {quality.words} {quality.of(record.metrics):.4f} at macs "
            f"{millions(record.cost.macs)}: {reference.describe()}"
        )


def _beside(config: RunConfig, final: TrialRecord) -> str:
    """What else B0 reached on the test images."""
    accuracy = f"{final.metrics['test_accuracy']:.4f}"
    if not config.several:
        return f"accuracy {accuracy}"
    others = [each for each in SEVERAL.values() if each != config.quality]
    reached = [f"{each.words} {each.of(final.metrics, 'test'):.4f}" for each in others]
    threshold = f"at the threshold {final.metrics['val_threshold']:.3f}"
    return f"{', '.join(reached)}; {threshold} all labels right in {accuracy}"


def describe_gain(last: FinalRound) -> str:
    """What the search was worth, in one line: B0 against the best published network, on the test
    images."""
    if last.chosen.reference is not None:
        return (
            f"B0 is the published {last.chosen.name}, cut to these images and the budget: the "
            "final round puts no candidate of the search before it"
        )
    if last.gain is None:
        return "no published network was trained as long as B0, to say what the search gained"
    gain = last.gain
    points = [100 * value for value in (gain.lead.mean, gain.lead.low, gain.lead.high)]
    said = "" if gain.told_apart else "; not told apart"
    if gain.images < FEW_TEST_IMAGES:
        said += f", as there are only {counted(gain.images, 'test image')}"
    several = len(last.chosen.trainings) > 1
    return (
        f"gain over {gain.reference.name}, the best published network at this budget: "
        f"{points[0]:+.1f} points of test {gain.quality.words} "
        f"(95% {points[1]:+.1f} to {points[2]:+.1f}){said}"
        + (f"; {gain.own:.4f} in the mean of its trainings" if several else "")
    )


def describe_majority(majority: Majority, metrics: Mapping[str, float], quality: Quality) -> str:
    """What always giving the class of most images would reach, and whether B0, of these metrics,
    is above it."""
    reached = quality.of(metrics, "test")
    said = (
        f"  always {majority.name!r} would reach a test {quality.words} of {majority.reached:.4f}; "
        f"B0 is {'' if reached > majority.reached else 'not '}above it ({reached:.4f})"
    )
    if wilson(reached, majority.images)[0] > majority.reached:
        return said
    if reached > majority.reached:
        said += f", but {majority.images} images do not tell that from chance"
    if quality.balanced:
        return said
    return f"{said}; search.metric=balanced_accuracy counts classes alike"


def _finalists_table(last: FinalRound, config: RunConfig) -> Table:
    stand, quality, objective = last.standing, config.quality, Objective.of(config)
    assert stand is not None
    table = Table(title="Final round", title_justify="left")
    columns = f"val {quality.words}", objective.compared.replace("_", " ")
    for column in ("network", "trainings", *columns, "P(best)"):
        table.add_column(column, justify="left" if column == "network" else "right")
    for contender, mean, chance in zip(last.contenders, stand.means, stand.p_best, strict=True):
        table.add_row(
            contender.name, str(len(contender.trainings)),
            f"{contender.mean(quality.val):.4f}", f"{objective.compared_value(float(mean)):.4f}",
            f"{chance:.2f}",
        )  # fmt: skip
    return table


def _describe_trained(by_proxy: TrialRecord | None, quality: Quality) -> str:
    """What the controls, which are trained, compare with where candidates are not."""
    if by_proxy is None:
        return "  B0 by the proxy failed: nothing compares with the controls"
    return (
        f"  B0 by the same proxy as the controls: val {quality.words} "
        f"{quality.of(by_proxy.metrics):.4f}, which compares with theirs; the supernet's "
        f"{'accuracies do' if quality == ACCURACY else 'does'} not"
    )
