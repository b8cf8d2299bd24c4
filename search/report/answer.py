"""The answer of a report: two sentences, made from the numbers."""

from collections import Counter
from typing import Any

from blocks.console import millions
from blocks.names import counted
from search.record.trials import TrialRecord
from search.report.facts import Facts
from search.study.lead import FEW_TEST_IMAGES, may_tell


def answer(facts: Facts) -> tuple[str, str]:
    """What was found and what it costs; what it beats, by how much, and whether that is told."""
    if facts.chosen:
        return _chosen(facts), _beats(facts)
    if facts.best is not None:
        return _so_far(facts, facts.best), _go_on(facts)
    if facts.failures:
        kinds = Counter(each.kind for each in facts.failures)
        said = ", ".join(f"{count} {kind}" for kind, count in sorted(kinds.items()))
        return (
            f"No candidate was trained to the end: {len(facts.failures)} failed ({said}).",
            "The reasons are below.",
        )
    return "Nothing is trained to the end yet.", _go_on(facts)


def _chosen(facts: Facts) -> str:
    content = facts.baseline
    final = content.get("final") or {}
    cost = content.get("cost") or {}
    trial = content.get("trial")
    if trial is not None:
        name = f"trial {trial}"
    else:
        name = f"the published {_published(facts)}, cut to these images and the budget"
    parts = []
    if cost:
        parts.append(f"it costs {millions(cost['macs'])} macs and {cost['params']:,} parameters")
    if latency := _latency(content):
        parts.append(latency)
    reached = final.get(facts.quality.test)
    if reached is not None:
        mean = (content.get("gain") or {}).get(f"b0_{facts.quality.test}", reached)
        parts.append(
            f"it reaches a test {facts.quality.words} of {reached:.4f} after "
            f"{final['epochs']} epochs"
            + ("" if mean == reached else f" ({mean:.4f} in the mean of its trainings)")
        )
    return f"The chosen B0 is {name}: {_listed(parts)}."


def _published(facts: Facts) -> str:
    arch = facts.baseline.get("arch", "")
    made = str(facts.baseline.get("reference", "network"))
    return facts.references.get(arch, made.partition(":")[0])


def _latency(content: dict[str, Any]) -> str:
    latency = content.get("latency")
    if not isinstance(latency, dict) or "predicted_ms" not in latency:
        return ""
    return f"its predicted latency is {latency['predicted_ms']:.4g} ms"


def _listed(parts: list[str]) -> str:
    return ", and ".join([", ".join(parts[:-1]), parts[-1]]) if len(parts) > 1 else "".join(parts)


def _beats(facts: Facts) -> str:
    content, quality = facts.baseline, facts.quality
    gain = content.get("gain")
    if isinstance(gain, dict) and "interval_95" in gain:
        mean = 100 * gain[quality.test]
        low, high = (100 * end for end in gain["interval_95"])
        name = gain["reference"]
        images = (content.get("dataset") or {}).get("test")
        on = f" on {counted(images, 'test image')}" if images else ""
        interval = f"95% {low:+.1f} to {high:+.1f}"
        told = may_tell(images or FEW_TEST_IMAGES, low, high)
        if told and low > 0:
            return (
                f"It beats {name}, the best published network at this budget, by {mean:.1f} points "
                f"of test {quality.words}{on} ({interval})."
            )
        if told and high < 0:
            return (
                f"It is behind {name}, the best published network at this budget, by {-mean:.1f} "
                f"points of test {quality.words}{on} ({interval})."
            )
        return (
            f"It is {mean:+.1f} points of test {quality.words} from {name}, the best published "
            f"network at this budget, which is not told apart{on} ({interval})."
        )
    if content.get("reference") is not None:
        return (
            f"Of {len(facts.trained)} candidates the best were trained as long as it, and none was "
            "likelier to be the best by the validation images."
        )
    controls: dict[str, Any] = content.get("controls") or {}
    mean = controls.get(f"{quality.val}_mean")
    own = (content.get("proxy") or {}).get(quality.val)
    if mean is not None and own is not None:
        return (
            "No published network was trained as long as it; by the proxy it reaches a validation "
            f"{quality.words} of {own:.4f}, where {controls['networks']} random networks within "
            f"the budget reach {mean:.4f} in the mean."
        )
    return "No published network was trained as long as it, to say what the search gained."


def _so_far(facts: Facts, best: TrialRecord) -> str:
    reached = facts.quality.of(best.metrics)
    return (
        f"No B0 is chosen yet: of {facts.config.search.trials} candidates {len(facts.trained)} are "
        f"trained, and the best so far is trial {best.number}, with {millions(best.cost.macs)} "
        f"macs, {best.cost.params:,} parameters and a validation {facts.quality.words} of "
        f"{reached:.4f}."
    )


def _go_on(facts: Facts) -> str:
    return f"Go on with: python -m search run study={facts.folder.study}, and the same settings."
