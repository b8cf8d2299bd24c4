"""Shared weights: slices that are networks, a training that can be cut, judges behind commands."""

import json
from dataclasses import replace
from pathlib import Path

import pytest
import torch
import torch.nn.functional as F
import yaml
from torch import Tensor

from blocks.arch import ArchSpec, parse_arch
from blocks.cost import count
from blocks.functional import forward, tensor_shapes
from blocks.network import Network
from search.assess.scores import scores
from search.config.schema import DatasetConfig, ProxyConfig, RunConfig
from search.config.steps import SupernetConfig
from search.data.batches import prepare
from search.data.datasets import load_data
from search.data.splits import ImageData, Split
from search.errors import ConfigError, StudyError
from search.evaluators.supernet import judge_job
from search.evaluators.train import make_job, run_job
from search.record.trials import read_records
from search.space.budget import cost_budget
from search.space.choices import build_space
from search.space.members import SpaceCandidates, draw_members
from search.study.settle import check_settings
from search.training.supernet import Supernet, build_supernet
from search.training.train_supernet import backward, judge, train_supernet
from tests.conftest import Cli
from tests.search.config.test_checks import config_of

SPACES = [
    ["budget.max_macs=2M"],
    ["budget.target=2M"],
    ["budget.target=40k", "budget.metric=params", "budget.solve=width_depth"],
    ["budget.target=300k", "budget.metric=activations", "space.rounding=floor"],
    ["space.global_residual=true", "space.head=0", "space.act=hard_swish", "space.stem_stride=1"],
]
DIGITS = ["proxy.resolution=8", "budget.max_macs=100k"]


def candidates_of(*settings: str) -> SpaceCandidates:
    config: RunConfig = config_of("space=tiny", *settings)
    budget = cost_budget(config)
    space = build_space(config.space, config.proxy.resolution, 1, 10, budget)
    return SpaceCandidates(space, budget, 10)


def supernet_of(candidates: SpaceCandidates) -> Supernet:
    return build_supernet(candidates.space, candidates.budget, candidates.num_classes, seed=0)


def members(candidates: SpaceCandidates, number: int) -> list[ArchSpec]:
    return [parse_arch(one) for one in draw_members(candidates, number, seed=1)]


@pytest.mark.parametrize("settings", SPACES)
def test_every_member_is_a_slice_and_the_slice_is_the_network(settings: list[str]) -> None:
    candidates = candidates_of(*settings)
    supernet = supernet_of(candidates)
    drawn = members(candidates, 10)
    assert all(supernet.holds(arch) for arch in drawn)
    images = torch.randn(4, 1, 28, 28)
    for arch in drawn[:5]:
        network = Network(arch, 10)
        network.load_state_dict(supernet.state(arch))
        shapes = {name: tuple(one.shape) for name, one in network.named_parameters()}
        assert tensor_shapes(arch, 10) == shapes
        # In training mode, which moves the statistics; then by the moved ones.
        ours = forward(arch, supernet.state(arch), images)
        torch.testing.assert_close(ours, network.train()(images), rtol=1e-4, atol=1e-5)
        ours = forward(arch, network.state_dict(), images, training=False)
        torch.testing.assert_close(ours, network.eval()(images), rtol=1e-4, atol=1e-5)


@pytest.mark.slow
@pytest.mark.parametrize("settings", SPACES[:4])
def test_no_member_of_many_is_wider_than_the_supernet(settings: list[str]) -> None:
    candidates = candidates_of(*settings)
    supernet = supernet_of(candidates)
    assert all(supernet.holds(arch) for arch in members(candidates, 150))


