"""Our architectures as models of timm: `timm.create_model("compound_nas_<name>")`.

What is registered is timm's own EfficientNet or MobileNetV3, built from the same specification
and through timm's own registry, so that everything timm does with a model works: `pretrained`,
`features_only`, `num_classes`, `in_chans`, `drop_path_rate`; in the process that registered it,
which a training script does by importing a module that calls `register`. (timm reads a
name with a slash as a folder or a Hub repository, hence the underscore.) timm is not a
dependency of the toolkit: import this module where it is installed.
"""

import hashlib
import re
from functools import partial
from pathlib import Path
from typing import Any, Final

import torch
from timm.models import generate_default_cfgs, is_model, register_model
from timm.models._efficientnet_blocks import SqueezeExcite
from timm.models._efficientnet_builder import decode_arch_def
from timm.models.efficientnet import EfficientNet, _create_effnet
from timm.models.mobilenetv3 import MobileNetV3, _create_mnv3
from torch import nn

from blocks.arch import ACTIVATIONS, BOTTLENECKS, ArchSpec, StageSpec
from blocks.arch.walk import walk
from blocks.errors import ArchError
from blocks.images.reading import PUBLISHED, Reading
from blocks.layers import ACTIVATION_LAYERS, GATE_LAYERS
from blocks.network import Network
from blocks.rounding import squeezed_channels
from blocks.subject import read_subject
from blocks.weights.fit import load_weights
from blocks.weights.rename import to_foreign
from blocks.weights.timm import timm_stages

PREFIX: Final = "compound_nas_"

default_cfgs: dict[str, Any] = {}
"""What timm's registry reads of a module that registers models."""


def register(
    name: str,
    arch: ArchSpec,
    *,
    weights: Path | None = None,
    num_classes: int = 1000,
    mean: tuple[float, ...] | None = None,
    std: tuple[float, ...] | None = None,
    reading: Reading = PUBLISHED,
) -> str:
    """Register `arch` with timm in this process; returns the name to create it by.

    `weights` (any layout that `blocks.weights` reads, of `num_classes` classes) are what
    `pretrained=True` loads. `mean` and `std` of pixels in 0…1 are for timm's transforms, as are
    the crop and the interpolation of `reading`; None is ImageNet's for RGB, 0.5 else.

    Raises:
        ArchError: timm's builder cannot say the architecture, or the name is taken or none.
        WeightsError: see `blocks.weights.fit.load_weights`.
    """
    full_name = PREFIX + name
    if not full_name.isidentifier():
        raise ArchError(f"{name!r} cannot be the name of a timm model; expected letters, digits, _")
    if is_model(full_name):
        raise ArchError(f"timm already has a model {full_name!r}; register under another name")
    _refuse(arch)
    if num_classes < 1:
        raise ArchError(f"num_classes {num_classes} is not a whole number of 1 or more")
    rgb = arch.in_channels == 3
    mean = mean or ((0.485, 0.456, 0.406) if rgb else (0.5,) * arch.in_channels)
    std = std or ((0.229, 0.224, 0.225) if rgb else (0.5,) * arch.in_channels)
    if not len(mean) == len(std) == arch.in_channels:
        raise ArchError(f"mean {mean} and std {std} are not {arch.in_channels} numbers each")
    _compare(arch, num_classes)
    config: dict[str, Any] = {
        "num_classes": num_classes,
        "input_size": (arch.in_channels, *arch.image),
        "mean": mean,
        "std": std,
        "interpolation": reading.interpolation,
        "crop_pct": reading.crop,
        "crop_mode": {"crop": "center", "pad": "border", "squash": "squash"}[reading.resize],
        "first_conv": "conv_stem",
        "classifier": "classifier",
    }
    if weights is not None:
        network = Network(arch, num_classes)
        load_weights(network, weights)
        config["state_dict"] = to_foreign(network.state_dict(), arch, "timm")
        config["file"] = str(weights)  # timm asks for a place before it looks at tensors
    default_cfgs.update(generate_default_cfgs({full_name: config}))

    def entrypoint(pretrained: bool = False, **options: Any) -> nn.Module:
        create = _create_mnv3 if arch.head_hidden else _create_effnet
        options.setdefault("in_chans", arch.in_channels)
        if options.get("features_only"):  # timm's own default is the five maps of a stride of 32
            maps = [stage.stride for stage in arch.stages].count(2) + 1
            options.setdefault("out_indices", tuple(range(maps)))
        model: nn.Module = create(full_name, pretrained, **_definition(arch), **options)
        if arch.stem_stride == 1:
            _keep_size_in_stem(model)
        return model

    entrypoint.__name__ = full_name
    entrypoint.__module__ = __name__
    register_model(entrypoint)
    return full_name


