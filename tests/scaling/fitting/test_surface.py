"""Surfaces: known coefficients found, published grids, and each formula against its long way."""

import runpy

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy.special import expit, logit

from scaling.fitting.contour import quadratic_features
from scaling.fitting.observations import Observations
from scaling.fitting.optimum import choose, find_optimum
from scaling.fitting.polynomials import Polynomials
from scaling.fitting.posterior import _Model, doublings, infer
from scaling.published import GRIDS, IMAGES, read_grid
from scaling.rules import direction
from tests.conftest import ROOT

Floats = NDArray[np.float64]


def observed(
    truth: Floats, logs: Floats, noise: float = 0.0, seed: int = 0, images: int = 10_000
) -> Observations:
    generator = np.random.default_rng(seed)
    return Observations(
        logs, tuple(value + noise * generator.standard_normal(1) for value in truth), images
    )


def cube(number: int = 60, axes: int = 3) -> Floats:
    return np.random.default_rng(1).uniform(-0.6, 0.7, (number, axes))


def contour() -> Floats:
    """All (depth, width, resolution) ≥ 1 with depth·width²·resolution² = 2, on a grid of logs."""
    shares = np.array([(i, j) for i in range(41) for j in range(41 - i)]) / 40
    depth, width = shares.T
    return np.log(2) * np.column_stack([depth, width / 2, (1 - depth - width) / 2])


def bowl(logs: Floats) -> Floats:
    """Of the contour best at depth 2^0.4, width 2^0.15, resolution 2^0.15, whatever the slope."""
    centre = np.log(2) * np.array([0.4, 0.15, 0.15])
    cost = logs @ np.array([1.0, 2.0, 2.0])
    away = logs - centre
    return np.asarray(expit(1.5 + 0.3 * cost - 0.8 * (away**2).sum(1)))


def test_the_features_of_a_quadratic_are_all_products() -> None:
    features = quadratic_features(np.array([[2.0, 3.0, 5.0]]))
    assert features.tolist() == [[1, 2, 3, 5, 4, 6, 10, 9, 15, 25]]


def best_of(truth: Floats, logs: Floats, images: int, noise: float = 0.0) -> Floats:
    posterior = infer(observed(truth, logs, noise, images=images), 300, 0)
    return find_optimum(posterior, contour(), {}).logs


def test_known_coefficients_are_found() -> None:
    best = np.log(2) * np.array([0.4, 0.15, 0.15])

    def additive(logs: Floats) -> Floats:
        # Stationary under the cost d·w²·r² where p·a·d^−p : q·b·w^−q : s·c·r^−s = 1 : 2 : 2.
        powers = np.array([0.6, 1.0, 1.0])
        factors = 0.05 * np.array([1.0, 2.0, 2.0]) / powers * np.exp(powers * best)
        return np.asarray(0.95 - (factors * np.exp(-powers * logs)).sum(1))

    logs = cube(80)
    for truth in (additive, bowl):
        assert best_of(truth(logs), logs, 10**7) == pytest.approx(best, abs=0.06)


def test_what_is_predicted_of_a_network_left_out_is_what_others_predict() -> None:
    """The closed formula against inferring without it; that has scales of its own."""
    logs = cube(26)
    observations = observed(bowl(logs), logs, noise=0.01, images=1000)
    posterior = infer(observations, 2000, 0)
    for left in (3, 11, 20):
        kept = np.arange(26) != left
        others = Observations(
            logs[kept], tuple(observations.accuracy[n] for n in np.flatnonzero(kept)), 1000
        )
        # Measured on the same axes: the others may reach less far.
        expected = infer(others, 2000, 0).predict(logs[[left]]).mean()
        assert posterior.predicted[left] == pytest.approx(expected, abs=0.004)
    errors = posterior.predicted - observations.mean
    assert posterior.leave_one_out == pytest.approx(np.sqrt((errors**2).mean()))


