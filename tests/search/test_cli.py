"""The real command line, through subprocess."""

import contextlib
import csv
import io
import json
import os
import re
import resource
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import yaml
from rich.table import Table

from blocks.arch import parse_arch
from blocks.console import console, print_anything
from blocks.cost import count
from search.__main__ import main
from search.config.face import config_from
from search.record.trials import read_records
from search.study.reference import references_of
from tests.conftest import Cli, Refuse, environment, one_line_error

SMALL_REFERENCE = "r8-s8-[ds_r1_k3_s1_e1_c8|ir_r1_k3_s2_e3_c16]-h16"
"""What 8×8 pixels are enough for; they are too few for the strides of EfficientNet-B0."""


def trials(study: Path) -> list[tuple[object, ...]]:
    """What a study found, without its timings, by trial number."""
    lines = [json.loads(line) for line in (study / "trials.jsonl").read_text().splitlines()]
    return sorted((line["number"], line["arch"], line["metrics"]["val_loss"]) for line in lines)


@pytest.mark.parametrize("package", ["search", "scaling"])
def test_help_is_for_people(cli: Cli, package: str) -> None:
    for arguments in (["--help"], ["run", "--help"]):
        shown = cli(package, *arguments).stdout
        assert shown.startswith(f"usage: python -m {package} COMMAND")
        assert "examples" in shown
    assert cli(package, check=2).stdout.startswith("usage")


def test_unknown_commands_name_the_nearest(cli: Cli) -> None:
    assert "did you mean 'run'" in one_line_error(cli("search", "runn", check=None))
    assert "did you mean 'emit'" in one_line_error(cli("scaling", "emitt", check=None))


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("search.trals=3", "did you mean 'search.trials'?"),
        ("sampler=tpee", "did you mean 'tpe'?"),
        ("dataset=imagefolder", "dataset.root is missing"),
        ("budget.max_macs=1k", "the smallest has"),
        ("budget.target=1k", "is out of reach"),
        ("search.pruner=asha objective=pareto", "needs one objective"),
        ("search.trials=1,2", "--multirun"),
        ("--trials=3", "settings are written name=value"),
        ("results_dir=/proc/nowhere", "cannot read or write"),
    ],
)
def test_bad_input_is_one_line_and_code_2(
    refuse: Refuse, tmp_path: Path, override: str, message: str
) -> None:
    assert message in refuse("search", "run", *override.split())
    assert not list(tmp_path.iterdir())


def test_a_reference_that_cannot_be_brought_to_the_budget_is_said_and_left_out(
    caplog: pytest.LogCaptureFixture,
) -> None:
    config = config_from(budget={"max_macs": "200k"})
    with caplog.at_level("INFO"):
        [small] = references_of(config, in_channels=1, num_classes=10)
    assert small.name == "mobilenetv3_small"
    assert 0.96 * 200_000 < count(small.arch, 10).macs <= 200_000
    said = [record.message for record in caplog.records]
    assert len(said) == 4
    assert said[0].startswith("reference left out: efficientnet_b0 cannot be brought to the budget")


