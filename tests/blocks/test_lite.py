"""The Lite form: Lite0–4 come out of B0–B4."""

import pytest

from blocks.arch import parse_arch
from blocks.errors import ArchError
from blocks.lite import lite
from blocks.zoo import EFFICIENTNET_B0, LITE_RESOLUTIONS, ZOO


@pytest.mark.parametrize("number", range(5))
def test_the_published_lites_come_out(number: int) -> None:
    name = f"efficientnet_b{number}"
    changed, _ = lite(ZOO[name], EFFICIENTNET_B0, LITE_RESOLUTIONS[name])
    assert changed == ZOO[f"efficientnet_lite{number}"]


def test_every_change_is_said() -> None:
    _, changes = lite(ZOO["efficientnet_b3"], EFFICIENTNET_B0, 280)
    assert changes == [
        "stage 1: squeeze-excite 0.25 → none",
        "stage 1: repeats 2 → 1",
        *(f"stage {number}: squeeze-excite 0.25 → none" for number in range(2, 8)),
        "stage 7: repeats 2 → 1",
        "activation silu → relu6",
        "stem channels 40 → 32",
        "head channels 1536 → 1280",
        "resolution 300 → 280",
    ]


def test_mobilenetv3_loses_its_gates_and_its_activations() -> None:
    changed, changes = lite(ZOO["mobilenetv3_small"])
    assert all(stage.se_ratio == 0 and stage.act is None for stage in changed.stages)
    assert (changed.act, changed.se_gate, changed.se_divisor) == ("relu6", "sigmoid", 1)
    assert "activation hard_swish → relu6" in changes
    assert "stage 2: activation relu → relu6" in changes


def test_a_lite_network_stays_as_it_is() -> None:
    arch = ZOO["efficientnet_lite2"]
    assert lite(arch) == (arch, [])


def test_a_base_of_another_shape_is_refused() -> None:
    with pytest.raises(ArchError, match="the base has 7 stages and the network 1"):
        lite(parse_arch("r8-s8-[ds_r1_k3_s1_e1_c8]-h8"), EFFICIENTNET_B0)
