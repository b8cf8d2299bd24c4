"""What `run` shows at its end."""

from rich.table import Table

from blocks.console import console, duration, millions
from search.config.schema import RunConfig
from search.record.trials import TrialRecord
from search.space.latency_budget import PREDICTED_MS
from search.study.final import FinalRound
from search.study.front import judged_by
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
        console.print(_describe_trained(found.last.by_proxy))
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
    console.print(f"B0 ({last.chosen.name}): {chosen.arch}", markup=False)
    console.print(
        f"  macs {millions(chosen.cost.macs)}, flops_fvcore {millions(chosen.cost.flops_fvcore)}, "
        f"params {chosen.cost.params:,}"
    )
    if PREDICTED_MS in chosen.metrics:
        console.print(
            f"  predicted latency {chosen.metrics[PREDICTED_MS]:.4g} ms; `python -m blocks profile "
            f"{found.study.folder / 'b0.yaml'}` measures it"
        )
    how = judged_by(config, "at ")
    if last.chosen.reference is not None:
        how = f"at {config.proxy.epochs} epochs"
    console.print(
        f"  val accuracy {chosen.metrics['val_accuracy']:.4f} {how}; "
        f"after {final.fidelity['epochs']}: val {final.metrics['val_accuracy']:.4f}, "
        f"test {final.metrics['test_accuracy']:.4f}"
    )
    if found.probe is not None and final.metrics["test_accuracy"] < found.probe.test_accuracy:
        console.print(
            f"  below a linear probe on {found.probe.on}, test {found.probe.test_accuracy:.4f}: "
            "train for longer (proxy.epochs, search.final_epochs), allow more macs, or look at the "
            "images (`python -m search data`)"
        )
    if last.standing is not None:
        console.print(_finalists_table(last))
    for reference, record in last.references:
        console.print(
            f"  by the proxy val accuracy {record.metrics['val_accuracy']:.4f} at macs "
            f"{millions(record.cost.macs)}: {reference.describe()}"
        )


def describe_gain(last: FinalRound) -> str:
    """What the search was worth, in one line: B0 against the best published network, on the test
    images."""
    if last.chosen.reference is not None:
        return (
            f"B0 is the published {last.chosen.name}, cut to these images and the budget: no "
            "candidate of the search did better on the validation images"
        )
    if last.gain is None:
        return "no published network was trained as long as B0, to say what the search gained"
    gain = last.gain
    points = [100 * value for value in (gain.lead.mean, gain.lead.low, gain.lead.high)]
    said = "" if gain.lead.told_apart else "; not told apart"
    return (
        f"gain over {gain.reference.name}, the best published network at this budget: "
        f"{points[0]:+.1f} points of test accuracy (95% {points[1]:+.1f} to {points[2]:+.1f}){said}"
    )


def _finalists_table(last: FinalRound) -> Table:
    assert last.standing is not None
    table = Table(title="Final round", title_justify="left")
    for column in ("network", "trainings", "val accuracy", "val loss", "P(best)"):
        table.add_column(column, justify="left" if column == "network" else "right")
    for contender, chance in zip(last.contenders, last.standing.p_best, strict=True):
        table.add_row(
            contender.name, str(len(contender.trainings)),
            f"{contender.mean('val_accuracy'):.4f}", f"{contender.mean('val_loss'):.4f}",
            f"{chance:.2f}",
        )  # fmt: skip
    return table


def _describe_trained(by_proxy: TrialRecord | None) -> str:
    """What the controls, which are trained, compare with where candidates are not."""
    if by_proxy is None:
        return "  B0 by the proxy failed: nothing compares with the controls"
    return (
        f"  B0 by the same proxy as the controls: val accuracy "
        f"{by_proxy.metrics['val_accuracy']:.4f}, which compares with theirs; the supernet's "
        "accuracies do not"
    )
