"""Which networks are meant, and by which images."""

from dataclasses import replace
from pathlib import Path

import pytest
import yaml

from blocks.arch import Size
from scaling.compound import ScalingError
from scaling.training.config import TrainConfig
from scaling.training.images import decoded_for, find_source, load_images
from scaling.training.settings import Asked, make_train, read_train
from scaling.training.targets import find_targets, suggested_study
from search.errors import ConfigError, StudyError
from search.record.folder import StudyFolder
from tests.conftest import Refuse
from tests.scaling.training.conftest import NETWORK


@pytest.fixture
def folder(tmp_path: Path) -> StudyFolder:
    """A study's folder as far as its members go."""
    found = StudyFolder(str(tmp_path), "pets")
    member = {"arch": NETWORK, "num_classes": 10}
    for name, more in (
        ("b0.yaml", {}),
        ("family/b0.yaml", {"phi": 0.0}),
        ("family/b1.yaml", {"phi": 1.0}),
        ("family/b2.yaml", {"ratio_to_b0": {"macs": 4.0}}),
        ("family/b10.yaml", {"phi": 9.0, "dropout": 0.35}),
    ):
        found.write(name, yaml.safe_dump({**member, **more}))
    return found


@pytest.mark.parametrize(
    ("member", "names"),
    [
        (None, ["b0"]),
        ("b2", ["b2"]),
        ("all", ["b0", "b1", "b2", "b10"]),
        ("b0..b2", ["b0", "b1", "b2"]),
        ("b10,b1", ["b10", "b1"]),
    ],
)
def test_members(folder: StudyFolder, member: str | None, names: list[str]) -> None:
    assert [each.name for each in find_targets(TrainConfig(member=member), folder)] == names


def test_dropout_by_size(folder: StudyFolder) -> None:
    found = find_targets(TrainConfig(member="all"), folder)
    expected = [0.2, 0.2 + 0.3 / 7, 0.2 + 0.6 / 7, 0.35]
    assert [each.sized_dropout for each in found] == pytest.approx(expected)


def test_a_member_that_there_is_not(folder: StudyFolder, tmp_path: Path) -> None:
    with pytest.raises(ScalingError, match=r"has no 'b3', but b0, b1, b2, b10 \(did you mean"):
        find_targets(TrainConfig(member="b3"), folder)
    with pytest.raises(ScalingError, match="has no member yet; finish its search first"):
        find_targets(TrainConfig(), StudyFolder(str(tmp_path), "empty"))
    with pytest.raises(ScalingError, match="is of one network, not of 2"):
        find_targets(TrainConfig(member="b0,b1", name="x"), folder)


def test_a_file_in_a_study_s_folder_says_which_study(folder: StudyFolder, tmp_path: Path) -> None:
    config = TrainConfig(network=str(folder / "family/b1.yaml"))
    assert suggested_study(config) is None
    folder.write("config.yaml", "")
    assert suggested_study(config) == (str(tmp_path), "pets")
    assert suggested_study(replace(config, study="other")) is None


def test_images_come_from_one_place(folder: StudyFolder, tmp_path: Path) -> None:
    config = TrainConfig(results_dir=str(tmp_path), network=NETWORK)
    with pytest.raises(ScalingError, match=r"which images is .* to be trained on\? Expected study"):
        find_source(Asked(config, None))
    with pytest.raises(StudyError, match="no study 'gone'"):
        find_source(Asked(replace(config, study="gone"), None))
    folder.write("config.yaml", "")
    given = make_train({"dataset": "fashion_mnist", "study": "pets", "results_dir": str(tmp_path)})
    with pytest.raises(StudyError, match="is a study with images of its own; leave dataset"):
        find_source(given)


def test_settings_from_python_are_the_command_line_s(tmp_path: Path) -> None:
    lines = ["study=a", "recipe=paper", "recipe.epochs=3", "dataset=npz", "dataset.root=x.npz"]
    made = make_train(
        {
            "study": "a",
            "recipe": {"name": "paper", "epochs": 3},
            "dataset": {"name": "npz", "root": "x.npz"},
        }
    )
    assert read_train(lines) == made
    assert made.config.recipe.optimizer == "rmsproptf"
    assert make_train({"recipe": "v2"}).config.recipe.policy == "ta_wide"
    with pytest.raises(ConfigError, match="unknown setting 'recipes'"):
        make_train({"recipes": "v2"})


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ("recipe=smal", "recipe=smal is unknown; expected one of finetune, paper, small"),
        ("recipe.epcohs=2", "unknown setting 'recipe.epcohs' (did you mean 'recipe.epochs'?)"),
        ("recipe.epochs=0", "recipe.epochs=0 is not a number of 1 or more"),
        ("recipe.dropout=1", "recipe.dropout=1 is not a number of 0 to 0.999"),
        ("recipe.ema=1", "recipe.ema=1 is not a number of 0 to 0.999999"),
        ("recipe.lr=nan", "recipe.lr=nan is not a number of 0 or more"),
        ("recipe.drop_block_size=4", "recipe.drop_block_size=4 is not odd"),
        ("recipe.schedule=plateau", "recipe.schedule=plateau is not followed"),
        ("recipe.accumulate=65", "recipe.accumulate=65 is more than recipe.batch_size=64"),
        ("precision=fp8", "precision=fp8 is unknown; expected auto, fp32, bf16, fp16"),
        ("compare=pretrain", "compare=pretrain has no weights= or start= to begin with"),
        ("compare=teacher", "compare=teacher has no teacher="),
        ("teacher=timm:resnet18", "a file belongs to timm:NAME, which needs one"),
        ("name=a/b", "name=a/b is no name of a folder"),
        ("study=gone", "no study 'gone' in results"),
        ("dataset=npzz", "dataset=npzz is unknown; expected one of"),
    ],
)
def test_bad_settings_are_one_line(refuse: Refuse, given: str, said: str) -> None:
    assert said in refuse("scaling", "train", given)


def test_two_things_at_once_are_refused(refuse: Refuse) -> None:
    line = refuse("scaling", "train", "weights=a.pt", "start=b1")
    assert "weights= and start= are given" in line
    line = refuse("scaling", "train", "efficientnet_b0", "member=b1")
    assert "a network (efficientnet_b0) and member=b1 are given; expected one" in line
    line = refuse("scaling", "train", "recipe=timm", "recipe.rand_augment=3")
    assert "are two of a kind" in line


def test_members_without_a_study_see_images_of_their_own_size(
    folder: StudyFolder, photos: Path
) -> None:
    """Of a family that grew from a named baseline: each member's images are decoded for it."""
    asked = make_train(
        {
            "study": "pets",
            "results_dir": str(folder.path.parent),
            "dataset": {"name": "imagefolder", "root": str(photos), "cache": None},
        }
    )
    source = find_source(asked)
    sides = [load_images(source, Size(side, side)).train.images.shape[-1] for side in (8, 16)]
    assert sides == [12, 24]
    assert decoded_for(source, Size(8, 8)) != decoded_for(source, Size(16, 16))
