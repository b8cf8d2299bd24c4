"""What a search knows of its candidates' latency: the table's word, said and pinned."""

import hashlib
from typing import Any, Final

import numpy as np

from blocks.arch import parse_arch
from blocks.errors import LatencyError
from blocks.latency.device import device_name
from search.config.schema import RunConfig
from search.errors import ConfigError
from search.space.budget import Budget, cost_budget
from search.space.members import SpaceCandidates

PREDICTED_MS: Final = "predicted_ms"
"""Metric of a trial at a latency target: what its latency table predicts."""
MEMBERS: Final = 100
"""Random members of which it is said how many lie outside of what was measured."""


def check_latency(config: RunConfig) -> None:
    """Refuse a latency table that cannot be read, or is of another device.

    Raises:
        ConfigError: says which, and what was expected.
    """
    budget = cost_budget(config)
    try:
        predictor = budget.predictor
        if predictor is not None:
            table = predictor.table
            where = str(budget.latency_table)
            table.check(device_name(), table.runtime, table.threads, table.batch, where)
    except LatencyError as error:
        raise ConfigError(f"budget.latency_table: {error}") from None


def table_sha256(budget: Budget) -> str | None:
    """The hash of the latency table's file; None where the budget is counted."""
    if budget.latency_table is None:
        return None
    return hashlib.sha256(budget.latency_table.read_bytes()).hexdigest()


def predicted_ms(budget: Budget, spelling: str, num_classes: int) -> float | None:
    """Milliseconds a batch of a network; None where the budget is counted."""
    if budget.predictor is None:
        return None
    return budget.predictor.predict_ms(parse_arch(spelling), num_classes)


def describe_latency(candidates: SpaceCandidates) -> list[str]:
    """The table, how far to trust it, and whether it was measured on such networks, in words."""
    predictor = candidates.budget.predictor
    if predictor is None:
        return []
    error = predictor.table.held_out_error
    lines = [
        f"latency table: {predictor.table.describe()}",
        f"  held-out error: {error}" if error else "  no held-out network was measured",
    ]
    codes = candidates.sample(MEMBERS, np.random.default_rng(0))
    networks = [candidates.network(candidates.decode(code))[0] for code in codes]
    found = [predictor.outside(arch, candidates.num_classes) for arch in networks]
    reasons = [reason for reason in found if reason]
    if reasons:
        lines.append(
            f"  {len(reasons)} of {len(found)} random members are outside of what was measured, "
            f"the first: {reasons[0]}"
        )
    return lines


def latency_mapping(budget: Budget, spelling: str, num_classes: int) -> dict[str, Any]:
    """The predicted latency of a network and what it is of, for b0.yaml; empty where counted."""
    predictor = budget.predictor
    if predictor is None:
        return {}
    table = predictor.table
    return {
        "predicted_ms": predictor.predict_ms(parse_arch(spelling), num_classes),
        "target_ms": budget.target,
        "outside": predictor.outside(parse_arch(spelling), num_classes),
        "table_sha256": table_sha256(budget),
        **{name: getattr(table, name) for name in ("device", "runtime", "threads", "batch")},
    }