def test_coefficients_given_scales_are_those_of_ridge_regression() -> None:
    """Of one set of scales: by the formula of textbooks, with the noise of each network."""
    logs = cube(20)
    accuracy = tuple(
        value + 0.01 * np.random.default_rng(n).standard_normal(3 if n < 4 else 1)
        for n, value in enumerate(bowl(logs))
    )
    observations = Observations(logs, accuracy, 1000)
    posterior = infer(observations, 4000, 0)
    polynomials = posterior.polynomials
    row = int(posterior.weights.argmax())
    model = _Model(observations, polynomials, (1.0, 2.0, 2.0))
    scales = posterior.scales[[row]]
    prior = np.diag(model.deviations(scales)[0] ** 2)
    noise = np.diag(scales[0, 3] ** 2 + scales[0, 4] ** 2 / observations.trainings)
    features = polynomials.of(logs) @ model.rotation
    covariance = features @ prior @ features.T + noise
    left = observations.outputs - observations.outputs.mean()
    mean = prior @ features.T @ np.linalg.solve(covariance, left)
    solved = model.solve(scales)
    found = solved.deviations[0] * np.linalg.solve(solved.factors[0].T, solved.known[0])
    assert found == pytest.approx(mean, abs=1e-8)
    # And the likelihood of the outputs, but for what all scales have in common.
    seed, squares = scales[0, 4], observations.squares
    expected = -0.5 * left @ np.linalg.solve(covariance, left)
    expected -= 0.5 * np.linalg.slogdet(covariance)[1]
    expected -= squares / (2 * seed**2) + 8 * np.log(seed)
    assert solved.likelihood[0] == pytest.approx(expected, rel=1e-8)


def test_products_have_a_mean_square_of_one_within_the_reach() -> None:
    generator = np.random.default_rng(0)
    logs = np.log(2) * generator.uniform(-1, 1.5, (200_000, 3)) / np.array([1.0, 2.0, 2.0])
    polynomials = Polynomials.over(logs)
    features = polynomials.of(logs)
    assert features.shape[1] == 35  # (3 + 4 choose 4)
    assert (features**2).mean(0) == pytest.approx(np.ones(35), rel=0.03)
    # The first three axes are measured alike, an axis behind them by itself.
    assert np.ptp(polynomials.reach) == 0
    more = Polynomials.over(np.column_stack([logs, np.log(generator.uniform(0.5, 1, 200_000))]))
    assert more.reach[3] == pytest.approx(0.5, rel=0.01)


def test_the_noise_of_seeds_is_pooled_over_the_repeated() -> None:
    generator = np.random.default_rng(3)
    logs = cube(200)
    accuracy = tuple(
        0.8 + 0.01 * generator.standard_normal(3 if n < 150 else 1) for n in range(200)
    )
    posterior = infer(Observations(logs, accuracy, 1000), 200, 0)
    assert posterior.noise == pytest.approx(0.01, rel=0.08)
    assert posterior.scale("network") < 0.02  # there is none


def test_what_is_a_networks_own_is_told_from_the_noise_of_seeds() -> None:
    generator = np.random.default_rng(4)
    logs = cube(200)
    accuracy = tuple(
        expit(1.5 + 0.1 * generator.standard_normal() + 0.02 * generator.standard_normal(2))
        for _ in range(200)
    )
    posterior = infer(Observations(logs, accuracy, 10**6), 200, 0)
    assert posterior.scale("network") == pytest.approx(0.1, rel=0.2)
    assert posterior.scale("seed") == pytest.approx(0.02, rel=0.2)


# Leave-one-out errors of efficientnet.md's reference fit, a quadratic, in top-1 points.
@pytest.mark.parametrize(
    ("name", "points", "reference"), [("mnasnet_a1", 25, 0.465), ("mobilenet_v2", 22, 0.652)]
)
def test_published_grids(name: str, points: int, reference: float) -> None:
    assert name in GRIDS
    grid = read_grid(name)
    assert len(grid.accuracy) == points
    observations = Observations(grid.logs, tuple(grid.accuracy[:, None]), IMAGES)
    assert 100 * infer(observations, 100, 0, powers=(2.0, 2.0)).leave_one_out <= reference