@pytest.mark.slow
def test_a_whole_study(cli: Cli, tmp_path: Path, digits_settings: list[str]) -> None:
    settings = [*digits_settings, "study=whole", "search.scale=true", "search.trials=4",
                f"search.references=['{SMALL_REFERENCE}']"]  # fmt: skip
    study = tmp_path / "results" / "whole"
    (study / "look").mkdir(parents=True)  # as `data` leaves it
    shown = cli("search", "run", *settings).stdout
    assert "Where the time went" in shown
    assert "trial 4/4" in shown
    files = {str(path.relative_to(study)) for path in study.rglob("*") if path.is_file()}
    assert files >= {
        "config.yaml", "environment.json", "trials.jsonl", "pareto.csv", "pareto.png",
        "report.html", "b0.yaml", "b0.pt",
        "scaling/design.json", "scaling/runs.jsonl", "scaling/fit.json",
        "scaling/surface.png", "coefficients.yaml", "family/family.csv",
        *(f"family/b{number}.yaml" for number in range(8)),
    }  # fmt: skip
    assert (study / "pareto.png").read_bytes().startswith(b"\x89PNG")
    with open(study / "pareto.csv", encoding="utf-8") as rows:
        table = list(csv.DictReader(rows))
    front = [row for row in table if row["on_front"] == "True"]
    assert front
    assert [float(r["val_accuracy"]) for r in front] == sorted(
        float(r["val_accuracy"]) for r in front
    )
    baseline = yaml.safe_load((study / "b0.yaml").read_text())
    best = max(float(row["val_accuracy"]) for row in table)
    assert baseline["proxy"]["val_accuracy"] == best
    assert 0 < baseline["final"]["test_accuracy"] <= 1
    probe = json.loads((study / "probe.json").read_text())
    below = baseline["final"]["test_accuracy"] < probe["test_accuracy"]
    assert ("below a linear probe on raw pixels" in shown) == below
    coefficients = yaml.safe_load((study / "coefficients.yaml").read_text())
    assert min(coefficients[name] for name in ("alpha", "beta", "gamma")) >= 1
    family = [
        yaml.safe_load((study / "family" / f"b{number}.yaml").read_text()) for number in range(8)
    ]
    assert family[0]["arch"] == baseline["arch"]
    for member in family:
        cost = count(parse_arch(member["arch"]), member["num_classes"])
        assert (cost.params, cost.macs) == (member["cost"]["params"], member["cost"]["macs"])
    macs = [member["cost"]["macs"] for member in family]
    assert macs == sorted(set(macs))
    reference = read_records(study / "reference.jsonl")
    assert len(reference) == 1

    # Again: nothing is trained twice, the test split is not read again, the files stay.
    before = {name: (study / name).read_bytes() for name in ("trials.jsonl", "final.jsonl")}
    shown = cli("search", "run", *settings).stdout
    assert "going on with 4 candidates" in shown
    assert before == {name: (study / name).read_bytes() for name in before}

    # Weights that are gone are made again, as they were.
    weights = (study / "b0.pt").read_bytes()
    (study / "b0.pt").unlink()
    cli("search", "run", *settings, "search.scale=false")
    assert (study / "b0.pt").read_bytes() == weights

    # More trials are more trials; another proxy is another study.
    cli("search", "run", *settings, "search.trials=5", "search.scale=false")
    assert len(trials(study)) == 5
    refused = one_line_error(cli("search", "run", *settings, "proxy.epochs=2", check=None))
    assert "proxy.epochs 1 → 2" in refused

    assert "5 of 5 trials trained" in cli("search", "status", "study=whole").stdout
    assert "Pareto front of whole" in cli("search", "front", "study=whole").stdout
    (study / "pareto.png").unlink()
    cli("search", "plot", "study=whole")
    assert (study / "pareto.png").exists()
    message = one_line_error(cli("search", "status", "study=hole", check=None))
    assert "did you mean 'whole'" in message


def test_a_search_at_an_exact_budget_by_halving_with_controls(
    cli: Cli, tmp_path: Path, digits_settings: list[str]
) -> None:
    """Every network that is trained costs the target; random ones stand beside the B0."""
    settings = [*digits_settings, "study=exact", "sampler=surrogate", "budget.target=60k",
                "search.pruner=asha", "search.reduction_factor=2", "proxy.epochs=2",
                "search.controls=3", "search.trials=5"]  # fmt: skip
    shown = cli("search", "run", *settings, env={**environment(), "COLUMNS": "80"}).stdout
    assert max(len(line) for line in shown.splitlines()) <= 80
    assert re.search(r"^trial 5/5 #\d+ acc 0\.\d{4} macs 0\.06M params ", shown, re.MULTILINE)
    assert re.search(r"^control 3/3 acc ", shown, re.MULTILINE)
    assert not re.search(r"r8-.*\[", shown)  # no spelling
    study = tmp_path / "results" / "exact"
    records = [*read_records(study / "trials.jsonl"), *read_records(study / "controls.jsonl")]
    assert len(records) == 8
    assert all(abs(count(parse_arch(r.arch), 10).macs / 60_000 - 1) <= 0.02 for r in records)
    assert "0 over the budget" in shown
    assert "3 random networks within the budget" in shown
    controls = yaml.safe_load((study / "b0.yaml").read_text())["controls"]
    assert (controls["networks"], controls["expected_best_of"]) == (3, 5)
    assert controls["val_accuracy_mean"] <= controls["val_accuracy_best"]
    assert "5 of 5 trials trained" in cli("search", "status", "study=exact").stdout


