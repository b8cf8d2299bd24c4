"""Whether the proxy can be trusted: known answers on simulated networks, and the real commands."""

import json
import math
import re
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from search.assess.pace import expected_epochs
from search.assess.power import architectures_for, least_tau, null_band
from search.assess.trust import Trust, judge
from search.config.schema import RunConfig
from search.study.memory import rungs
from tests.conftest import Cli, one_line_error
from tests.search.config.test_checks import config_of


def simulated(number: int, proxy_noise: float, long_noise: float, seed: int) -> pd.DataFrame:
    """Networks of known quality (deviation 1), measured with known noise."""
    generator = np.random.default_rng(seed)
    quality = generator.standard_normal(number)
    return pd.DataFrame(
        {
            "proxy": quality + proxy_noise * generator.standard_normal(number),
            "long": quality + long_noise * generator.standard_normal(number),
            "params": generator.permutation(number) + 1,
            "macs": generator.permutation(number) + 1,
        }
    )


def test_the_ceiling_is_what_a_perfect_proxy_reaches_under_noise() -> None:
    for noise in (0.3, 0.7, 1.0):
        table = simulated(1500, noise, noise / 2, seed=1)
        trust = judge(table, noise**2, (noise / 2) ** 2)
        assert trust.correlation.tau == pytest.approx(trust.ceiling_tau, abs=0.04)
        assert trust.correlation.rho == pytest.approx(trust.ceiling_rho, abs=0.04)
        expected = 1 / (1 + noise**2)
        assert trust.reliability[0] == pytest.approx(expected, abs=0.05)


def test_recall_and_regret_by_hand() -> None:
    table = pd.DataFrame(
        {
            "proxy": [0.5, 0.9, 0.8, 0.4, 0.3, 0.2, 0.1, 0.05, 0.04, 0.03],
            "long": [0.6, 0.7, 0.9, 0.5, 0.4, 0.3, 0.2, 0.1, 0.09, 0.95],
            "params": range(10),
            "macs": range(10),
        }
    )
    trust = judge(table, 0.0, 0.0)
    assert trust.top_k == 2
    assert trust.top_recall == 0.5
    assert trust.regret == pytest.approx(0.25)
    assert trust.ceiling_tau == trust.ceiling_rho == pytest.approx(1.0)


def test_verdicts_follow_the_evidence() -> None:
    def verdict(table: pd.DataFrame) -> str:
        trust: Trust = judge(table, 0.0, 0.0)
        return trust.verdict

    assert verdict(simulated(60, 0.1, 0.1, seed=2)).startswith("go: ")
    assert verdict(simulated(200, 50.0, 1.0, seed=3)).startswith("no-go: ")
    assert verdict(simulated(6, 1.5, 1.5, seed=6)).startswith("undecided: ")
    chance = simulated(20, 0.1, 0.1, seed=2)
    chance["proxy"] = 0.1
    assert verdict(chance).startswith("no-go: the proxy, or the long schedule, gives all")
    by_size = simulated(60, 0.0, 0.0, seed=5)
    by_size["params"] = by_size["macs"] = by_size["long"].rank()
    assert verdict(by_size).startswith("go, with care: ")


def test_bands_of_tau_are_those_of_the_literature_and_of_simulation() -> None:
    for number, band in ((10, 0.49), (20, 0.32), (30, 0.25)):
        assert null_band(number) == pytest.approx(band, abs=0.005)
    assert least_tau(24) <= 0.5 < least_tau(12)
    for tau in (0.3, 0.5, 0.7):
        number = architectures_for(tau)
        assert least_tau(number) <= tau < least_tau(number - 1)
    generator = np.random.default_rng(7)
    correlation = math.sin(math.pi * 0.5 / 2)  # Greiner: tau = 0.5
    told = 0
    number = architectures_for(0.5)
    for _ in range(400):
        x, noise = generator.standard_normal((2, number))
        y = correlation * x + math.sqrt(1 - correlation**2) * noise
        pairs = np.sign(np.subtract.outer(x, x) * np.subtract.outer(y, y))
        tau = pairs.sum() / (number * (number - 1))
        told += abs(tau) > null_band(number)
    assert told / 400 >= 0.77


def test_halving_makes_a_mean_candidate_cheaper() -> None:
    config: RunConfig = config_of("proxy.epochs=9", "search.min_epochs=1")
    assert rungs(config) == (1, 3, 9)
    assert expected_epochs(config) == pytest.approx((1 + 2 / 3 + 6 / 9, 1 + 1 / 3 + 1 / 9))
    assert rungs(config_of("proxy.epochs=12")) == (4, 12)
    assert expected_epochs(config_of("proxy.epochs=9", "search.pruner=none")) == (9, 1)
    # 300 trials of Optuna's own Hyperband took 4.28 epochs in the mean.
    hyperband, _ = expected_epochs(
        config_of("proxy.epochs=9", "search.min_epochs=1", "search.pruner=hyperband")
    )
    assert hyperband == pytest.approx((9 * (1 + 2 / 3 + 6 / 9) + 5 * (3 + 6 / 3) + 3 * 9) / 17)


@pytest.mark.slow
def test_fidelity_of_a_real_proxy(cli: Cli, tmp_path: Path, digits_settings: list[str]) -> None:
    settings = [*digits_settings, "fidelity.architectures=5", "fidelity.epochs=2",
                "fidelity.seeds=2", "fidelity.repeated=2"]  # fmt: skip
    shown = cli("search", "fidelity", *settings).stdout
    study = tmp_path / "results" / "main"
    table = pd.read_csv(study / "fidelity.csv")
    assert len(table) == table["arch"].nunique() == 5
    assert (table["macs"] <= 100_000).all()
    assert table["proxy_std"].notna().sum() == 2
    report = json.loads((study / "fidelity.json").read_text())
    assert report["verdict"] in shown
    assert (report["proxy_epochs"], report["long_epochs"], report["top_k"]) == (1, 2, 1)
    assert (study / "fidelity.png").read_bytes().startswith(b"\x89PNG")
    lines = (study / "fidelity.jsonl").read_text().splitlines(keepends=True)
    assert len(lines) == 14  # (2 + 1 + 1 + 1 + 2) of each schedule

    # Cut short, it trains what is missing, and says the same.
    (study / "fidelity.jsonl").write_text("".join(lines[:9]) + '{"torn')
    cli("search", "fidelity", *settings)
    again = json.loads((study / "fidelity.json").read_text())
    assert {**again, "command": ""} == {**report, "command": ""}
    # The search of the same study goes on in this folder.
    cli("search", "run", *settings, "search.trials=2", "search.final_epochs=1")
    refused = one_line_error(cli("search", "fidelity", "fidelity.epochs=4", check=None))
    assert "fidelity.epochs=4 is too small; expected 13 or more" in refused


def test_a_plan_is_printed_and_leaves_nothing(
    cli: Cli, tmp_path: Path, digits_settings: list[str]
) -> None:
    shown = cli("search", "plan", *digits_settings, "search.controls=2").stdout
    for line in ("6 trials, 2 at once", "2 controls", "in all", "GiB a worker"):
        assert line in shown
    assert re.search(r"least tau that n=24 separates from 0 with 80% power\W+0\.41", shown), shown
    assert re.search(r"separate tau=0\.5 from 0\W+n=1[0-9]", shown), shown
    assert not list(tmp_path.iterdir())