def test_published_grids_are_the_printed_ones() -> None:
    a1, v2 = (read_grid(name) for name in ("mnasnet_a1", "mobilenet_v2"))
    own = (np.abs(a1.logs) < 1e-9).all(1)
    assert (a1.accuracy[own], a1.macs[own]) == (pytest.approx(0.752), pytest.approx(315.2e6))
    # A row whose columns disagree: 52.3 would be below the same network at 128 px.
    row = np.isclose(a1.logs, np.log([0.35, 160 / 224])).all(1)
    assert a1.accuracy[row] == pytest.approx(0.593)
    assert v2.accuracy.min() == pytest.approx(0.455)
    assert v2.accuracy.max() == pytest.approx(0.750)


def test_a_flat_surface_is_told_from_nothing_and_a_steep_one_from_all() -> None:
    candidates = contour()
    rivals = {"depth": candidates[-1], "width": np.log([1, 2**0.5, 1])}
    logs = cube(72)
    flat = infer(observed(np.full(72, 0.8), logs, noise=0.01, images=1000), 500, 0)
    found = find_optimum(flat, candidates, rivals)
    assert all(each.indistinguishable for each in found.versus.values())
    assert found.region.mean() > 0.9
    # Depth does everything.
    steep = observed(np.asarray(expit(1 + logs[:, 0])), logs, noise=0.002, images=1000)
    steps = np.log([1.25, 1.1, 1.2])
    found = find_optimum(infer(steep, 500, 0), candidates, rivals, steps=steps)
    assert np.exp(found.logs) == pytest.approx([2, 1, 1], abs=0.05)
    assert found.versus["width"].probability == 1
    assert not found.versus["width"].indistinguishable
    assert found.region.mean() < 0.2
    assert found.region[found.index]
    # All surfaces agree that width and resolution stay: nothing was seen up to the next step.
    assert np.exp(found.intervals[1:]) == pytest.approx(np.array([[1, 1.1], [1, 1.2]]))


def test_a_rival_that_is_the_choice_is_no_better_or_worse() -> None:
    candidates, logs = contour(), cube(72)
    posterior = infer(observed(bowl(logs), logs, noise=0.005), 200, 0)
    best = find_optimum(posterior, candidates, {}).logs
    versus = find_optimum(posterior, candidates, {"same": best}).versus["same"]
    assert versus.probability == 0.5
    assert (versus.difference, *versus.interval) == pytest.approx((0, 0, 0), abs=1e-9)
    assert versus.indistinguishable
    assert versus.alike


def test_the_papers_triple_is_left_for_what_gains_more_than_it_is_unsure() -> None:
    """A gain that is sure, and a larger one that may be luck."""
    generator = np.random.default_rng(0)
    reference = generator.normal(0.8, 0.01, 4000)
    sure, luck = reference + 0.002, reference + generator.normal(0.0025, 0.01, 4000)
    assert choose(np.column_stack([reference, luck, sure]), reference) == 2
    assert choose(np.column_stack([reference, luck]), reference) == 0
    assert choose(np.column_stack([reference, luck]), None) == 1

    # Where nothing is known the choice stays near the paper's; where much is, it is the best.
    candidates, logs = contour(), cube(24)
    paper = direction("compound") * np.log(2) / (direction("compound") @ np.array([1.0, 2.0, 2.0]))
    rivals = {"paper": paper}
    away: dict[str, list[float]] = {"cautious": [], "not": []}
    for seed in range(6):
        flat = infer(observed(np.full(24, 0.8), logs, 0.01, seed, images=1000), 300, 0)
        for name, each in (("cautious", rivals), ("not", {})):
            found = find_optimum(flat, candidates, each).logs
            away[name].append(float(np.abs(found - paper).max()))
    assert np.mean(away["cautious"]) < 0.75 * np.mean(away["not"])
    steep = observed(np.asarray(expit(1 + logs[:, 0])), logs, noise=0.002, images=1000)
    found = find_optimum(infer(steep, 500, 0), candidates, rivals).logs
    assert np.exp(found) == pytest.approx([2, 1, 1], abs=0.05)


