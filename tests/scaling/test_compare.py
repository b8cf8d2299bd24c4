"""Rules at equal macs: the paper's tables, the plan, the judgement, and the real command."""

import csv
import json
import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from blocks.arch import format_arch, parse_arch
from blocks.cost import Cost, count
from blocks.errors import CompoundNasError
from blocks.zoo import EFFICIENTNET_B0
from scaling.commands import compare as command
from scaling.comparison.contenders import FITTED, Contender, plan, rules_of
from scaling.comparison.judgement import judge, verdicts
from scaling.comparison.run import Comparison, compare
from scaling.compound import ScalingCoefficients, ScalingError
from scaling.config import CompareConfig
from scaling.paper_tables import count_table
from search.errors import StudyError
from search.study.baseline import Baseline
from tests.conftest import Cli, one_line_error
from tests.scaling.conftest import scaling_config

B0 = Baseline(EFFICIENTNET_B0, 1000, 0, "paper")


def test_table_7_costs_what_it_costs() -> None:
    # reference: as labelled 1.575, 1.450, 1.538 and 1.800 G; the fair settings beside them.
    macs = {each.row.label: round(each.cost.macs / 1e9, 3) for each in count_table("table7")}
    assert macs == {
        "baseline": 0.386,
        "d=4": 1.575,
        "w=2": 1.450,
        "r=2": 1.538,
        "d=1.4 w=1.2 r=1.3": 1.800,
        "d=4.3, fair": 1.782,
        "w=2.22, fair": 1.758,
        "w=2.24, fair": 1.838,
        "480 px, fair": 1.765,
    }
    # One pixel more is a stair up.
    assert count(replace(EFFICIENTNET_B0, resolution=481)).macs / 1e9 == pytest.approx(1.897, 1e-3)


def test_table_3_is_near_what_the_paper_prints_where_it_can_be() -> None:
    rows = count_table("table3")
    baselines = {each.row.network: each.cost for each in rows if each.row.label == "baseline"}
    # Keras's MobileNetV1, torchvision's MobileNetV2 and ResNet-50 have these parameters.
    assert {name: cost.params for name, cost in baselines.items()} == {
        "mobilenetv1": 4_231_976,
        "mobilenetv2_100": 3_504_872,
        "resnet50": 25_557_032,
    }
    assert baselines["mobilenetv1"].macs == 568_740_352  # "569 million mult-adds" (1704.04861)
    for each in rows:
        assert each.row.billions is not None
        assert each.cost.macs / 1e9 == pytest.approx(each.row.billions, rel=0.13), each.row


def test_an_unknown_table_is_refused() -> None:
    with pytest.raises(ScalingError, match="did you mean 'table7'"):
        count_table("table77")


def test_contenders_cost_the_same_and_go_where_their_rules_say() -> None:
    settings = CompareConfig(ratios=[2.0, 4.0], random=2)
    rules = rules_of(settings, ScalingCoefficients(1.3, 1.15, 1.05), seed=0)
    assert next(iter(rules)) == FITTED
    assert list(rules)[-2:] == ["random 1", "random 2"]
    contenders, missing = plan(B0, rules, settings, "paper")
    assert not missing
    base = count(EFFICIENTNET_B0).macs
    for each in contenders:
        assert each.cost == count(each.arch)
        assert abs(each.cost.macs / base / each.ratio - 1) <= 0.03
    found = {(each.rule, each.ratio): each for each in contenders}
    width, depth, resolution = (found[axis, 4.0] for axis in ("width", "depth", "resolution"))
    assert (width.depth, width.resolution) == (1.0, 1.0)
    assert (depth.width, depth.resolution) == (pytest.approx(1.0, abs=0.03), 1.0)
    assert (resolution.width, resolution.depth) == (pytest.approx(1.0, abs=0.03), 1.0)
    assert len({format_arch(each.arch) for each in contenders}) > 10