@pytest.mark.slow
def test_a_mistyped_start_leaves_the_study_free(
    cli: Cli, tmp_path: Path, digits_settings: list[str]
) -> None:
    settings = [*digits_settings, "study=e", "search.trials=1", "search.controls=0"]
    message = one_line_error(cli("search", "run", *settings, "search.warm_start=mian", check=None))
    assert "no study 'mian'" in message
    cli("search", "run", *settings)
    # The same quantities in other words are the same study.
    cli("search", "run", *settings, "budget.max_macs=0.1M", "objective=pareto")
    message = one_line_error(cli("search", "status", "study=e", "proxy.epochs=3", check=None))
    assert "proxy.epochs is a setting of the study" in message


Start = Callable[..., "subprocess.Popen[bytes]"]


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Start]:
    """Start a command in a process group of its own, its errors in errors.txt."""
    started: list[subprocess.Popen[bytes]] = []

    def run(*arguments: str) -> "subprocess.Popen[bytes]":
        with open(tmp_path / "errors.txt", "wb") as errors:
            process = subprocess.Popen(
                [sys.executable, "-m", *arguments],
                cwd=tmp_path,
                env=environment(),
                stdout=subprocess.DEVNULL,
                stderr=errors,
                start_new_session=True,
            )
        started.append(process)
        return process

    yield run
    for process in started:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()


def wait_for_lines(path: Path, lines: int, process: "subprocess.Popen[bytes]") -> None:
    deadline = time.monotonic() + 120
    while not path.exists() or path.read_bytes().count(b"\n") < lines:
        assert time.monotonic() < deadline
        assert process.poll() is None
        time.sleep(0.02)


def children(pid: int) -> list[int]:
    found = subprocess.run(
        ["ps", "-o", "pid=", "--ppid", str(pid)], capture_output=True, text=True, check=False
    )
    return [int(word) for word in found.stdout.split()]


