"""Tables and benchmarks: a pool is searched, every evaluation is feasible and new."""

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from blocks.arch import parse_arch
from blocks.cost import count
from search.benchmark import BenchmarkConfig, make_problem, regrets, search_pool
from search.errors import ConfigError, StudyError
from search.table import Pool, Table, feasible_rows, read_table
from tests.conftest import Cli, one_line_error

SPELLING = "r32-s16-[ds_r{r}_k{k}_s1_e1_c16|ir_r{r2}_k{k2}_s2_e{e}_c24{se}]-h64"
ANB = Path(__file__).parents[3] / "shared" / "data" / "accel-nasbench" / "anb_5138.csv.gz"


@pytest.fixture(scope="module")
def table_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """All 216 networks of a small space, with an accuracy whose best is known by its formula."""
    path = tmp_path_factory.mktemp("table") / "table.jsonl"
    lines = []
    for r in (1, 2, 3):
        for k in (3, 5):
            for r2 in (1, 2, 3):
                for k2 in (3, 5):
                    for e in (2, 4, 6):
                        for se in ("", "_se0.25"):
                            spelling = SPELLING.format(r=r, k=k, r2=r2, k2=k2, e=e, se=se)
                            accuracy = 0.5 + 0.02 * r + 0.03 * np.log(e * r2) + 0.004 * k2
                            accuracy += 0.01 * bool(se) - 0.003 * (k == 5) * r
                            lines.append({"arch": spelling, "val_accuracy": accuracy})
    path.write_text("".join(json.dumps(line) + "\n" for line in lines))
    return path


@pytest.fixture(scope="module")
def table(table_file: Path) -> Table:
    return read_table(str(table_file), num_classes=10)


def test_a_table_names_what_varies_and_counts_costs(table: Table) -> None:
    assert set(table.choices) == {
        *(f"stage{number}.{name}" for number in (1, 2) for name in ("repeats", "kernel")),
        "stage2.expand_ratio",
        "stage2.se_ratio",
    }
    assert len(table.archs) == 216
    for row in (0, 100, 215):
        assert table.metrics["macs"].iloc[row] == count(table.archs[row], 10).macs


def test_a_pool_finds_every_row_and_no_other(table: Table) -> None:
    rows = feasible_rows(table, ["val_accuracy"], "macs", 0, 1e6)
    pool = Pool(table, rows)
    assert 0 < len(pool) < 216
    assert list(pool.positions(pool.codes)) == list(range(len(pool)))
    outside = np.setdiff1d(np.arange(216), rows)
    assert (pool.positions(table.codes[outside]) == -1).all()
    for position in (0, len(pool) - 1):
        code = pool.encode(pool.decode(pool.codes[position]))
        assert code is not None
        assert (code == pool.codes[position]).all()


@pytest.mark.parametrize("sampler", ["surrogate", "tpe", "gp", "nsga2", "evolution", "random"])
@pytest.mark.parametrize("objectives", [["val_accuracy"], ["val_accuracy", "-macs"]])
def test_every_evaluation_is_feasible_and_new(
    table: Table, sampler: str, objectives: list[str]
) -> None:
    config = BenchmarkConfig(objectives=objectives, evaluations=24)
    config.budget.max = "1M"
    problem = make_problem(table, config)
    positions = list(search_pool(problem, sampler, 0, 24))
    assert len(set(positions)) == 24
    assert all(count(table.archs[problem.pool.rows[at]], 10).macs <= 1e6 for at in positions)
    if sampler != "gp":  # whose proposals follow L-BFGS, to its own tolerance
        assert positions == list(search_pool(problem, sampler, 0, 24))
    curve = regrets(problem, positions)
    assert (np.diff(curve) <= 1e-12).all()
    assert curve[-1] >= -1e-12


def test_the_surrogate_finds_the_best_of_a_smooth_table(table: Table) -> None:
    config = BenchmarkConfig(evaluations=40)
    problem = make_problem(table, config)
    for seed in range(3):
        assert regrets(problem, list(search_pool(problem, "surrogate", seed, 40)))[-1] == 0