def test_a_slice_is_the_first_channels_the_centre_of_the_kernel_and_the_first_repeats() -> None:
    supernet = supernet_of(candidates_of("budget.max_macs=2M"))
    arch = parse_arch(
        "r28-i1-s16-[ds_r1_k3_s1_e1_c8|ir_r2_k5_s2_e4_c16_se0.25|ir_r1_k7_s2_e6_c96_noskip]-h128"
    )
    state = supernet.state(arch)
    shared = supernet.tensors
    expected = {
        "stages.0.0.depthwise.conv.weight": shared["stages.0.0.depthwise.conv.weight"][
            :16, :, 2:5, 2:5
        ],
        "stages.1.1.depthwise.conv.weight": shared["stages.1.1.depthwise.conv.weight"][
            :64, :, 1:6, 1:6
        ],
        "stages.1.1.squeeze_excite.fc1.weight": shared["stages.1.1.squeeze_excite.fc1.weight"][
            :4, :64
        ],
        "stages.2.0.expand.conv.weight": shared["stages.2.0.expand.conv.weight"][:96, :16],
        "head.norm.bias": shared["head.norm.bias"],
    }
    for name, tensor in expected.items():
        assert torch.equal(state[name], tensor), name
    wider = "r28-i1-s16-[ds_r1_k3_s1_e1_c8|ir_r1_k5_s2_e4_c56|ir_r1_k7_s2_e6_c96]-h128"
    with pytest.raises(ConfigError, match=r"at most \(48, 144, 1, 1\)"):
        supernet.state(parse_arch(wider))
    assert not supernet.holds(parse_arch(wider))


@pytest.fixture(scope="module")
def data(digits: Path) -> ImageData:
    return load_data(DatasetConfig(root=str(digits)), 8)


PROXY = ProxyConfig(resolution=8, flip=False, crop_padding=0)


def trained(data: ImageData, path: Path, settings: SupernetConfig, **options: object) -> Supernet:
    candidates = candidates_of(*DIGITS)
    supernet, seconds = train_supernet(
        candidates,
        data,
        PROXY,
        settings,
        3,
        path,
        **options,  # type: ignore[arg-type]
    )
    assert seconds > 0
    return supernet


@pytest.mark.parametrize("kernels", ["torch", "auto"])
def test_gradients_of_the_slices_are_those_of_the_whole(data: ImageData, kernels: str) -> None:
    candidates = candidates_of(*DIGITS)
    ours, theirs = supernet_of(candidates), supernet_of(candidates)
    batches = prepare(data, 8)
    images, labels = batches.normalise(batches.train.images[:32]), batches.train.labels[:32]
    for arch in members(candidates, 3):
        backward(ours, arch, images, labels, 0.1)
        parts: dict[str, Tensor] = {
            name: theirs.tensors[name][part] for name, part in theirs.slices(arch)
        }
        logits = forward(arch, parts, images, kernels=kernels)
        F.cross_entropy(logits, labels, label_smoothing=0.1).backward()  # type: ignore[no-untyped-call]
    for name, tensor in theirs.tensors.items():
        grad = ours.tensors[name].grad
        assert (grad is None) == (tensor.grad is None), name
        if grad is not None:
            torch.testing.assert_close(grad, tensor.grad, rtol=1e-3, atol=1e-5)


def test_a_training_in_pieces_is_the_same_training(data: ImageData, tmp_path: Path) -> None:
    settings = SupernetConfig(epochs=3, samples=1)
    whole = trained(data, tmp_path / "whole.pt", settings)

    def cut(epoch: int, loss: float, seconds: float) -> None:
        if epoch == 2:
            raise KeyboardInterrupt  # before this epoch is on disk

    with pytest.raises(KeyboardInterrupt):
        trained(data, tmp_path / "cut.pt", settings, say=cut)
    heard: list[int] = []
    again = trained(
        data, tmp_path / "cut.pt", settings, say=lambda epoch, loss, seconds: heard.append(epoch)
    )
    assert heard == [2, 3]
    for name, tensor in whole.tensors.items():
        assert torch.equal(tensor, again.tensors[name]), name


