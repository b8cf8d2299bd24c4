"""Which combinations of choices are the same network."""

from collections import defaultdict
from typing import Any

import numpy as np
import optuna
import pytest

from search.config.face import config_from
from search.samplers.surrogate import SurrogateSampler
from search.space.budget import cost_budget
from search.space.choices import build_space
from search.space.members import SpaceCandidates


def candidates_of(space: str, resolution: int, **budget: Any) -> SpaceCandidates:
    config = config_from(space=space, budget=budget, proxy={"resolution": resolution})
    limits = cost_budget(config)
    return SpaceCandidates(build_space(config.space, resolution, 3, 10, limits), limits, 10)


@pytest.mark.parametrize(
    ("space", "budget"),
    [
        ("auto", {"target": "4M"}),
        ("tiny", {"target": "200k"}),
        ("tiny", {"target": None, "max_macs": "2M"}),
    ],
)
def test_combinations_have_one_identity_where_they_have_one_spelling(
    space: str, budget: dict[str, Any]
) -> None:
    candidates = candidates_of(space, 32, **budget)
    generator = np.random.default_rng(0)
    random = candidates.sample(100, generator)
    codes = np.concatenate([random, *(candidates.near(code) for code in random[:10])])
    spellings, numbers = defaultdict(set), defaultdict(set)
    for code, number in zip(codes, candidates.identities(codes), strict=True):
        arch, _, _ = candidates.network(candidates.decode(code))
        spellings[number].add(arch)
        numbers[arch].add(number)
    assert len(numbers) < len(codes) or space == "tiny", "no two are the same: nothing is tested"
    assert all(len(found) == 1 for found in spellings.values())
    assert all(len(found) == 1 for found in numbers.values())


def test_what_is_chosen_of_a_stage_that_is_left_out_says_nothing() -> None:
    candidates = candidates_of("auto", 32, target="4M")
    values = next(
        values
        for values in map(candidates.decode, candidates.sample(200, np.random.default_rng(0)))
        if values["stage2.repeats"] == 0
    )
    other = values | {"stage2.kernel": 7 if values["stage2.kernel"] != 7 else 3}
    codes = np.stack([code for code in map(candidates.encode, (values, other)) if code is not None])
    assert (codes[0] != codes[1]).any()
    first, second = candidates.features(codes)
    np.testing.assert_array_equal(first, second)


def test_a_search_never_proposes_a_network_that_it_knows() -> None:
    """With many choices of width that round to the same channels."""
    candidates = candidates_of("auto", 32, target="1M")
    study = optuna.create_study()
    seen = []
    for number in range(12):
        study.sampler = SurrogateSampler(seed=number, candidates=candidates)
        trial = study.ask(dict(candidates.distributions))
        arch, cost, _ = candidates.network(trial.params)
        seen.append(arch)
        # One is far the best: what is near it is asked for.
        study.tell(trial, 0.0 if number == 3 else 1.0 + cost.params / 1e6)
    assert len(set(seen)) == len(seen)


def test_a_value_that_is_told_again_of_the_same_network_counts_once() -> None:
    from search.samplers.history import History

    candidates = candidates_of("auto", 32, target="1M")
    [code] = candidates.sample(1, np.random.default_rng(0))
    near = candidates.near(code)
    same = near[candidates.identities(near) == candidates.identities(code[None])]
    assert len(same), "no other combination is this network"
    study = optuna.create_study()
    distributions = dict(candidates.distributions)
    for each, value in ((code, 1.0), (same[0], 1.0), (same[0], 2.0)):
        trial = optuna.trial.create_trial(
            params=candidates.decode(each), distributions=distributions, value=value
        )
        study.add_trial(trial)
    asked = study.ask(distributions)
    history = History(study, study.trials[asked.number], candidates)
    assert history.values.tolist() == [[-1.0], [-2.0]]
    assert not len(history.new(same))