def running(pid: int) -> bool:
    """Whether a process is at work; a dead one may wait long for somebody to reap it."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


@pytest.mark.slow
def test_kill_9_loses_at_most_what_was_in_flight(
    start: Start, tmp_path: Path, digits_settings: list[str]
) -> None:
    settings = [*digits_settings, "search.trials=12", "search.final_epochs=1"]
    whole = start("search", "run", *settings, "study=whole")
    process = start("search", "run", *settings, "study=cut")
    cut = tmp_path / "results" / "cut"
    for lines in (2, 5):
        wait_for_lines(cut / "trials.jsonl", lines, process)
        workers = children(process.pid)
        os.kill(process.pid, signal.SIGKILL)
        process.wait()
        on_disk = trials(cut)
        assert len(on_disk) >= lines
        deadline = time.monotonic() + 30
        while any(running(pid) for pid in workers):
            assert time.monotonic() < deadline, "workers outlive their parent"
            time.sleep(0.05)
        process = start("search", "run", *settings, "study=cut")
    assert process.wait(timeout=300) == 0, (tmp_path / "errors.txt").read_text()
    assert whole.wait(timeout=300) == 0
    assert trials(cut) == trials(tmp_path / "results" / "whole")
    assert set(on_disk) <= set(trials(cut))


@pytest.mark.slow
def test_kill_9_during_the_fit_leaves_no_orphan(
    start: Start, cli: Cli, tmp_path: Path, digits_settings: list[str]
) -> None:
    settings = [*digits_settings, "search.trials=2", "search.scale=true"]
    process = start("search", "run", *settings)
    runs = tmp_path / "results" / "main" / "scaling" / "runs.jsonl"
    wait_for_lines(runs, 1, process)
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    time.sleep(2)  # the orphan notices within a second
    before = runs.read_bytes()
    cli("search", "run", *settings)
    assert runs.read_bytes().startswith(before[: before.rfind(b"\n") + 1])
    lines = [json.loads(line) for line in runs.read_text().splitlines()]
    assert len({(line["arch"], line["seed"]) for line in lines}) == len(lines)


def test_ctrl_c_ends_cleanly_and_a_second_run_is_refused_meanwhile(
    cli: Cli, start: Start, tmp_path: Path, digits_settings: list[str]
) -> None:
    process = start("search", "run", *digits_settings, "search.trials=500")
    study = tmp_path / "results" / "main"
    wait_for_lines(study / "trials.jsonl", 2, process)
    busy = one_line_error(cli("search", "run", *digits_settings, "search.trials=500", check=None))
    assert f"in use by process {process.pid}" in busy
    os.killpg(process.pid, signal.SIGINT)
    assert process.wait(timeout=60) == 130
    errors = (tmp_path / "errors.txt").read_text()
    assert errors.strip().startswith("interrupted; the trials so far are on disk")
    assert "Traceback" not in errors
    assert (study / "pareto.png").exists()
    assert not (study / "b0.yaml").exists()


@pytest.mark.slow
def test_a_full_disk_is_one_line_and_loses_nothing(
    cli: Cli, tmp_path: Path, digits_settings: list[str]
) -> None:
    def small_disk() -> None:
        # The kernel refuses to let any file grow beyond this, as a full disk would.
        resource.setrlimit(resource.RLIMIT_FSIZE, (size, size))

    settings = [*digits_settings, "budget.max_macs=1M", "search.trials=30"]
    size = 30_000
    refused = cli("search", "run", *settings, check=None, preexec_fn=small_disk)
    assert "cannot share the images" in one_line_error(refused)
    size = 100_000
    refused = cli("search", "run", *settings, check=None, preexec_fn=small_disk)
    assert "cannot read or write" in one_line_error(refused)
    study = tmp_path / "results" / "main"
    before = trials(study)
    assert before
    assert len(before) < 30
    cli("search", "run", *settings)
    assert set(before) <= set(trials(study))
    assert len(trials(study)) == 30


@pytest.mark.slow
def test_multirun_gives_each_job_its_study_and_ends_with_a_table(
    cli: Cli, tmp_path: Path, digits_settings: list[str]
) -> None:
    settings = [*digits_settings, "search.trials=2", "search.final_epochs=1"]
    shown = cli("search", "run", "-m", *settings, "sampler=tpe,random", "seed=1").stdout
    names = {path.parent.name for path in (tmp_path / "results").glob("*/b0.yaml")}
    assert names == {"main_sampler-tpe", "main_sampler-random"}
    table = shown[shown.index("All studies of this sweep") :]
    for name in names:
        assert re.search(rf"{name}\W+2\W+0\.\d{{4}}\W+0\.\d{{4}}", table), table
    with open(tmp_path / "results" / "sweeps" / "main" / "front.csv", encoding="utf-8") as rows:
        merged = list(csv.DictReader(rows))
    assert {row["study"] for row in merged} == names
    assert any(row["on_front"] == "True" for row in merged)
    refused = cli("search", "run", "-m", "sampler=tpe,rnadom", check=None)
    assert "did you mean 'random'" in one_line_error(refused)


def test_a_job_that_fails_does_not_end_its_sweep(
    cli: Cli, tmp_path: Path, digits: Path, digits_settings: list[str]
) -> None:
    (tmp_path / "my digits.npz").write_bytes(digits.read_bytes())
    settings = [*digits_settings, "search.trials=1", "search.final_epochs=1", "study=s"]
    done = cli("search", "run", "-m", *settings, "dataset.root=missing.npz,my digits.npz", check=2)
    names = ("s_dataset.root-missing.npz", "s_dataset.root-my-digits.npz")
    assert f"error: 1 of 2 studies of this sweep failed: {names[0]}; the same" in done.stderr
    assert "Traceback" not in done.stderr
    table = done.stdout[done.stdout.index("All studies of this sweep") :]
    for name, trials_, reason in ((names[0], 0, "missing.npz"), (names[1], 1, "")):
        assert re.search(rf"{name}\W+{trials_}\W.*{reason}", table), table
    assert (tmp_path / "results" / names[1] / "b0.yaml").exists()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["seed=1,1"], r"two jobs of this sweep would share the folder results/main_seed-1"),
        (["study=a", "dataset.root='x y','x-y'"], "would share the folder"),
        (["seed=0,1", "hydra/launcher=slurrm"], "slurrm"),
        (["seed=0,1", "sampler=tpe,rnadom"], "did you mean 'random'"),
        (["seed=0,1", "proxy.epoch=3"], "did you mean 'proxy.epochs'"),
        (["seed=[0,1"], r"'seed=\[0,1' cannot be read"),
        (["dataset.root="], "dataset.root= has no value"),
        (["space=tiny,tinny"], "space=tinny is unknown"),
    ],
)
def test_a_sweep_is_refused_before_its_first_job(
    refuse: Refuse, tmp_path: Path, arguments: list[str], message: str
) -> None:
    assert re.search(message, refuse("search", "run", "-m", *arguments))
    assert not list(tmp_path.glob("results/main*"))


def test_an_extra_that_is_missing_is_named(refuse: Refuse, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    said = refuse("search", "run", "-m", "seed=0,1", "hydra/launcher=joblib")
    assert 'pip install "compound-nas[distributed]"' in said


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["status", "study="], "study= has no value"),
        (["status", "sutdy=x"], "unknown setting 'sutdy' (did you mean 'study'?)"),
        (["status", "study=2024_05_01", "results_dir=my results (2)"],
         "no study '2024_05_01' in my results (2)"),
        (["front", "seed=3"], "seed is a setting of the study"),
        (["plot", "x"], "x is not a setting"),
        (["settings", "fractoin"], "no setting has 'fractoin'"),
        (["scores", "dataset.rot=x"], "did you mean 'dataset.root'"),
        (["benchmark", "sedes=3"], "did you mean 'seeds'"),
        (["benchmark", "table.path="], "table.path= has no value"),
        (["plan", "~proxy"], "cannot be taken away"),
    ],
)  # fmt: skip
def test_other_commands_read_their_settings_alike(
    refuse: Refuse, arguments: list[str], message: str
) -> None:
    assert message in refuse("search", *arguments)


def test_every_setting_can_be_found(capsys: pytest.CaptureFixture[str]) -> None:
    main(["settings", "on_corrupt"])
    shown = capsys.readouterr().out
    assert "dataset.on_corrupt=  one of refuse, skip  [refuse]" in shown
    main(["settings", "proxy.*"])
    assert "proxy.lr=  number  [0.02]" in capsys.readouterr().out
    main(["settings"])
    shown = capsys.readouterr().out
    assert "dataset=NAME  one of cifar10" in shown
    assert "space.stages[…].channels=" in shown


def test_status_and_help_import_nothing_heavy() -> None:
    heavy = "('torch', 'optuna', 'pandas', 'hydra', 'scipy', 'sklearn', 'matplotlib', 'fvcore')"
    for module in ("search.__main__", "search.commands.status", "search.commands.settings"):
        code = f"import sys, {module}; print([name for name in {heavy} if name in sys.modules])"
        done = subprocess.run(
            [sys.executable, "-c", code],
            env=environment(),
            capture_output=True,
            text=True,
            check=True,
        )
        assert done.stdout.strip() == "[]", module


def test_folders_of_the_users_are_left_alone(cli: Cli, tmp_path: Path) -> None:
    for package in ("conf", "blocks", "scaling"):
        (tmp_path / package).mkdir()
        (tmp_path / package / "__init__.py").write_text("raise SystemExit('of the user')\n")
    (tmp_path / "conf" / "config.yaml").write_text("lr: 0.1\n")
    shown = cli("search", "run", "--cfg", "job", "study=2024_05_01").stdout
    assert yaml.safe_load(shown)["study"] == "2024_05_01"
    assert "name: fashion_mnist" in shown


@pytest.mark.parametrize("from_stdin", [False, True])
def test_workers_need_no_guard_in_the_program_that_starts_them(
    tmp_path: Path, from_stdin: bool
) -> None:
    program = """
