"""Zero-cost scores before the first trial: where a search begins, and what its sampler reads."""

from pathlib import Path

import numpy as np
import pytest

from search.space.budget import Budget
from search.study.prior import Prior, RidgeScores
from search.training.zero_cost import BASELINES, SCORES
from tests.conftest import Cli, one_line_error
from tests.search.space.test_budget import TINY, candidates_of
from tests.search.test_cli import trials


def test_predicted_scores_are_features_and_change_nothing_else() -> None:
    candidates = candidates_of(TINY, Budget("macs", 1, 2_000_000))
    codes = candidates.sample(80, np.random.default_rng(0))
    before = candidates.features(codes)
    truth = np.stack([before[:, -1] + before[:, 3], np.ones(80)], 1)
    model = RidgeScores(before, truth)
    assert model.explained[0] > 0.8
    candidates.read_scores(model)
    after = candidates.features(codes)
    assert (after[:, : before.shape[1]] == before).all()
    assert after[:, -2:] == pytest.approx(model.predict(before))
    assert np.corrcoef(after[:, -2], truth[:, 0])[0, 1] > 0.95
    again = candidates_of(TINY, Budget("macs", 1, 2_000_000))
    assert (again.sample(80, np.random.default_rng(0)) == codes).all()


def test_starting_points_are_the_best_and_apart() -> None:
    candidates = candidates_of(TINY, Budget("macs", 10**12))
    codes = candidates.sample(40, np.random.default_rng(1))
    codes = np.concatenate([codes, codes[:1]])  # a duplicate of the best
    rank = np.arange(len(codes))[::-1].astype(float)
    rank[-1] = 100.0
    prior = Prior(codes, np.stack([rank] * 3, 1))
    points = prior.starting_points(candidates, 4)
    chosen = [candidates.encode(point) for point in points]
    assert (chosen[0] == codes[0]).all()
    assert len({code.tobytes() for code in chosen if code is not None}) == 4
    quarter = {code.tobytes() for code in codes[:10]}
    assert all(code is not None and code.tobytes() in quarter for code in chosen)
    assert prior.starting_points(candidates, 0) == []


@pytest.mark.slow
def test_a_search_begins_with_what_scores_best_and_goes_on_with_the_same_scores(
    cli: Cli, tmp_path: Path, digits_settings: list[str]
) -> None:
    settings = [*digits_settings, "sampler=surrogate", "search.zero_cost=12"]
    settings += ["search.zero_cost_top=2", "workers.count=1"]
    done = cli("search", "run", *settings, "study=whole", "search.trials=9")
    assert "zero-cost scores of 12 random members" in done.stdout
    assert "12 members have zero-cost scores" in done.stdout
    whole = tmp_path / "results" / "whole"
    header, *rows = (whole / "zero_cost.csv").read_text().splitlines()
    assert header == ",".join([*SCORES, *BASELINES, "arch"])
    scored = {row.rpartition(",")[2] for row in rows}
    assert {str(arch) for _, arch, _ in trials(whole)[:2]} <= scored
    cli("search", "run", *settings, "study=parts", "search.trials=3")
    parts = tmp_path / "results" / "parts"
    scores = (parts / "scores.jsonl").read_text()
    cli("search", "run", *settings, "study=parts", "search.trials=9")
    assert (parts / "scores.jsonl").read_text() == scores
    assert trials(parts) == trials(whole)
    (parts / "zero_cost.csv").write_text("nonsense\n")
    refused = one_line_error(
        cli("search", "run", *settings, "study=parts", "search.trials=10", check=None)
    )
    assert "zero_cost.csv is damaged" in refused
    few = cli("search", "run", *digits_settings, "search.zero_cost=3", check=None)
    assert "search.zero_cost=3 is too small; expected 10 or more" in one_line_error(few)