def test_a_whole_pool_has_no_regret(table: Table) -> None:
    for objectives in (["val_accuracy"], ["val_accuracy", "-macs"]):
        problem = make_problem(table, BenchmarkConfig(objectives=objectives))
        assert regrets(problem, range(len(problem.pool)))[-1] == pytest.approx(0, abs=1e-12)


def test_the_command_ends_with_a_table_and_goes_on(
    cli: Cli, table_file: Path, tmp_path: Path
) -> None:
    command = ["search", "benchmark", f"table.path={table_file}", "table.num_classes=10"]
    command += ["samplers=[surrogate,random]", "longer={random: 30}", "evaluations=20"]
    cli(*command, "seeds=2")
    folder = tmp_path / "results" / "benchmark"
    first = (folder / "runs.jsonl").read_text()
    assert len(first.splitlines()) == 4
    assert "going on with 4 of 6 runs" in cli(*command, "seeds=3").stdout
    assert (folder / "runs.jsonl").read_text().startswith(first)
    summary = pd.read_csv(folder / "summary.csv").set_index("sampler")
    assert summary["area"]["surrogate"] < summary["area"]["random"]
    assert (folder / "benchmark.png").stat().st_size > 10_000
    refused = cli(*command, "seeds=3", "budget.max=3M", check=None)
    assert "budget" in one_line_error(refused)


def test_wrong_settings_are_one_line(cli: Cli, table_file: Path) -> None:
    path = f"table.path={table_file}"
    for settings, said in (
        ([], "table.path is missing"),
        (["table.path=none.csv"], "none.csv is not a file"),
        ([path, "objectives=[acuracy]"], "did you mean 'val_accuracy'"),
        ([path, "samplers=[tpo]"], "samplers=tpo is unknown"),
        ([path, "budget.max=5"], "leaves 0 of the table's 216"),
        ([path, "table.adapter=anb"], "table.adapter=anb is unknown"),
    ):
        assert said in one_line_error(cli("search", "benchmark", *settings, check=None))


def test_a_file_of_ones_own_is_an_adapter(tmp_path: Path) -> None:
    (tmp_path / "digits.py").write_text(
        "def read(path):\n"
        "    for line in path.read_text().splitlines():\n"
        "        digits, accuracy = line.split()\n"
        "        stages = '|'.join(f'ir_r1_k{k}_s2_e{e}_c16' for k, e in "
        "zip(digits[::2], digits[1::2]))\n"
        "        yield f'r32-s16-[{stages}]-h64', {'val_accuracy': float(accuracy)}\n"
    )
    (tmp_path / "table.txt").write_text("3454 0.7\n5434 0.8\n3434 0.6\n")
    table = read_table(str(tmp_path / "table.txt"), str(tmp_path / "digits.py"))
    assert table.archs[0] == parse_arch("r32-s16-[ir_r1_k3_s2_e4_c16|ir_r1_k5_s2_e4_c16]-h64")
    (tmp_path / "table.txt").write_text("3454 0.7\n5\n")
    with pytest.raises(StudyError, match="cannot be read"):
        read_table(str(tmp_path / "table.txt"), str(tmp_path / "digits.py"))
    (tmp_path / "empty.py").write_text("")
    with pytest.raises(ConfigError, match="cannot be used"):
        read_table(str(tmp_path / "table.txt"), str(tmp_path / "empty.py"))


@pytest.mark.skipif(not ANB.exists(), reason="Accel-NASBench is not part of the project")
def test_accel_nasbench_has_our_parameters() -> None:
    table = read_table(str(ANB), "accel_nasbench")
    frame = pd.read_csv(ANB)
    assert len(table.archs) == 5125  # 13 records are of networks that were trained twice
    counted = np.sort(table.metrics["params"].to_numpy())
    reported = np.sort(np.unique(np.round(frame["params_m"] * 1e6).to_numpy()))
    assert np.isin(reported, counted).all()