import math
from search.config.settled import SettledWorkers
from search.evaluators.pool import WorkerPool
print("once", flush=True)
with WorkerPool(math.sqrt, SettledWorkers(count=1)) as pool:
    print(pool.evaluate(4.0).result())
"""
    (tmp_path / "program.py").write_text(program)
    arguments = {"input": program} if from_stdin else {}
    done = subprocess.run(
        [sys.executable, "-" if from_stdin else "program.py"], cwd=tmp_path, env=environment(),
        capture_output=True, text=True, check=False, **arguments,
    )  # fmt: skip
    assert done.stdout.split() == ["once", "2.0"], done.stderr


def test_any_text_is_printed_as_it_is(monkeypatch: pytest.MonkeyPatch) -> None:
    table = Table(title="photo [final].png")
    table.add_row("[/b] :smile:")
    with console.capture() as captured:
        console.print("skipped photo [final].png, [/b], :smile:")
        console.rule("[x]")
        console.print(table)
    for text in ("photo [final].png, [/b], :smile:", "[x]", "[/b] :smile:"):
        assert text in captured.get()
    file = io.BytesIO()
    monkeypatch.setattr(sys, "stdout", io.TextIOWrapper(file, encoding="ascii"))
    print_anything()
    print("3×3 données \udce9", flush=True)
    assert file.getvalue() == b"3\\xd73 donn\\xe9es \\udce9\n"
    sys.stdout.detach()  # type: ignore[union-attr]
