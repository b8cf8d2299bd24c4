"""Tables and benchmarks: a pool is searched, every evaluation is feasible and new."""

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from blocks.arch import ArchSpec, format_arch, parse_arch
from blocks.cost import count
from blocks.errors import ArchError
from search.benchmark.config import BenchmarkConfig, TableBudgetConfig
from search.benchmark.fill import fill_table
from search.benchmark.pool import Pool, feasible_rows
from search.benchmark.problem import make_problem, regrets
from search.benchmark.runs import search_pool
from search.benchmark.table import COSTS, Table, read_table
from search.errors import ConfigError, StudyError
from tests.conftest import Cli, Refuse, one_line_error

SPELLING = "r32-s16-[ds_r{r}_k{k}_s1_e1_c16|ir_r{r2}_k{k2}_s2_e{e}_c24{se}]-h64"
EXAMPLE = Path(__file__).parents[3] / "results" / "examples" / "digit_strings.py"
ANB = Path(__file__).parents[4] / "shared" / "data" / "accel-nasbench" / "anb_5138.csv.gz"


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


def some_lines(path: Path, number: int) -> str:
    lines = path.read_text().splitlines(keepends=True)
    return "".join(np.random.default_rng(0).permutation(lines)[:number])


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
    config = BenchmarkConfig(
        objectives=objectives, evaluations=24, longer={}, budget=TableBudgetConfig(max="1M")
    )
    problem = make_problem(table, config)
    positions = list(search_pool(problem, sampler, 0, 24))
    assert len(set(positions)) == 24
    assert all(count(table.archs[problem.pool.rows[at]], 10).macs <= 1e6 for at in positions)
    if sampler != "gp":  # whose proposals follow L-BFGS, to its own tolerance
        assert positions == list(search_pool(problem, sampler, 0, 24))
    curve = regrets(problem, positions)
    assert (np.diff(curve) <= 1e-12).all()
    assert curve[-1] >= -1e-12


def test_a_code_is_an_architecture(table: Table) -> None:
    assert tuple(table.decode(code) for code in table.codes) == table.archs
    assert (table.encode(table.archs) == table.codes).all()


def test_codes_of_networks_of_different_depths_and_blocks(tmp_path: Path) -> None:
    """Stages that some lack, a field that follows another, blocks that are a choice of their own,
    combinations that no network has."""
    spellings = [
        "r32-s16-[ds_r1_k3_s1_e1_c16]-h64",
        "r32-s16-[ir_r2_k5_s1_e4_c16|ir_r1_k3_s2_e6_c24]-h64",
        "r32-s16-[er_r2_k5_s1_e4_c16|ir_r3_k5_s2_e4_c24_se0.25]-h64-nre",
        "r32-s16-[ir_r1_k3_s1_e4_c16_noskip|er_r1_k3_s2_e4_c24|ir_r2_k3_s2_e6_c40]-h64",
    ]
    lines = [json.dumps({"arch": arch, "val_accuracy": 0.5}) for arch in spellings]
    (tmp_path / "table.jsonl").write_text("\n".join(lines) + "\n")
    table = read_table(str(tmp_path / "table.jsonl"))
    assert [format_arch(table.decode(code)) for code in table.codes] == spellings
    assert (table.encode(table.archs) == table.codes).all()
    # Where the third stage is there, so is all that follows from its repeats.
    assert {"stage3.repeats"} <= table.choices.keys() | table.follows.keys()
    sizes = [len(values) for values in table.choices.values()]
    found: set[ArchSpec] = set()
    refused = 0
    for code in np.random.default_rng(0).integers(0, sizes, (500, len(sizes))).astype(float):
        try:
            arch = table.decode(code)
        except ArchError:
            refused += 1  # a depthwise-separable block with an expansion
        else:
            found.add(arch)
            assert table.decode(table.encode([arch])[0]) == arch
    assert refused > 0
    assert {len(arch.stages) for arch in found} == {1, 2, 3}


def test_the_surrogate_finds_the_best_of_a_smooth_table(table: Table) -> None:
    config = BenchmarkConfig(evaluations=40, longer={})
    problem = make_problem(table, config)
    for seed in range(3):
        assert regrets(problem, list(search_pool(problem, "surrogate", seed, 40)))[-1] == 0


def test_a_whole_pool_has_no_regret(table: Table) -> None:
    for objectives in (["val_accuracy"], ["val_accuracy", "-macs"]):
        problem = make_problem(table, BenchmarkConfig(objectives=objectives, longer={}))
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