def test_members_of_a_trained_supernet_know_digits(data: ImageData, tmp_path: Path) -> None:
    supernet = trained(data, tmp_path / "0.pt", SupernetConfig(epochs=8))
    candidates = candidates_of(*DIGITS)
    batches = prepare(data, 8)
    drawn = members(candidates, 4)
    found = [judge(supernet, arch, batches, 512) for arch in drawn]
    assert min(scores.accuracy for scores in found) > 0.5
    untrained = judge(supernet_of(candidates), drawn[0], batches, 512)
    assert found[0].accuracy > untrained.accuracy + 0.3
    assert found[0].loss < untrained.loss

    # Batch norm is measured on images of all classes, however they lie.
    order = batches.train.labels.argsort(stable=True)
    by_class = Split(batches.train.images[order], batches.train.labels[order])
    lying = judge(supernet, drawn[0], replace(batches, train=by_class), 512)
    assert lying.accuracy == pytest.approx(found[0].accuracy, abs=0.05)

    # The same behind the evaluators' protocol, and as the beginning of a training.
    job = make_job(str(drawn[0]), 0, seed=0)
    done = judge_job(job, supernet, data, 512)
    assert done.metrics == found[0].metrics("val")
    assert done.cost == count(drawn[0], 10)
    job = make_job(str(drawn[0]), 1, seed=0)
    scratch = run_job(job, data, PROXY, supernet)
    inherited = run_job(replace(job, inherit=True), data, PROXY, supernet)
    assert inherited.metrics["train_loss"] < scratch.metrics["train_loss"] - 0.3


@pytest.mark.slow
def test_a_search_by_the_supernet(cli: Cli, tmp_path: Path, digits_settings: list[str]) -> None:
    settings = [*digits_settings, "evaluator=supernet", "supernet.epochs=2", "search.controls=2"]
    shown = cli("search", "run", *settings).stdout
    assert "B0 by the same proxy as the controls" in shown
    study = tmp_path / "results" / "main"
    records = read_records(study / "trials.jsonl")
    assert len(records) == 6
    lines = [json.loads(line) for line in (study / "trials.jsonl").read_text().splitlines()]
    assert all(line["fidelity"] == {"epochs": 0} for line in lines)
    b0 = yaml.safe_load((study / "b0.yaml").read_text())
    assert b0["supernet"]["val_accuracy"] == max(one["metrics"]["val_accuracy"] for one in lines)
    assert b0["proxy"]["epochs"] == 1
    assert b0["final"]["epochs"] == 2
    weights = (study / "supernet.pt").read_bytes()
    assert not list((study / "checkpoints").iterdir())

    # It goes on with the supernet that it has.
    cli("search", "run", *settings, "search.trials=7")
    assert len(read_records(study / "trials.jsonl")) == 7
    assert (study / "supernet.pt").read_bytes() == weights
    with pytest.raises(StudyError, match="judged by evaluator=supernet"):
        scores(str(tmp_path / "results"), "main")


@pytest.mark.slow
def test_proxies_that_inherit_and_the_fidelity_of_a_supernet(
    cli: Cli, tmp_path: Path, digits_settings: list[str]
) -> None:
    few = ["supernet.epochs=2", "fidelity.architectures=5", "fidelity.epochs=2",
           "fidelity.seeds=2", "fidelity.repeated=1"]  # fmt: skip
    settings = [*digits_settings, *few, "proxy.init_from=supernet"]
    shown = cli("search", "fidelity", *settings, "fidelity.supernet=true").stdout
    study = tmp_path / "results" / "main"
    report = json.loads((study / "fidelity.json").read_text())
    assert report["supernet"]["verdict"] in shown.replace("\n", " ")
    assert report["supernet"]["name"] == "the supernet"
    assert {"with_proxy", "by_loss"} <= report["supernet"].keys()
    inherited = read_records(study / "fidelity.jsonl")
    assert len(inherited) == 2 * 6 + 5
    cli("search", "run", *settings, "search.trials=2", "search.final_epochs=1")


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        (["evaluator=supernets"], "evaluator=supernets is unknown; expected one of train, super"),
        (["proxy.init_from=x"], "proxy.init_from=x is unknown; expected one of supernet"),
        (
            ["evaluator=supernet", "search.pruner=asha", "budget.target=2M"],
            "search.pruner=asha has no training to stop with evaluator=supernet",
        ),
        (["supernet.epochs=0"], "supernet.epochs=0 is too small"),
        (["supernet.lr=0"], "supernet.lr=0.0 is not a positive number"),
        (["supernet.ema=1"], "supernet.ema=1.0 is not a fraction"),
    ],
)
def test_settings_that_cannot_be(settings: list[str], message: str) -> None:
    with pytest.raises(ConfigError) as refused:
        check_settings(config_of(*settings))
    assert message in str(refused.value)
