"""A plan for images and GPUs that are not here, against arithmetic by hand."""

import pytest

from search.__main__ import main
from search.assess import elsewhere as module
from search.assess.elsewhere import plan_elsewhere
from search.config.elsewhere import Elsewhere
from tests.conftest import Refuse
from tests.search.config.test_checks import config_of

SETTINGS = (
    "space=tiny", "objective=pareto", "proxy.resolution=32", "proxy.epochs=2", "search.trials=4",
    "search.references=[]", "search.finalists=1", "search.controls=1", "search.final_epochs=4",
    "workers.device=cpu",
)  # fmt: skip


def test_hours_are_steps_times_their_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "TYPICAL", 5)
    given = Elsewhere(6400, 640, 10, step_ms=100, step_arch="efficientnet_b0", gpus=2, node_gpus=1)
    found = plan_elsewhere(config_of(*SETTINGS), given)
    steps = dict(found.steps)
    # An image takes 100 ms / 64, its validation a third of that; B0 has more macs than candidates.
    assert found.macs < found.step_macs
    training = (2 * 6400 + 640 / 3) * 0.1 / 64
    assert steps["4 trials, 2 at once"] == pytest.approx(4 * training / 2)
    assert steps["1 controls"] == pytest.approx(training)
    assert found.nodes == 2
    assert found.reads == pytest.approx(3 * 32 * 32 * 64 / 0.1)
    assert found.pixels == 3 * 32 * 32 * 7040
    dearer = Elsewhere(6400, 640, 10, step_ms=100, gpus=2,
                       step_arch="r32-s8-[ds_r1_k3_s1_e1_c8]-h16")  # fmt: skip
    slower = plan_elsewhere(config_of(*SETTINGS), dearer)
    assert slower.seconds / found.seconds == pytest.approx(slower.macs / slower.step_macs, rel=1e-3)


def test_the_command_prints_it(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(module, "TYPICAL", 2)
    main(["plan", *SETTINGS, "elsewhere.images=6400", "elsewhere.val_images=640",
          "elsewhere.classes=10", "elsewhere.step_ms=100", "elsewhere.gpus=16"])  # fmt: skip
    said = capsys.readouterr().out
    assert said.startswith("planned, not run: from 100 ms")
    assert "16 GPUs, 2 of 8 GPUs a node" in said


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        (["elsewhere.gpus=8"], "elsewhere.images=0 is too small; expected 1 or more"),
        (["elsewhere.image=8"], "did you mean 'images'?"),
        (["elsewhere.images=5", "elsewhere.val_images=5", "elsewhere.classes=3"],
         "elsewhere.step_ms=0 is not a positive number"),
    ],
)  # fmt: skip
def test_what_is_missing_is_named(settings: list[str], said: str, refuse: Refuse) -> None:
    assert said in refuse("search", "plan", *SETTINGS, *settings)
