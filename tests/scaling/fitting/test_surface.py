"""Surfaces: known coefficients found, published grids, leave-one-out by hand, the bootstrap."""

import runpy

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy.special import expit, logit

from scaling.compound import ScalingError
from scaling.fitting.choice import FORMS, choose_form, enough, usable_forms
from scaling.fitting.observations import Observations, Sample, quadratic_features
from scaling.fitting.optimum import find_optimum
from scaling.published import GRIDS, IMAGES, read_grid
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
    assert quadratic_features(np.array([[2.0, 3.0]]), unsquared=(1,)).tolist() == [[1, 2, 3, 4, 6]]


@pytest.mark.parametrize("form", list(FORMS))
def test_known_coefficients_are_found(form: str) -> None:
    best = np.log(2) * np.array([0.4, 0.15, 0.15])

    def additive(logs: Floats) -> Floats:
        # Stationary under the cost d·w²·r² where p·a·d^−p : q·b·w^−q : s·c·r^−s = 1 : 2 : 2.
        powers = np.array([0.6, 1.0, 1.0])
        factors = 0.05 * np.array([1.0, 2.0, 2.0]) / powers * np.exp(powers * best)
        return np.asarray(0.95 - (factors * np.exp(-powers * logs)).sum(1))

    truth = additive if form == "additive" else bowl
    logs = cube(80)
    choice = choose_form(observed(truth(logs), logs, images=10**7), [form])
    found = find_optimum(observed(truth(logs), logs, images=10**7), choice, contour(), {}, 100, 0)
    assert found.logs == pytest.approx(best, abs=0.02 if form != "gp" else 0.06)
    assert choice.errors[form] < (1e-4 if form != "gp" else 2e-3)


@pytest.mark.parametrize("form", list(FORMS))
def test_leave_one_out_is_what_leaving_one_out_gives(form: str) -> None:
    """The closed formulas against refitting without each network, which the weights say by 0."""
    logs = cube(26)
    observations = observed(bowl(logs), logs, noise=0.01)
    made = FORMS[form](observations)
    whole = made.fit(observations.itself()).leave_one_out()[0]
    counts = 1 - np.eye(len(logs))
    others = made.fit(Sample(counts, np.tile(observations.mean, (len(logs), 1))))
    predicted = np.diag(others.predict(logs))
    errors = predicted - observations.mean
    assert whole == pytest.approx(np.sqrt(np.mean(errors**2)), rel=0.02)


@pytest.mark.parametrize("form", list(FORMS))
def test_a_network_drawn_twice_is_a_network_twice(form: str) -> None:
    logs = cube(20)
    observations = observed(bowl(logs), logs, noise=0.01)
    made = FORMS[form](observations)
    counts = np.ones((1, 20))
    counts[0, 3] = 2
    fitted = made.fit(Sample(counts, observations.mean[None]))
    same = made.fit(Sample(np.vstack([counts, counts]), np.tile(observations.mean, (2, 1))))
    assert same.predict(logs)[1] == pytest.approx(fitted.predict(logs)[0])
    once = made.fit(observations.itself())
    nearer = abs(fitted.predict(logs)[0, 3] - observations.mean[3])
    assert nearer <= abs(once.predict(logs)[0, 3] - observations.mean[3]) + 1e-9


def test_the_quadratic_is_weighted_least_squares() -> None:
    logs = cube(30, 2)
    observations = observed(np.asarray(expit(logs @ [1.0, 2.0] + 1)), logs, noise=0.02, images=500)
    fitted = FORMS["quadratic"](observations).fit(observations.itself())
    weights = observations.weights * observations.slope**2
    roots = np.sqrt(weights)[:, None]
    features = quadratic_features(logs)
    expected = np.linalg.lstsq(
        features * roots, logit(observations.mean) * roots[:, 0], rcond=None
    )[0]
    assert fitted.predict(logs)[0] == pytest.approx(expit(features @ expected), abs=1e-6)


def test_the_noise_of_seeds_is_pooled_over_the_repeated() -> None:
    generator = np.random.default_rng(3)
    logs = cube(400)
    accuracy = tuple(
        0.8 + 0.01 * generator.standard_normal(3 if n < 300 else 1) for n in range(400)
    )
    observations = Observations(logs, accuracy, 1000)
    # 0.01² against 0.8·0.2/1000.
    assert observations.dispersion == pytest.approx(1e-4 / 1.6e-4, rel=0.1)
    assert observations.noise == pytest.approx(0.01, rel=0.05)
    assert observations.misfit == pytest.approx(0, abs=1e-3)
    assert Observations(logs, tuple(each[:1] for each in accuracy), 1000).dispersion == 1


def test_misfit_is_the_variance_that_seeds_do_not_explain() -> None:
    generator = np.random.default_rng(4)
    logs = cube(400)
    values = expit(1.5 + 0.1 * generator.standard_normal(400))
    observations = Observations(logs, tuple(np.array([v]) for v in values), 10**6)
    assert observations.misfit == pytest.approx(0.01, rel=0.2)


