"""`python -m scaling train` on a real study, and what it leaves."""

import re
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
import yaml
from PIL import Image

from blocks.arch import parse_arch
from blocks.loading import load
from blocks.network import Network
from blocks.subject import read_subject
from scaling import train
from scaling.__main__ import HELP, main
from scaling.commands.train import help_text
from scaling.compound import ScalingError
from scaling.training.config import RecipeConfig, TrainConfig, recipe_named
from scaling.training.parallel import ALONE
from scaling.training.record import read_outcomes
from scaling.training.setup import Machine, make_network, make_parts, settle_recipe
from scaling.training.targets import Target
from search.config.build import setting_kinds
from search.config.options import options
from search.data.batches import prepare
from search.data.face import load_data
from search.training.evaluate import all_logits
from tests.conftest import Refuse
from tests.scaling.training.conftest import NETWORK, Train


@pytest.fixture
def own_study(
    study: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> tuple[Path, list[str]]:
    """A copy of the study, and settings that make a training of it short."""
    shutil.copytree(study, tmp_path / "results" / "main")
    monkeypatch.chdir(tmp_path)
    short = ["recipe.epochs=1", "recipe.batch_size=256", "kernels=torch"]
    return tmp_path / "results" / "main", [*short, "device=cpu", "precision=fp32"]


def test_a_member_is_trained_and_told(
    own_study: tuple[Path, list[str]], capsys: pytest.CaptureFixture[str], digits: Path
) -> None:
    folder, short = own_study
    main(["train", "study=main", *short])
    said = capsys.readouterr().out
    assert re.search(r"b0 epoch 1/1 loss \d\.\d+ val \d\.\d+ accuracy 0\.\d+ \(best\)\n", said)
    left = folder / "trained" / "b0"
    assert f"wrote results/main/trained/{left.name}" in said
    names = {path.name for path in left.iterdir()}
    assert {
        "model.yaml", "model.safetensors", "last.pt", "log.csv", "tensorboard", "per_class.csv",
        "confused.csv", "confusion.png", "worst.png", "test_logits.npz",
    } <= names  # fmt: skip
    with Image.open(left / "confusion.png") as picture:
        assert picture.size[0] > 300
    content = yaml.safe_load((left / "model.yaml").read_text())
    b0 = yaml.safe_load((folder / "b0.yaml").read_text())
    for name in ("arch", "num_classes", "normalisation", "cost", "fields"):
        assert content[name] == b0[name], name
    assert {**content["dataset"]} == b0["dataset"]
    assert content["recipe"]["epochs"] == 1
    assert content["metrics"]["val"].keys() >= {"accuracy", "balanced_accuracy", "macro_f1"}
    log = pd.read_csv(left / "log.csv")
    assert log["val_accuracy"][0] == pytest.approx(content["metrics"]["val"]["accuracy"])


def test_the_file_answers_as_the_table_says(own_study: tuple[Path, list[str]]) -> None:
    folder, short = own_study
    main(["train", "study=main", *short])
    left = folder / "trained" / "b0"
    subject = read_subject(str(left / "model.yaml"))
    network = load(left / "model.yaml")
    again = load(left / "model.safetensors")
    config = yaml.safe_load((folder / "config.yaml").read_text())
    data = load_data("npz", root=config["dataset"]["root"], resolution=8)
    batches = prepare(data, subject.arch.resolution)
    with torch.inference_mode():
        logits = all_logits(network, batches, batches.test)
        assert torch.equal(logits, all_logits(again, batches, batches.test))
    kept, labels = read_outcomes(left)
    torch.testing.assert_close(kept, logits, rtol=1e-4, atol=1e-4)
    right = (logits.argmax(1) == labels).float().mean().item()
    content = yaml.safe_load((left / "model.yaml").read_text())
    figure = content["metrics"]["test"]["accuracy"]
    assert figure["value"] == pytest.approx(right)
    assert figure["low"] <= right <= figure["high"]


def test_known_weights_and_what_they_are_worth(train_digits: Train, tmp_path: Path) -> None:
    recipe = {"name": "small", "epochs": 1, "batch_size": 128}
    [first] = train_digits(name="first", recipe=recipe).trained
    weights = str(first.folder / "model.safetensors")
    result = train_digits(name="again", weights=weights, recipe=recipe, compare="pretrain")
    [comparison] = result.comparisons
    assert result.trained[0].content["started_from"] == weights
    assert "started_from" not in comparison.without.content
    assert comparison.gain.value > 0
    # Another resolution, and more channels: the same weights, grown.
    wider = NETWORK.replace("c24", "c32").replace("r8", "r10")
    [grown] = train_digits(
        name="grown", network=wider, start="first", recipe={**recipe, "lr": 0.0, "ema": 0.0}
    ).trained
    assert grown.content["started_from"] == "first"


def test_from_the_supernet(train_digits: Train, tmp_path: Path) -> None:
    path = tmp_path / "results" / "digits" / "supernet.pt"
    recipe = {"name": "small", "epochs": 1, "batch_size": 256, "lr": 0.0, "ema": 0.0}
    with pytest.raises(ScalingError, match=r"there is no .*supernet.pt; a search with evaluator"):
        train_digits(start="supernet", recipe=recipe)
    path.parent.mkdir(parents=True, exist_ok=True)
    state = Network(parse_arch(NETWORK.replace("c24", "c40")), 10).state_dict()
    tensors = {name: value for name, value in state.items() if "running" not in name}
    torch.save({"tensors": tensors, "num_classes": 10}, path)
    [found] = train_digits(start="supernet", recipe=recipe).trained
    assert found.content["started_from"] == "supernet"
    own = found.network().stages[0][0].project.conv.weight
    assert torch.equal(own, state["stages.0.0.project.conv.weight"][:24])


def test_several_labels(tmp_path: Path) -> None:
    generator = np.random.default_rng(0)
    labels = (generator.random((260, 3)) < 0.4).astype(np.uint8)
    images = generator.integers(0, 90, (260, 8, 8)).astype(np.uint8)
    for place in range(3):  # a label is a bright row
        images[labels[:, place] > 0, 2 * place + 1] += 150
    np.savez(
        tmp_path / "rows.npz", x_train=images[:200], y_train=labels[:200], x_test=images[200:],
        y_test=labels[200:],
    )  # fmt: skip
    [found] = train(
        "rows", str(tmp_path), network=NETWORK, kernels="torch", precision="fp32", device="cpu",
        dataset={"name": "npz", "root": str(tmp_path / "rows.npz")}, task="multilabel",
        recipe={"epochs": 8, "batch_size": 32},
    ).trained  # fmt: skip
    assert found.content["task"] == "multilabel"
    assert 0 < found.content["threshold"] < 1
    assert found.test.keys() >= {"map", "macro_f1", "accuracy", "loss"}
    assert found.test["map"]["value"] > 0.6
    assert found.network().classifier.out_features == 3


@pytest.mark.parametrize("name", options("recipe"))
def test_recipes_are_what_they_say(name: str) -> None:
    """The optimizer has the rate, momentum and epsilon of the recipe; norms have no decay."""
    target = Target("b0", parse_arch(NETWORK))
    recipe = settle_recipe(recipe_named(name), target, flip=True)
    network = make_network(target, 10, recipe, 0)
    parts = make_parts(
        network, recipe, Machine("cpu", "fp32", "torch"), 10, torch.nn.functional.cross_entropy,
        ALONE,
    )  # fmt: skip
    decays = {
        group["weight_decay"]: {parameter.ndim for parameter in group["params"]}
        for group in parts.optimizer.param_groups
    }
    assert decays[0.0] == {1}
    assert 1 not in decays[recipe.weight_decay]
    parts.schedule.step_update(int(10 * recipe.warmup_epochs))
    rate = parts.optimizer.param_groups[0]["lr"]
    assert rate == pytest.approx(recipe.lr, rel=0.1)
    if recipe.eps is not None:
        assert parts.optimizer.param_groups[0]["eps"] == recipe.eps
        assert parts.optimizer.param_groups[0]["momentum"] == 0.9
        parts.schedule.step_update(10 * 24)  # ten times 2.4 epochs of ten steps
        assert parts.optimizer.param_groups[0]["lr"] == pytest.approx(recipe.lr * 0.97**10)
    assert network.dropout.p == recipe.dropout


def test_the_help_lists_every_setting() -> None:
    text = help_text()
    for name in setting_kinds(TrainConfig):
        assert f"  {name}=" in text, name
    for name in options("recipe"):
        assert re.search(rf"^  {name} ", text, re.MULTILINE)
    assert "train [NETWORK]" in HELP
    lines = text.splitlines()
    bare = [line for line in lines if line.startswith("  ") and "=" in line and line[2] != " "]
    assert len(bare) > 50


def test_recipes_say_where_they_are_from() -> None:
    root = Path(__file__).resolve().parents[3] / "conf" / "recipe"
    for name in options("recipe"):
        text = (root / f"{name}.yaml").read_text(encoding="utf-8")
        assert text.startswith("# "), name
        assert len(text.partition("\nname:")[0]) > 150, name
    assert recipe_named("small") == TrainConfig().recipe != RecipeConfig()


def test_a_study_without_members_is_one_line(refuse: Refuse) -> None:
    assert "no study 'main' in results" in refuse("scaling", "train")


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"recipe": {"optimizer": "adamww"}}, r"recipe\.optimizer=adamww: .*a name of timm's"),
        ({"recipe": {"schedule": "cosin"}}, r"recipe\.schedule=cosin: .*for example cosine"),
        ({"recipe": {"schedule": "none"}}, r"recipe\.schedule=none: "),
    ],
)
def test_what_timm_does_not_know_is_one_line(
    settings: dict[str, Any], message: str, train_digits: Train
) -> None:
    with pytest.raises(ScalingError, match=message):
        train_digits(**settings)


def test_a_name_in_a_file_leads_nowhere_else(tmp_path: Path) -> None:
    path = tmp_path / "own" / "model.yaml"
    path.parent.mkdir()
    for name in ("..", ".", "../x", ".hidden"):
        path.write_text(yaml.safe_dump({"name": name, "arch": NETWORK}, width=10_000))
        assert read_subject(str(path)).name == "own"
