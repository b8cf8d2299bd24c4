"""The Lite form of a network: what EfficientNet-Lite changed, for any architecture."""

from dataclasses import replace

from blocks.arch import ArchSpec
from blocks.errors import ArchError


def lite(
    arch: ArchSpec, base: ArchSpec | None = None, resolution: int | None = None
) -> tuple[ArchSpec, list[str]]:
    """The Lite form of `arch`, and a line for each change.

    No squeeze-excite and ReLU6 throughout, which quantise well and run on any accelerator; and
    the stem, the head and the repeats of the first and last stage of `base`, the network that
    `arch` was scaled up from (None: it was not scaled, so its own stay). `resolution` replaces
    that of `arch` where given: Lite3 and Lite4 were published below B3's and B4's.

    Source: tensorflow/tpu efficientnet/lite (efficientnet_lite_builder.py).

    Raises:
        ArchError: `base` has another number of stages.
    """
    base = base or arch
    if len(base.stages) != len(arch.stages):
        raise ArchError(
            f"the base has {len(base.stages)} stages and the network {len(arch.stages)}; expected "
            "the network that it was scaled up from"
        )
    last = len(arch.stages) - 1
    stages = tuple(
        replace(
            stage,
            se_ratio=0.0,
            act=None,
            repeats=base.stages[number].repeats if number in (0, last) else stage.repeats,
        )
        for number, stage in enumerate(arch.stages)
    )
    changed = replace(
        arch,
        stem=base.stem,
        head=base.head,
        head_hidden=base.head_hidden,
        stages=stages,
        act="relu6",
        se_gate="sigmoid",
        se_act=None,
        se_base="input",
        se_divisor=1,
    )
    if resolution is not None:
        changed = changed.resized(resolution)
    return changed, _differences(arch, changed)


def _differences(before: ArchSpec, after: ArchSpec) -> list[str]:
    lines = []
    for number, (old, new) in enumerate(zip(before.stages, after.stages, strict=True), 1):
        if old.se_ratio:
            lines.append(f"stage {number}: squeeze-excite {old.se_ratio:g} → none")
        if old.repeats != new.repeats:
            lines.append(f"stage {number}: repeats {old.repeats} → {new.repeats}")
        old_act, new_act = old.act or before.act, new.act or after.act
        if old.act is not None and old_act != new_act:
            lines.append(f"stage {number}: activation {old_act} → {new_act}")
    for field, name in (
        ("act", "activation"),
        ("stem", "stem channels"),
        ("head", "head channels"),
        ("head_hidden", "hidden layer of the head"),
        ("image", "resolution"),
    ):
        old_value, new_value = getattr(before, field), getattr(after, field)
        if old_value != new_value:
            lines.append(f"{name} {old_value} → {new_value}")
    return lines