# efficientnet.md's reference fit of the same grids, and MobileNetV2's, in top-1 points.
@pytest.mark.parametrize(
    ("name", "points", "quadratic", "best"),
    [("mnasnet_a1", 25, 0.465, 0.465), ("mobilenet_v2", 22, 0.652, 0.652)],
)
def test_published_grids(name: str, points: int, quadratic: float, best: float) -> None:
    assert name in GRIDS
    grid = read_grid(name)
    assert len(grid.accuracy) == points
    observations = Observations(grid.logs, tuple(grid.accuracy[:, None]), IMAGES)
    choice = choose_form(observations, list(FORMS))
    assert 100 * choice.errors["quadratic"] == pytest.approx(quadratic, abs=0.002)
    assert 100 * choice.errors[choice.chosen] <= best


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
    flat = observed(np.full(72, 0.8), logs, noise=0.01, images=1000)
    found = find_optimum(flat, choose_form(flat, ["quadratic"]), candidates, rivals, 500, 0)
    assert all(each.indistinguishable for each in found.versus.values())
    assert found.region.mean() > 0.9
    # Depth does everything.
    steep = observed(np.asarray(expit(1 + logs[:, 0])), logs, noise=0.002, images=1000)
    found = find_optimum(steep, choose_form(steep, ["quadratic"]), candidates, rivals, 500, 0)
    assert np.exp(found.logs) == pytest.approx([2, 1, 1], abs=0.05)
    assert found.versus["width"].probability == 1
    assert not found.versus["width"].indistinguishable
    assert found.region.mean() < 0.2
    assert found.region[found.index]


def test_a_rival_that_is_the_choice_is_no_better_or_worse() -> None:
    candidates, logs = contour(), cube(72)
    observations = observed(bowl(logs), logs, noise=0.005)
    choice = choose_form(observations, ["quadratic"])
    best = find_optimum(observations, choice, candidates, {}, 200, 0).logs
    versus = find_optimum(observations, choice, candidates, {"same": best}, 200, 0).versus["same"]
    assert versus.probability == 0.5
    assert (versus.difference, *versus.interval) == pytest.approx((0, 0, 0), abs=1e-9)
    assert versus.indistinguishable


def test_the_same_seed_gives_the_same_intervals() -> None:
    candidates, logs = contour(), cube(40)
    observations = observed(bowl(logs), logs, noise=0.01)
    choice = choose_form(observations, list(FORMS))
    first, again, other = (
        find_optimum(observations, choice, candidates, {}, 200, seed).intervals
        for seed in (1, 1, 2)
    )
    assert (first == again).all()
    assert (first != other).any()


def test_seeds_are_resampled_within_their_network() -> None:
    observations = Observations(
        cube(12), tuple(np.array([0.5, 0.7]) if n == 0 else np.array([0.6]) for n in range(12)), 100
    )
    sample = observations.resample(4000, np.random.default_rng(0))
    assert sample.counts.sum(1) == pytest.approx(12)
    assert sample.counts.mean(0) == pytest.approx(1, abs=0.1)
    assert sample.counts.std(0) == pytest.approx((11 / 13) ** 0.5, abs=0.1)  # Dirichlet's
    # 0.5 + 0.2·u, u uniform: the share of two exponentials.
    assert sample.accuracy[:, 0].min() < 0.505
    assert sample.accuracy[:, 0].mean() == pytest.approx(0.6, abs=0.005)
    assert sample.accuracy[:, 0].std() == pytest.approx(0.2 / 12**0.5, rel=0.05)
    assert (sample.accuracy[:, 1:] == 0.6).all()


@pytest.mark.parametrize(
    ("form", "networks", "axes", "message"),
    [
        ("quadratic", 12, 3, "12 different networks are too few for fit.form=quadratic"),
        ("additive", 9, 3, "expected 10 or more"),
        (None, 5, 3, "too few for a surface in 3 dimensions; expected 10"),
        ("additive", 50, 4, "has no place for fit.epochs"),
    ],
)
def test_too_few_networks(form: str | None, networks: int, axes: int, message: str) -> None:
    with pytest.raises(ScalingError, match=message):
        usable_forms(form, networks, axes)


def test_forms_that_few_networks_cannot_tell_are_left_out() -> None:
    assert usable_forms(None, enough("quadratic", 3), 3) == list(FORMS)
    assert usable_forms(None, enough("quadratic", 3) - 1, 3) == ["additive", "gp"]


def test_networks_of_two_depths_tell_no_curvature() -> None:
    logs = cube(30)
    logs[:, 0] = np.where(logs[:, 0] > 0, 0.5, 0.0)
    with pytest.raises(ScalingError, match="2 depths, 30 widths, 30 resolutions: too few"):
        choose_form(observed(bowl(logs), logs), ["quadratic"])
    # The others can do without.
    assert "quadratic" not in choose_form(observed(bowl(logs), logs), list(FORMS)).errors


@pytest.mark.slow
def test_coverage_of_the_intervals(monkeypatch: pytest.MonkeyPatch) -> None:
    """A shorter results/benchmarks/fit_coverage.py, with the form chosen each time."""
    folder = ROOT / "results" / "benchmarks"
    monkeypatch.syspath_prepend(str(folder))  # as for a script that is run
    script = runpy.run_path(str(folder / "fit_coverage.py"))
    for surface in ("additive", "quadratic"):
        covered = script["measure"](surface, repeats=40)
        # Of 40 at 95%, 3 standard errors.
        assert all(0.84 <= share <= 1 for share in covered.values()), covered