def register_folder(folder: str | Path) -> str:
    """Register the network of a folder that `python -m scaling publish` wrote; returns the name to
    create it by. A second time it does nothing.

        model = timm.create_model(register_folder("results/published/b0"), pretrained=True).eval()

    Raises:
        ArchError, WeightsError: as `register`, or the folder holds no network with weights.
    """
    subject = read_subject(str(folder))
    if subject.weights is None or not subject.weights.is_file():
        raise ArchError(f"{folder} holds no weights; expected a folder of `scaling publish`")
    digest = hashlib.sha256(subject.weights.read_bytes()).hexdigest()[:8]
    name = f"{re.sub(r'[^A-Za-z0-9_]', '_', subject.name)}_{digest}"
    if is_model(PREFIX + name):
        return PREFIX + name
    return register(
        name,
        subject.arch,
        weights=subject.weights,
        num_classes=subject.num_classes,
        mean=subject.mean,
        std=subject.std,
        reading=subject.reading,
    )


def _keep_size_in_stem(model: Any) -> None:
    """Give a model of timm, whose stem always halves the map, one that does not."""
    model.conv_stem.stride = (1, 1)
    info = model.feature_info
    for feature in getattr(info, "info", info):
        feature["reduction"] //= 2


def _compare(arch: ArchSpec, num_classes: int) -> None:
    """Raise ArchError if timm would build other tensors: its roundings are its own."""
    with torch.device("meta"):
        options = {"in_chans": arch.in_channels, "num_classes": num_classes, **_definition(arch)}
        model = MobileNetV3(**options) if arch.head_hidden else EfficientNet(**options)
        ours = to_foreign(Network(arch, num_classes).state_dict(), arch, "timm")
    theirs = model.state_dict()
    for name, tensor in ours.items():
        if name not in theirs or theirs[name].shape != tensor.shape:
            shape = tuple(theirs[name].shape) if name in theirs else "missing"
            raise ArchError(
                f"timm's EfficientNet cannot say {arch}: its {name} is {shape}, ours "
                f"{tuple(tensor.shape)}"
            )


def _definition(arch: ArchSpec) -> dict[str, Any]:
    """The arguments of timm's EfficientNet or MobileNetV3 that build `arch`."""
    grouped: dict[int, list[str]] = {}
    for number, stage in zip(timm_stages(arch), arch.stages, strict=True):
        grouped.setdefault(number, []).append(_spelling(stage, arch.se_base))
    stages = list(grouped.values())
    own = {}
    if arch.head_hidden:
        stages.append([f"cn_r1_k1_s1_c{arch.head}"])
        own["se_from_exp"] = False
    return {
        **own,
        "block_args": decode_arch_def(stages),  # type: ignore[no-untyped-call]
        "num_features": arch.head_hidden or arch.head,
        "stem_size": arch.stem,
        "fix_stem": True,
        "round_chs_fn": _as_it_is,
        "act_layer": ACTIVATION_LAYERS[arch.act],
        "norm_layer": partial(nn.BatchNorm2d, eps=arch.norm_eps, momentum=arch.norm_momentum),
        "se_layer": partial(
            SqueezeExcite,
            gate_layer=GATE_LAYERS[arch.se_gate],
            force_act_layer=ACTIVATION_LAYERS[arch.se_act] if arch.se_act else None,
            rd_round_fn=partial(_squeezed, divisor=arch.se_divisor),
        ),
        "pad_type": "same" if arch.padding == "same" else "",
    }


def _as_it_is(channels: int) -> int:
    return channels


def _squeezed(channels: float, divisor: int) -> int:
    # timm multiplies the inner width by ratio/expansion, whose dust would cost a channel.
    return squeezed_channels(1, channels + 1e-6, divisor)


def _spelling(stage: StageSpec, se_base: str) -> str:
    """The stage as timm writes it: squeeze-excite relative to the input, `cn` asks to skip."""
    tokens = [
        stage.block,
        f"r{stage.repeats}",
        f"k{stage.kernel}",
        f"s{stage.stride}",
        f"e{stage.expand_ratio!r}",
        f"c{stage.channels}",
    ]
    if stage.se_ratio:
        of_input = stage.se_ratio * (stage.expand_ratio if se_base == "expanded" else 1)
        tokens.append(f"se{of_input!r}")
    if stage.act is not None:
        tokens.append(ACTIVATIONS[stage.act])
    if not stage.skip:
        tokens.append("noskip")
    elif stage.block == "cn":
        tokens.append("skip")
    return "_".join(tokens)


def _refuse(arch: ArchSpec) -> None:
    """Raise ArchError for what timm's EfficientNet builder has no word for."""
    reasons = {
        "a bottleneck block": any(stage.block in BOTTLENECKS for stage in arch.stages),
        "a stem other than one 3×3 convolution": ((arch.stem_kernel, arch.stem_pool) != (3, False)),
        "no head convolution": arch.head == 0,
        "group normalisation": arch.norm_group_size > 0,
        "a global residual": arch.global_residual,
        "an inner width that is not a multiple of 8, to which timm rounds": any(
            width % 8 for width in _expanded_widths(arch)
        ),
    }
    for reason, holds in reasons.items():
        if holds:
            raise ArchError(f"timm's EfficientNet cannot say {arch}: it has {reason}")


def _expanded_widths(arch: ArchSpec) -> list[int]:
    return [block.hidden for block in walk(arch) if block.stage.block in ("ir", "er")]