def test_a_filled_table_predicts_what_it_has_not_seen(table_file: Path, tmp_path: Path) -> None:
    """Half of a whole space, whose other half the formula knows."""
    (tmp_path / "half.jsonl").write_text(some_lines(table_file, 108))
    half = read_table(str(tmp_path / "half.jsonl"), num_classes=10)
    whole = read_table(str(table_file), num_classes=10)
    frame, fits = fill_table(
        half, ["val_accuracy", "macs"], 30, lambda f: (f["macs"] <= 1e6).to_numpy(), 10, seed=0
    )
    assert [fit.metric for fit in fits] == ["val_accuracy"]  # macs are counted
    assert len(frame) == len(set(frame.index)) == len(half.archs) + 30
    assert (frame["trained"] == frame.index.isin(half.metrics.index)).all()
    further = frame[frame["trained"] == 0]
    assert (further["macs"] <= 1e6).all()
    truth = whole.metrics.loc[frame.index]
    for name in COSTS:
        assert (frame[name] == truth[name]).all()
    # What cross-validation said of the fit holds for networks that are in no fold.
    error = (further["val_accuracy"] - truth["val_accuracy"][further.index]).std()
    assert error < 2 * fits[0].rmse
    assert fits[0].r2 > 0.8
    again, _ = fill_table(
        half, ["val_accuracy", "macs"], 30, lambda f: (f["macs"] <= 1e6).to_numpy(), 10, seed=0
    )
    pd.testing.assert_frame_equal(frame, again)
    with pytest.raises(ConfigError, match=r"fill=5000 .* give: \d+ further feasible"):
        fill_table(half, ["macs"], 5000, lambda f: np.ones(len(f), dtype=bool), 10, seed=0)


@pytest.mark.slow
def test_a_filled_benchmark_goes_on_with_the_same_networks(
    cli: Cli, table_file: Path, tmp_path: Path
) -> None:
    (tmp_path / "part.jsonl").write_text(some_lines(table_file, 72))
    command = ["search", "benchmark", "table.path=part.jsonl", "table.num_classes=10"]
    command += ["table.fill=100", "samplers=[random]", "evaluations=120", "longer={random: 120}"]
    first = cli(*command, "seeds=2").stdout
    assert "172 networks (100 of them filled in)" in first
    folder = tmp_path / "results" / "benchmark"
    filled = (folder / "table_filled.csv.gz").read_bytes()
    fit = pd.read_csv(folder / "table_fit.csv").set_index("metric")
    assert f"R² {fit['r2']['val_accuracy']:.4f}" in first
    runs = (folder / "runs.jsonl").read_text()
    assert f"R² {fit['r2']['val_accuracy']:.4f}" in cli(*command, "seeds=3").stdout
    assert (folder / "runs.jsonl").read_text().startswith(runs)
    assert (folder / "table_filled.csv.gz").read_bytes() == filled


def test_wrong_settings_are_one_line(refuse: Refuse, table_file: Path) -> None:
    path = f"table.path={table_file}"
    for settings, said in (
        ([], "table.path is missing"),
        (["table.path=none.csv"], "none.csv is not a file"),
        ([path, "objectives=[acuracy]"], "did you mean 'val_accuracy'"),
        ([path, "samplers=[tpo]"], "samplers=tpo is unknown"),
        ([path, "budget.max=5"], "leaves 0 of the table's 216"),
        ([path, "table.adapter=anb"], "table.adapter=anb is unknown"),
        ([path, "table.fill=-1"], "table.fill=-1"),
        (
            [path, "table.fill=9", "samplers=[nsga2]"],
            "table.fill=9 is more than the choices of the table give: 0",
        ),
    ):
        assert said in refuse("search", "benchmark", *settings)


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


def test_the_example_reads_digit_strings(cli: Cli, refuse: Refuse, tmp_path: Path) -> None:
    generator = np.random.default_rng(0)
    strings = {
        "".join(str(generator.integers(size)) for _ in range(4) for size in (3, 3, 2))
        for _ in range(60)
    }
    table = {digits: {"val_accuracy": 0.5 + int(digits[0]) / 10} for digits in strings}
    (tmp_path / "table.json").write_text(json.dumps(table))
    command = ["search", "benchmark", "table.path=table.json", f"table.adapter={EXAMPLE}"]
    command += ["samplers=[evolution,random]", "longer={random: 30}", "seeds=2", "evaluations=20"]
    assert f"{len(strings)} networks, 12 parameters vary" in cli(*command).stdout
    read = read_table(str(tmp_path / "table.json"), str(EXAMPLE))
    assert all(
        accuracy == 0.5 + (arch.stages[0].repeats - 1) / 10
        for arch, accuracy in zip(read.archs, read.column("val_accuracy"), strict=True)
    )
    for wrong in ("21", "9" * 12, "x" * 12):
        (tmp_path / "table.json").write_text(json.dumps({wrong: {"val_accuracy": 0.5}}))
        assert "cannot be read as" in refuse(*command)


@pytest.mark.skipif(not ANB.exists(), reason="Accel-NASBench is not part of the project")
def test_accel_nasbench_has_our_parameters() -> None:
    table = read_table(str(ANB), "accel_nasbench")
    frame = pd.read_csv(ANB)
    assert len(table.archs) == 5125  # 13 records are of networks that were trained twice
    counted = np.sort(table.metrics["params"].to_numpy())
    reported = np.sort(np.unique(np.round(frame["params_m"] * 1e6).to_numpy()))
    assert np.isin(reported, counted).all()
    assert tuple(table.decode(code) for code in table.codes) == table.archs
    assert (table.encode(table.archs) == table.codes).all()