def test_random_directions_are_the_studys_own() -> None:
    coefficients = ScalingCoefficients(1.2, 1.1, 1.15)
    few, many, other = (
        rules_of(CompareConfig(random=number), coefficients, seed)
        for number, seed in ((1, 0), (3, 0), (1, 1))
    )
    assert few["random 1"] == many["random 1"] != other["random 1"]
    at = many["random 2"].at(4.0)
    assert at.depth * at.width**2 * at.resolution**2 == pytest.approx(4.0)


def test_a_rule_whose_network_goes_another_way_is_left_out() -> None:
    # Eight pixels: three strides leave no size near enough for resolution alone.
    text = "r8-i1-s16-[ir_r1_k3_s1_e4_c24|ir_r1_k5_s2_e3_c16|ds_r1_k7_s2_e1_c32]-h128"
    settings = CompareConfig(ratios=[2.0], random=0)
    rules = rules_of(settings, ScalingCoefficients(1.2, 1.1, 1.3), seed=0)
    contenders, missing = plan(Baseline(parse_arch(text), 10, 0, "paper"), rules, settings, "paper")
    assert "resolution" in {each.rule for each in missing}
    assert all(each.degrees <= 45 for each in contenders)


def test_fitted_coefficients_without_a_network_are_refused() -> None:
    settings = CompareConfig(ratios=[1.0001], random=0)
    rules = rules_of(settings, ScalingCoefficients(1.2, 1.1, 1.15), seed=0)
    with pytest.raises(ScalingError, match=r"compare\.ratios=1\.0001"):
        plan(B0, rules, settings, "paper")


def contender(rule: str, ratio: float, channels: int) -> Contender:
    arch = parse_arch(f"r8-s8-[ds_r1_k3_s1_e1_c{channels}]-h8")
    return Contender(rule, ratio, arch, Cost(1, 1, 1, 1), 1.0, 1.0, 1.0, 0.0, 0.0)


def accuracies(
    contenders: list[Contender], values: dict[int, list[float]]
) -> dict[str, list[float]]:
    return {
        format_arch(each.arch): values[each.arch.stages[0].channels]
        for each in contenders
        if each.arch.stages[0].channels in values
    }


def test_the_judgement_by_hand() -> None:
    contenders = [
        contender(FITTED, 2.0, 8),
        contender("paper", 2.0, 8),
        contender("width", 2.0, 16),
        contender("depth", 2.0, 24),
        contender("uniform", 2.0, 16),
    ]
    values = {8: [0.80, 0.82, 0.81], 16: [0.70, 0.72, 0.71], 24: [0.80, 0.81, 0.82]}
    outcome = judge(contenders, [], accuracies(contenders, values), 3)
    assert outcome.same == {("paper", 2.0): FITTED, ("uniform", 2.0): "width"}
    # Three networks, each once: all deviate from their means by −1, 0 and 1%.
    assert outcome.deviations[2.0] == pytest.approx(0.01)
    assert outcome.differences["width", 2.0].value == pytest.approx(0.10)
    assert outcome.differences["uniform", 2.0] == outcome.differences["width", 2.0]
    said = verdicts(outcome)
    assert said["paper"] == "the same network"
    assert said["width"].startswith("fitted is better: +10.00")
    assert said["depth"].startswith("indistinguishable: ")
    assert outcome.means["depth"].probability == pytest.approx(0.5)
    worse = judge(contenders, [], accuracies(contenders, {**values, 16: [0.9, 0.92, 0.91]}), 3)
    assert verdicts(worse)["width"].startswith("fitted is worse: -10.00")


def test_a_log_names_what_failed_by_its_rules(capsys: pytest.CaptureFixture[str]) -> None:
    contenders = [
        contender(FITTED, 2.0, 8), contender("paper", 2.0, 16), contender("width", 2.0, 24),
        contender("depth", 2.0, 24),
    ]  # fmt: skip
    outcome = judge(contenders, [], accuracies(contenders, {8: [0.8, 0.9], 16: [0.7, 0.8]}), 2)
    failed = (format_arch(EFFICIENTNET_B0), format_arch(contenders[-1].arch))
    command._left_out(Comparison("it", Path(), CompareConfig(), outcome, 1, 100, failed))
    assert capsys.readouterr().out.splitlines() == [
        "left out, as a training of it failed: B0",
        "left out, as a training of it failed: width at 2×, depth at 2×",
    ]


