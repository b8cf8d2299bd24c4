"""The banks: what is shipped can be read, and is what its script would make."""

from pathlib import Path

import numpy as np
import pytest

from blocks.arch import parse_arch
from blocks.cost import count
from search.config.quantities import parse_quantity
from tests.conftest import ROOT

HERE = ROOT / "results" / "banks"


@pytest.fixture(autouse=True)
def scripts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(HERE))


SHIPPED = sorted(HERE.glob("*.jsonl.gz"))
SCALED = [path for path in SHIPPED if "_scaled" in path.name]


@pytest.mark.parametrize(
    "path", [path for path in SHIPPED if path not in SCALED], ids=lambda path: path.name
)
def test_a_shipped_bank_holds_members_at_its_budget(path: Path) -> None:
    from banks import BANKS
    from table import read_lines, table_of

    table = table_of(path.name.partition(".")[0], read_lines(path))
    assert len(table.archs)
    target = parse_quantity("target", table.bank.target)
    for arch in table.archs:
        macs = count(parse_arch(arch), table.bank.classes).macs
        assert abs(macs / target - 1) <= 0.02
    assert np.isfinite(table.truth).all()
    chance = 1 / BANKS[table.bank.name].classes
    assert (table.truth > 2 * chance).all()
    assert np.isfinite(table.schedules["long"].loss[:, 0]).all()
    for curves in table.schedules.values():
        assert curves.loss.shape == curves.accuracy.shape
    assert table.features().shape[0] == len(table.archs)


@pytest.mark.parametrize("path", SCALED, ids=lambda path: path.name)
def test_a_shipped_bank_holds_what_scaling_makes(path: Path) -> None:
    from banks import BANKS
    from table import key, read_lines

    bank = BANKS[path.name.partition(".")[0]]
    lines = list(read_lines(path))
    assert len({key(line) for line in lines}) == len(lines)
    assert {line["schedule"] for line in lines} <= {each.name for each in bank.schedules}
    assert {line["arch"] for line in lines} <= set(bank.members("", 200))
    assert bank.baseline in {line["arch"] for line in lines}
    assert all(line["curve"][-1][2] > 2 / bank.classes for line in lines)


def test_members_are_the_same_on_every_machine() -> None:
    from banks import BANKS

    # The first of the shipped bank: another order would make another bank.
    from table import read_lines

    shipped = {line["arch"] for line in read_lines(HERE / "fashion.jsonl.gz")}
    assert set(BANKS["fashion"].members("auto", 5)) <= shipped


def test_scaled_members_cost_half_to_eight_times_their_baseline() -> None:
    from banks import BANKS

    bank = BANKS["fashion_scaled"]
    members = bank.members("", 100)
    assert members[0] == bank.baseline
    assert len(set(members)) == 100
    assert bank.members("", 20) == members[:20]
    macs = np.array([count(parse_arch(arch), bank.classes).macs for arch in members])
    assert macs.min() >= macs[0] / 2
    assert macs.max() <= 8 * macs[0]
    assert len({parse_arch(arch).resolution for arch in members}) > 3


def test_rotations_train_on_every_image_once() -> None:
    import torch
    from banks import Division, rotated

    from search.data.face import load_data
    from search.data.splits import ImageData

    data: ImageData = load_data("fashion_mnist", 28)
    whole = sum(len(split) for split in (data.train, data.val, data.test))
    parts = [rotated(data, Division(part)) for part in range(5)]
    assert sum(len(part.train) + len(part.val) for part in parts) == whole
    for part in parts:
        assert len(part.train) + len(part.val) + len(part.test) == whole
        shares = torch.bincount(part.test.labels) / torch.bincount(
            torch.cat([part.train.labels, part.val.labels, part.test.labels])
        )
        assert (shares - 4 / 5).abs().max() < 0.01


def test_each_image_of_a_rotation_is_held_out_by_one_fold() -> None:
    from banks import BANKS, FOLDS, Division, rotated

    from search.data.face import load_data

    data = load_data("fashion_mnist", 28)
    parts = [rotated(data, Division(1, fold)) for fold in range(FOLDS)]
    held = sum(len(part.val) for part in parts)
    for part in parts:
        assert len(part.train) + len(part.val) == held
        assert part.test.images.equal(parts[0].test.images)
        assert abs(len(part.val) - held / FOLDS) < 10
    # Fold 0 of a member is its first training by `mid`, the others are those of `folds`.
    bank = BANKS["signs"]
    by_name = {each.name: each for each in bank.schedules}
    assert bank.division(by_name["mid"], 0) == Division(0)
    own = [bank.division(by_name["folds"], seed) for seed in range(by_name["folds"].seeds)]
    assert own == [Division(0, fold) for fold in range(1, FOLDS)]
    halves = [Division(0, fold, 2) for fold in range(2)]
    assert [bank.division(by_name["half60"], seed) for seed in range(2)] == halves


def test_few_images_train_and_validate_and_all_test() -> None:
    from banks import Division, few_of

    from search.data.face import load_data

    data = load_data("fashion_mnist", 28)
    halves = [few_of(data, 410, Division(0, fold, 2)) for fold in range(2)]
    assert halves[0].train.images.equal(halves[1].val.images)
    assert halves[0].val.images.equal(halves[1].train.images)
    assert len(halves[0].train) + len(halves[0].val) == 410
    for each in (halves[0].train, halves[0].val):
        assert np.bincount(each.labels.numpy()).min() >= 20
    assert halves[0].test is data.test


def test_what_a_killed_script_left_is_read(tmp_path: Path) -> None:
    from table import read_lines

    path = tmp_path / "work.jsonl"
    path.write_text('{"arch": "a"}\n{"arch": "b"')
    assert list(read_lines(path)) == [{"arch": "a"}]
    assert list(read_lines(tmp_path / "none.jsonl")) == []
