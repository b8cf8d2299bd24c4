"""Budgets of predicted milliseconds: what is solved is what the predictor says of the network."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import yaml

from blocks.latency.predict import Predictor, load_predictor
from search.config.schema import LATENCY
from search.errors import ConfigError
from search.space.budget import Budget
from search.space.latency_budget import check_latency, describe_latency
from search.space.widths import fit
from tests.blocks.latency.test_predict import fitted
from tests.conftest import Cli, one_line_error
from tests.search.config.test_checks import config_of
from tests.search.space.test_budget import TINY, candidates_of


@pytest.fixture(scope="module")
def table(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("latency") / "table.json"
    fitted().write(path)
    return path


def settings_of(table: Path, target: float = 2.0) -> list[str]:
    return [
        f"budget.metric={LATENCY}",
        f"budget.target={target}",
        f"budget.latency_table={table}",
    ]


@pytest.mark.parametrize("solve", ["width", "width_depth"])
def test_every_candidate_is_predicted_within_the_tolerance(table: Path, solve: str) -> None:
    budget = Budget(LATENCY, 1, 2.0, solve=solve, latency_table=table)
    candidates = candidates_of(TINY, budget)
    codes = candidates.sample(100, np.random.default_rng(2))
    assert len(codes) == 100
    alone = Predictor(load_predictor(table).table)  # no prediction of the columns in its memory
    for code in codes[:8]:
        arch, _, excess = candidates.network(candidates.decode(code))
        ms = alone.predict_ms(arch, 10)
        assert abs(ms / 2.0 - 1) <= 0.02 + 1e-9
        assert excess == pytest.approx(abs(ms / 2.0 - 1) - 0.02, abs=1e-9)


def test_nearly_every_shape_can_be_brought_to_a_latency(table: Path) -> None:
    budget = Budget(LATENCY, 1, 2.0, latency_table=table)
    candidates = candidates_of(TINY, Budget("macs", 10**12))
    codes = candidates.sample(500, np.random.default_rng(3))
    solved, _ = fit(budget, candidates.space.columns(codes), 10)
    assert (budget.excess(budget.measure(solved, 10)) <= 0).mean() > 0.8


def test_a_spelling_is_found_again_at_a_latency(table: Path) -> None:
    candidates = candidates_of(TINY, Budget(LATENCY, 1, 2.0, latency_table=table))
    for code in candidates.sample(5, np.random.default_rng(6)):
        arch, _, _ = candidates.network(candidates.decode(code))
        assert candidates.network(candidates.find(arch))[0] == arch


def test_what_lies_outside_of_the_measured_is_said_once(table: Path) -> None:
    candidates = candidates_of(TINY, Budget(LATENCY, 1, 2.0, latency_table=table))
    first, error, *outside = describe_latency(candidates)
    assert first.startswith("latency table: eager, 1 thread")
    assert error == "  no held-out network was measured"
    assert len(outside) <= 1
    narrow = replace(fitted(), units=dict(list(fitted().units.items())[:5]))
    path = table.with_name("narrow.json")
    narrow.write(path)
    candidates = candidates_of(TINY, Budget(LATENCY, 1, 2.0, latency_table=path, tolerance=0.5))
    (line,) = describe_latency(candidates)[2:]
    assert "random members are outside of what was measured, the first: " in line
    assert describe_latency(candidates_of(TINY, Budget("macs", 10**12))) == []


def test_a_table_of_another_device_or_none_is_refused(table: Path) -> None:
    other = table.with_name("other.json")
    replace(fitted(), device="an abacus").write(other)
    with pytest.raises(ConfigError, match="measured with device an abacus; expected"):
        check_latency(config_of(*settings_of(other)))
    with pytest.raises(ConfigError, match="cannot read latency table"):
        check_latency(config_of(*settings_of(table.with_name("none.json"))))
    check_latency(config_of(*settings_of(table)))


@pytest.mark.slow
def test_a_search_at_a_latency(
    cli: Cli, tmp_path: Path, digits_settings: list[str], table: Path
) -> None:
    settings = [*digits_settings, "search.trials=3", "search.controls=2", "sampler=surrogate"]
    settings = [one for one in settings if not one.startswith("budget")] + settings_of(table, 0.5)
    said = cli("search", "run", *settings).stdout
    assert "budget 0.5 ms predicted ± 2%" in said
    assert "latency table: eager" in said
    assert "predicted latency 0.5" in said or "predicted latency 0.49" in said
    folder = tmp_path / "results" / "main"
    found = yaml.safe_load((folder / "b0.yaml").read_text())["latency"]
    assert found["predicted_ms"] == pytest.approx(0.5, rel=0.02)
    assert "predicted_ms" in (folder / "pareto.csv").read_text().splitlines()[0]
    stored = json.loads((folder / "environment.json").read_text())
    assert found["table_sha256"] == stored["latency_table_sha256"]
    # The same table may lie elsewhere; another one is refused.
    moved = tmp_path / "moved.json"
    moved.write_bytes(table.read_bytes())
    settings[-1] = f"budget.latency_table={moved}"
    cli("search", "run", *settings)
    replace(fitted(), seed=1).write(moved)
    refused = one_line_error(cli("search", "run", *settings, check=None))
    assert "was made with another latency table" in refused


@pytest.mark.parametrize(
    ("given", "message"),
    [
        (["budget.target=4"], "predicts by a table"),
        (["budget.target=-1", "budget.latency_table=x"], "not a number of milliseconds"),
        (["budget.target=4", "budget.latency_table=x"], "cannot read latency table x"),
        (["budget.latency_table=x"], "is of a target"),
        (["budget.metric=macs", "budget.latency_table=x"], "is not read with"),
    ],
)
def test_wrong_settings_of_a_latency_are_one_line(given: list[str], message: str) -> None:
    from search.study.settle import check_settings

    with pytest.raises(ConfigError, match=message):
        check_settings(config_of(f"budget.metric={LATENCY}", *given))
