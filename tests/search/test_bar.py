"""What a terminal of 80 columns shows of trainings, and what a log does."""

import io

import pytest
from rich.console import Console

from blocks.console import LINE, console, fold
from blocks.cost import Cost
from search.commands.bar import sparkline
from search.commands.progress import TrialProgress
from search.config.face import config_from
from search.record.trials import FailureRecord, TrialRecord
from search.study.objective import Objective
from tests.conftest import Cli, environment

SPELLING = "r28-s16-[ds_r1_k3_s1_e1_c16_se0.25|ir_r2_k3_s2_e6_c24|ir_r2_k5_s2_e6_c40]-h640"


def record(
    number: int, loss: float, macs: int = 1_020_000, accuracy: float = 0.81234
) -> TrialRecord:
    cost = Cost(1_234_567, macs, 1_100_000, 9)
    metrics = {"val_accuracy": accuracy, "val_loss": loss}
    return TrialRecord(number, SPELLING, cost, metrics, 0, {"epochs": 12}, {"train": 60.0}, {})


def test_a_log_has_short_lines_and_a_terminal_a_bar(capsys: pytest.CaptureFixture[str]) -> None:
    objective = Objective.of(config_from(budget={"target": "1M"}))
    with TrialProgress("trial", 40, 10, objective) as progress:
        progress.known(record(3, 0.9))
        progress.watch(lambda: [(3, 12), (7, 12)])
        progress.trial(record(11, 0.6), 11)
        progress.trial(record(12, 0.7), 12)
        progress.trial(FailureRecord(13, SPELLING, "nan", "the loss became nan"), 12)
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].startswith(
        "trial 11/40 #11 acc 0.8123 macs 1.02M params 1.23M; best loss 0.6000, "
    )
    assert "trial 12/40 #13 failed (nan: the loss became nan); best loss 0.6000" in lines[2]
    assert all(len(line) <= 80 and SPELLING not in line for line in lines[:2])
    terminal = Console(file=io.StringIO(), width=80, force_terminal=True, color_system=None)
    terminal.print(progress)
    shown = terminal.file.getvalue().splitlines()  # type: ignore[attr-defined]
    assert "trial 12 of 40" in shown[0]
    assert "an hour, " in shown[0]
    assert shown[0].rstrip().endswith(" left")
    assert shown[1].rstrip() == "  epochs 3/12 7/12  best loss 0.6000 (#11)  ▁██"
    assert all(len(line) <= 80 for line in shown)


def below_the_bar(found: list[TrialRecord], **budget: str) -> str:
    terminal = Console(file=io.StringIO(), width=80, force_terminal=True, color_system=None)
    progress = TrialProgress("trial", 40, 0, Objective.of(config_from(budget=budget)))
    for each in found:
        progress.known(each)
    terminal.print(progress)
    shown = terminal.file.getvalue().splitlines()  # type: ignore[attr-defined]
    assert all(len(line) <= 80 for line in shown)
    return str(shown[1].strip())


def test_a_search_for_a_front_shows_it() -> None:
    found = [record(0, 0.5, 900, 0.8), record(1, 0.6, 500, 0.8), record(2, 0.7, 700, 0.7)]
    # None of these is both cheaper and more accurate than trial 1: its front is a single network.
    assert below_the_bar(found, max_macs="1M") == "best accuracy 0.8000  ▁▁▁"
    found += [record(3, 0.4, 950, 0.9), record(4, 0.4, 100, 0.5), record(5, 0.4, 110, 0.4)]
    # By macs: 0.5 at 100, 0.8 at 500, 0.9 at 950.
    assert below_the_bar(found, max_macs="1M") == "best accuracy 0.9000  front ▁▆█"
    assert below_the_bar(found, target="1M") == "best loss 0.4000  ▁▁▁███"


def test_a_sparkline_rises_with_its_values(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(type(console), "encoding", "utf-8")
    assert sparkline([0.1]) == ""
    assert sparkline([1, 2, 3, 4, 5, 6, 7, 8]) == "▁▂▃▄▅▆▇█"
    assert sparkline([3.0, 3.0]) == "▁▁"
    assert sparkline(range(1000), 4) == "▁▃▆█"
    monkeypatch.setattr(type(console), "encoding", "ascii")
    assert sparkline([1, 2]) == ""


def test_lines_are_folded_between_words_alone() -> None:
    path = "/a/" + "long/" * 20 + "b0.yaml"
    text = f"  wrote {path}, and more words of it that are too many for one line of 60"
    lines = fold(text, 60).split("\n")
    assert [line for line in lines if len(line) > 60] == [f"    {path},"]
    assert all(line.startswith("    ") for line in lines[1:])
    assert " ".join(line.strip() for line in lines) == text.strip()
    assert fold("a  b\nc", 60) == "a  b\nc"


@pytest.mark.parametrize("columns", ["0", "wide"])
def test_columns_that_are_no_number_are_passed_over(cli: Cli, columns: str) -> None:
    given = ("search", "settings", "search.pruner")
    shown = cli(*given, env={**environment(), "COLUMNS": columns}).stdout
    assert shown.startswith("search.pruner=")
    assert max(map(len, shown.splitlines())) <= LINE