def test_without_the_fitted_networks_trainings_nothing_is_compared() -> None:
    contenders = [contender(FITTED, 2.0, 8), contender("width", 2.0, 16)]
    for values in ({16: [0.1, 0.2]}, {8: [0.1, 0.2]}):
        with pytest.raises(StudyError, match="too few networks of 2 times"):
            judge(contenders, [], accuracies(contenders, values), 2)


@pytest.mark.slow
def test_the_command_trains_each_network_once_and_goes_on(cli: Cli, study: Path) -> None:
    settings = [
        f"results_dir={study.parent}",
        "compare.ratios=[4]",
        "compare.rules=[paper,published,width]",
        "compare.random=0",
        "compare.seeds=2",
    ]
    said = cli("scaling", "compare", *settings).stdout
    folder = study / "scaling"
    lines = (folder / "compare.jsonl").read_text().splitlines()
    with open(folder / "compare.csv", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    assert [row["rule"] for row in rows] == ["b0", FITTED, "paper", "published", "width"]
    different = {row["arch"] for row in rows}
    assert len(lines) == 2 * len(different) < 2 * len(rows)
    assert f"each {len(lines)} trainings of 1 epoch, {len(lines)} to do" in said
    assert "same network as paper" in said
    records = [json.loads(line) for line in lines]
    for row in rows:
        reached = [r["metrics"]["test_accuracy"] for r in records if r["arch"] == row["arch"]]
        assert float(row["accuracy_mean"]) == pytest.approx(np.mean(reached))
    content = json.loads((folder / "compare.json").read_text())
    assert content["verdicts"].keys() == {"paper", "published", "width"}
    assert (folder / "compare.png").read_bytes().startswith(b"\x89PNG")
    # Half of the trainings lost, the last in the middle of its line: only they are made again.
    (folder / "compare.jsonl").write_text("\n".join(lines[:3]) + "\n" + lines[3][:40])
    again = cli("scaling", "compare", *settings).stdout
    assert f"{len(lines) - 3} to do" in again
    redone = [json.loads(line) for line in (folder / "compare.jsonl").read_text().splitlines()]
    assert {(r["arch"], r["seed"], r["metrics"]["test_accuracy"]) for r in redone} == {
        (r["arch"], r["seed"], r["metrics"]["test_accuracy"]) for r in records
    }


def test_a_study_without_coefficients_is_refused(cli: Cli, study: Path, tmp_path: Path) -> None:
    bare = tmp_path / "results" / "bare"
    bare.mkdir(parents=True)
    for name in ("config.yaml", "b0.yaml"):
        (bare / name).write_bytes((study / name).read_bytes())
    error = one_line_error(cli("scaling", "compare", "study=bare", check=None))
    assert "has no coefficients.yaml; fit them first" in error


def test_the_papers_table_is_printed(capsys: pytest.CaptureFixture[str]) -> None:
    command.run(["paper=table7"])
    said = capsys.readouterr().out
    assert "1.58G" in said
    assert "1.8G" in said


@pytest.mark.parametrize(
    ("setting", "message"),
    [
        ("compare.ratios=[0.5]", "compare.ratios=0.5"),
        ("compare.ratios=[nan]", "compare.ratios=nan"),
        ("compare.ratios=[]", "compare.ratios=[]"),
        ("compare.seeds=1", "compare.seeds=1"),
        ("compare.rules=[widht]", "did you mean 'width'"),
        ("compare.tolerance=3", "compare.tolerance=3"),
        ("compare.split=train", "compare.split=train"),
        ("compare.seed=3", "did you mean 'compare.seeds'"),
        ("paper=table4", "paper=table4"),
        ("study=nothing", "no study 'nothing'"),
        ("baseline=efficientnet_b0", "belong to scaling emit"),
    ],
)
def test_bad_input(setting: str, message: str, tmp_path: Path) -> None:
    with pytest.raises(CompoundNasError, match=re.escape(message)):
        compare(scaling_config(setting, f"results_dir={tmp_path}"))