def test_the_same_seed_gives_the_same_intervals() -> None:
    candidates, logs = contour(), cube(40)
    observations = observed(bowl(logs), logs, noise=0.01)
    first, again, other = (
        find_optimum(infer(observations, 200, seed), candidates, {}).intervals for seed in (1, 1, 2)
    )
    assert (first == again).all()
    assert (first != other).any()


def test_more_networks_say_more() -> None:
    widths = []
    for number in (12, 100):
        logs = cube(number)
        posterior = infer(observed(bowl(logs), logs, noise=0.004, images=1000), 300, 0)
        widths.append(np.ptp(find_optimum(posterior, contour(), {}).intervals, axis=1).mean())
    assert widths[1] < 0.7 * widths[0]


@pytest.mark.slow
def test_coverage_of_the_intervals(monkeypatch: pytest.MonkeyPatch) -> None:
    """A shorter results/benchmarks/fit_coverage.py."""
    folder = ROOT / "results" / "benchmarks"
    monkeypatch.syspath_prepend(str(folder))  # as for a script that is run
    script = runpy.run_path(str(folder / "fit_coverage.py"))
    lattice, contour = script["prepare"](script["SMALL"])
    for surface in script["SURFACES"]:
        arguments = script["parse"](["--repeats", "40"])
        found = script["measure"](surface, 24, arguments, lattice, contour)
        # Of 40 at 95%, 3 standard errors.
        assert all(share >= 0.84 for share in found.coverage.values()), (surface, found.coverage)
        assert found.holds.mean() >= 0.84


def test_members_of_another_schedule_say_what_lies_beyond() -> None:
    """The surface bends beyond the design, and lies higher for what was trained for good."""

    def bent(points: Floats) -> Floats:
        cost = doublings(points)
        return np.asarray(1.0 + 0.3 * cost - 0.15 * np.maximum(cost - 1.5, 0))

    missed: dict[str, list[float]] = {"design": [], "both": []}
    held: list[bool] = []
    for seed in range(6):
        draw = np.random.default_rng(seed)
        near = draw.uniform(-0.5, 0.75, (24, 3)) * np.log(2) / np.array([1.0, 2.0, 2.0])
        far = np.outer([0, 1.5, 2.4, 3.2], np.log(2) / np.array([3.0, 6.0, 6.0]))

        def reached(points: Floats, more: float, draw: np.random.Generator) -> list[Floats]:
            return list(expit(bent(points) + more + draw.normal(0, 0.02, len(points)))[:, None])

        short, long = reached(near, 0.0, draw), reached(far, 0.7, draw)
        alone = infer(Observations(near, tuple(short), 1000), 400, seed)
        both = infer(
            Observations(
                np.vstack([near, far[:3]]), (*short, *long[:3]), 1000, (*[0] * 24, *[1] * 3)
            ),
            400,
            seed,
        )
        truth = bent(far[3:])[0] - bent(far[:1])[0]
        for name, posterior, schedule in (("design", alone, 0), ("both", both, 1)):
            last, first = (logit(posterior.predict(far[[at]], schedule)[:, 0]) for at in (3, 0))
            gains = last - first
            missed[name].append(abs(float(gains.mean()) - truth))
        held.append(bool(np.quantile(gains, 0.025) <= truth <= np.quantile(gains, 0.975)))
        level = logit(both.predict(far[:1], 1)).mean() - logit(both.predict(far[:1])).mean()
        assert level == pytest.approx(0.7, abs=0.15)
    assert np.mean(missed["both"]) < 0.7 * np.mean(missed["design"])
    assert sum(held) >= 5
