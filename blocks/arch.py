"""Architectures as frozen values, and their one-line spelling.

A network is written `r224-s32-[ds_r1_k3_s1_e1_c16_se0.25|ir_r2_k3_s2_e6_c24_se0.25]-h1280`:
input resolution, stem channels, stages in timm's shorthand, head channels, and after them
whatever departs from the defaults. Tokens at their default are left out, so that equal
architectures have equal spellings.
"""

import difflib
import math
import re
from collections.abc import Mapping
from dataclasses import dataclass, fields
from decimal import Decimal
from typing import Any, Final, TypeVar

from blocks.errors import ArchError
from blocks.rounding import expanded_channels

BLOCKS: Final = {
    "ir": "MBConv: expand, depthwise, squeeze-excite (MobileNetV2: none), project",
    "ds": "depthwise-separable: the same without the expansion (MBConv1)",
    "er": "Fused-MBConv: k×k expansion, squeeze-excite, project",
    "cn": "Fused-MBConv1: one k×k convolution",
    "bt": "ResNet bottleneck: reduce, k×k, expand, projected shortcut",
    "bx": "ResNeXt bottleneck: the same with a grouped k×k convolution",
}
"""Block token → what it is. `blocks.layers.BLOCK_LAYERS` holds the module of each."""
_WITHOUT_EXPANSION: Final = ("ds", "cn")
BOTTLENECKS: Final = ("bt", "bx")
_WITH_SQUEEZE_EXCITE: Final = ("ir", "ds", "er")

ACTIVATIONS: Final = {"silu": "nsw", "relu": "nre", "relu6": "nr6", "hard_swish": "nhs"}
"""Activation name → token; the tokens are timm's (`n` for non-linearity)."""
_ACTIVATION_OF_TOKEN: Final = {token: name for name, token in ACTIVATIONS.items()}

GATES: Final = ("sigmoid", "hard_sigmoid")
SE_BASES: Final = ("input", "expanded")
PADDINGS: Final = ("symmetric", "same")
MAX_KERNEL: Final = 31
"""The largest kernel that the field trains (RepLKNet, arXiv 2203.06717)."""

_Spec = TypeVar("_Spec")


@dataclass(frozen=True, slots=True)
class StageSpec:
    """A row of the paper's Table 1: `repeats` equal blocks, of which the first carries the stride.

    `block` is a key of `BLOCKS`. `expand_ratio` is the inner width relative to the block's
    input, and for the bottlenecks `bt` and `bx` relative to its output (0.25 in ResNet).
    `se_ratio` is relative to the channels that enter the block (tensorflow/tpu
    efficientnet_model.py) unless the architecture says otherwise; 0 leaves squeeze-excite out.
    `skip=False` (timm's `noskip`) drops the shortcut. `groups` are those of the k×k convolution
    of `bx`. `act` is this stage's own activation; None is the architecture's.

    Raises:
        ArchError: a field is outside its range.
    """

    block: str
    repeats: int
    kernel: int
    stride: int
    expand_ratio: float
    channels: int
    se_ratio: float = 0.0
    skip: bool = True
    groups: int = 1
    act: str | None = None

    def __post_init__(self) -> None:
        _check_word("block", self.block, BLOCKS)
        _check_int("repeats", self.repeats, 1)
        _check_int("kernel", self.kernel, 3)
        if self.kernel % 2 == 0:
            raise ArchError(f"kernel {self.kernel} is even; expected an odd kernel of 3 or more")
        if self.kernel > MAX_KERNEL:
            raise ArchError(f"kernel {self.kernel} is over {MAX_KERNEL}, the largest allowed")
        _check_stride("stride", self.stride)
        _check_int("channels", self.channels, 1)
        bottleneck = self.block in BOTTLENECKS
        least, most = (1 / 64, 1.0) if bottleneck else (1.0, 64.0)
        _check_real("expand_ratio", self.expand_ratio, least, most)
        _check_real("se_ratio", self.se_ratio, 0.0, 1.0)
        if self.block in _WITHOUT_EXPANSION and self.expand_ratio != 1:
            raise ArchError(
                f"block {self.block} has expand_ratio {self.expand_ratio:g}; it has no "
                f"expansion, so expected 1 (or block {'ir' if self.block == 'ds' else 'er'})"
            )
        if self.block in ("ir", "er") and self.expand_ratio == 1:
            raise ArchError(
                f"block {self.block} has expand_ratio 1; without an expansion it is block "
                f"{'ds' if self.block == 'ir' else 'cn'}, and one network has one spelling"
            )
        if self.se_ratio and self.block not in _WITH_SQUEEZE_EXCITE:
            raise ArchError(
                f"block {self.block} has se_ratio {self.se_ratio:g}; squeeze-excite is a part of "
                f"{', '.join(_WITH_SQUEEZE_EXCITE)} only"
            )
        _check_int("groups", self.groups, 1)
        if (self.groups > 1) != (self.block == "bx"):
            raise ArchError(
                f"block {self.block} has groups {self.groups}; expected "
                + ("2 or more (one group is block bt)" if self.block == "bx" else "1 (or block bx)")
            )
        if bottleneck:
            inner = expanded_channels(self.channels, self.expand_ratio)
            if inner < 1 or inner % self.groups:
                raise ArchError(
                    f"block {self.block} has {inner} inner channels (channels {self.channels} × "
                    f"expand_ratio {self.expand_ratio:g}); expected a multiple of its "
                    f"{self.groups} groups"
                )
        if self.act is not None:
            _check_word("act", self.act, ACTIVATIONS)


@dataclass(frozen=True, slots=True)
class ArchSpec:
    """A whole network: stem, stages, 1×1 head convolution, pooling, classifier.

    `resolution` is the side of the square input in pixels, `stem` and `head` are channels;
    `head=0` has no head convolution (ResNet), `head_hidden` is a linear layer between pooling
    and classifier (MobileNetV3), `stem_pool` a 3×3 max pooling of stride 2 after the stem.

    Squeeze-excite, network-wide: `se_gate`, `se_act` (None: the stage's activation), `se_base`
    (what `se_ratio` multiplies) and `se_divisor` (what the squeezed channels are rounded to).
    `padding="same"` is TensorFlow's, asymmetric at stride 2. `norm_momentum` is PyTorch's sense
    (weight of the new batch). `norm_group_size` of 2 or more is group normalisation with groups
    of so many channels instead of batch normalisation (0).
    `global_residual` is an experiment: the outputs of all stages, projected to the last
    stage's channels by strided 1×1 convolutions, are summed into the head.

    Raises:
        ArchError: a field is outside its range, or `resolution` is too small for the strides.
    """

    stem: int
    stages: tuple[StageSpec, ...]
    head: int
    resolution: int
    act: str = "silu"
    stem_stride: int = 2
    in_channels: int = 3
    stem_kernel: int = 3
    stem_pool: bool = False
    head_hidden: int = 0
    se_gate: str = "sigmoid"
    se_act: str | None = None
    se_base: str = "input"
    se_divisor: int = 1
    padding: str = "symmetric"
    norm_eps: float = 1e-5
    norm_momentum: float = 0.1
    norm_group_size: int = 0
    global_residual: bool = False

    def __post_init__(self) -> None:
        _check_int("stem", self.stem, 1)
        _check_int("head", self.head, 0)
        _check_int("head_hidden", self.head_hidden, 0)
        _check_int("resolution", self.resolution, 1)
        _check_int("in_channels", self.in_channels, 1)
        _check_stride("stem_stride", self.stem_stride)
        _check_int("stem_kernel", self.stem_kernel, 3)
        if self.stem_kernel % 2 == 0 or self.stem_kernel > MAX_KERNEL:
            raise ArchError(
                f"stem_kernel {self.stem_kernel} is not an odd number from 3 to {MAX_KERNEL}"
            )
        if not isinstance(self.stages, tuple) or not self.stages:
            raise ArchError(f"stages {self.stages!r} is not a tuple of at least one StageSpec")
        _check_word("act", self.act, ACTIVATIONS)
        for stage in self.stages:
            if not isinstance(stage, StageSpec):
                raise ArchError(f"stages holds {stage!r}, which is not a StageSpec")
            if stage.act == self.act:
                raise ArchError(
                    f"stage {_format_stage(stage)!r} names act {stage.act}, which is the whole "
                    "network's; leave it out, as one network has one spelling"
                )
        _check_word("se_gate", self.se_gate, GATES)
        if self.se_act is not None:
            _check_word("se_act", self.se_act, ACTIVATIONS)
        _check_word("se_base", self.se_base, SE_BASES)
        _check_int("se_divisor", self.se_divisor, 1)
        _check_word("padding", self.padding, PADDINGS)
        _check_real("norm_eps", self.norm_eps, 1e-12, 1.0)
        _check_real("norm_momentum", self.norm_momentum, 0.0, 1.0)
        _check_int("norm_group_size", self.norm_group_size, 0)
        self._check_group_norm()
        self._check_resolution()

    def _check_group_norm(self) -> None:
        size = self.norm_group_size
        if size == 0:
            return
        if size == 1:
            raise ArchError("norm_group_size 1 leaves one channel a group; expected 0, or over 1")
        widths = {"stem": self.stem, "head": self.head}
        channels = self.stem
        for number, stage in enumerate(self.stages, 1):
            bases = [stage.channels] if stage.block in BOTTLENECKS else [channels, stage.channels]
            for base in bases[: stage.repeats]:
                inner = expanded_channels(base, stage.expand_ratio)
                widths[f"stage {number} (inner, of {base})"] = inner
            channels = widths[f"stage {number}"] = stage.channels
        for name, width in widths.items():
            if width % size:
                raise ArchError(
                    f"{name} has {width} channels; expected a multiple of norm_group_size {size}"
                )

    def _check_resolution(self) -> None:
        """Refuse a stride on a 1×1 map: it would drop nothing but the name of a downsampling."""
        if self.resolution < self.least_resolution:
            halvings = self.total_stride.bit_length() - 1
            raise ArchError(
                f"resolution {self.resolution} is too small for {halvings} strides of 2; "
                f"expected {self.least_resolution} or more"
            )

    @property
    def total_stride(self) -> int:
        """Pixels of the image per element of the last map, along a side."""
        strides = [self.stem_stride, 2 if self.stem_pool else 1, *(s.stride for s in self.stages)]
        return math.prod(strides)

    @property
    def least_resolution(self) -> int:
        """The least image on whose maps every stride still drops something, pixels a side."""
        return self.total_stride // 2 + 1

    def __str__(self) -> str:
        return format_arch(self)


def format_arch(arch: ArchSpec) -> str:
    """The spelling of `arch`: its identity in records, on command lines, for duplicates."""
    parts = [f"r{arch.resolution}"]
    if arch.in_channels != 3:
        parts.append(f"i{arch.in_channels}")
    stem = f"s{arch.stem}"
    if arch.stem_stride != 2:
        stem += f"_s{arch.stem_stride}"
    if arch.stem_kernel != 3:
        stem += f"_k{arch.stem_kernel}"
    parts.append(stem + ("_mp" if arch.stem_pool else ""))
    parts.append("[" + "|".join(map(_format_stage, arch.stages)) + "]")
    parts.append(f"h{arch.head}" + (f"_l{arch.head_hidden}" if arch.head_hidden else ""))
    if arch.act != "silu":
        parts.append(ACTIVATIONS[arch.act])
    squeeze = [
        *(["gh"] if arch.se_gate == "hard_sigmoid" else []),
        *([ACTIVATIONS[arch.se_act]] if arch.se_act is not None else []),
        *(["x"] if arch.se_base == "expanded" else []),
        *([f"d{arch.se_divisor}"] if arch.se_divisor != 1 else []),
    ]
    if squeeze:
        parts.append("_".join(["se", *squeeze]))
    if arch.padding == "same":
        parts.append("same")
    if arch.norm_eps != 1e-5:
        parts.append(f"eps{_number(arch.norm_eps)}")
    if arch.norm_momentum != 0.1:
        parts.append(f"mom{_number(arch.norm_momentum)}")
    if arch.norm_group_size:
        parts.append(f"gn{arch.norm_group_size}")
    if arch.global_residual:
        parts.append("gres")
    return "-".join(parts)


def parse_arch(text: str) -> ArchSpec:
    """The architecture spelt `text`; strict, so that `parse_arch(format_arch(a)) == a`.

    Raises:
        ArchError: an unknown, duplicate, missing or misplaced token, named with its position
            (characters, from 1).
    """
    match = re.fullmatch(r"(?P<before>[^\[\]]*)-\[(?P<stages>[^\[\]]*)\]-(?P<after>[^\[\]]*)", text)
    if match is None:
        raise ArchError(
            f"cannot read architecture {text!r}; expected r<resolution>-s<stem>-[stage|…]-h<head>"
        )
    front = _Tokens(match["before"], 0, "-", {"r": _integer, "i": _integer, "s": _stem})
    back = _Tokens(
        match["after"],
        match.start("after"),
        "-",
        {
            "h": _head,
            "n": _activation,
            "se": _squeeze_excite,
            "same": _flag,
            "eps": _real,
            "mom": _real,
            "gn": _integer,
            "gres": _flag,
        },
    )
    act = back.get("n", "silu")
    stages = []
    position = match.start("stages")
    for part in match["stages"].split("|"):
        stages.append(_parse_stage(part, position, act))
        position += len(part) + 1
    head, head_hidden = back.need("h")
    return ArchSpec(
        stages=tuple(stages),
        head=head,
        head_hidden=head_hidden,
        resolution=front.need("r"),
        act=act,
        in_channels=front.get("i", 3),
        padding="same" if back.get("same", False) else "symmetric",
        norm_eps=back.get("eps", 1e-5),
        norm_momentum=back.get("mom", 0.1),
        norm_group_size=back.get("gn", 0),
        global_residual=back.get("gres", False),
        **front.need("s"),
        **back.get("se", {}),
    )


def arch_to_mapping(arch: ArchSpec) -> dict[str, Any]:
    """The fields of `arch` as plain dicts and lists, for YAML and JSON."""
    plain = {f.name: getattr(arch, f.name) for f in fields(arch) if f.name != "stages"}
    stages = [{f.name: getattr(stage, f.name) for f in fields(stage)} for stage in arch.stages]
    return {**plain, "stages": stages}


def arch_from_mapping(mapping: Mapping[str, Any]) -> ArchSpec:
    """The inverse of `arch_to_mapping`.

    Raises:
        ArchError: an unknown or missing field, or a value outside its range.
    """
    stages = mapping.get("stages")
    if not isinstance(stages, list):
        raise ArchError(f"architecture field 'stages' is {stages!r}; expected a list of mappings")
    rest = {key: value for key, value in mapping.items() if key != "stages"}
    built = tuple(
        _from_fields(StageSpec, stage, f"stage {number}") for number, stage in enumerate(stages, 1)
    )
    return _from_fields(ArchSpec, {**rest, "stages": built}, "architecture")


def _from_fields(kind: type[_Spec], mapping: Mapping[str, Any], where: str) -> _Spec:
    known = [f.name for f in fields(kind)]  # type: ignore[arg-type]
    for key in mapping:
        if key not in known:
            raise ArchError(f"unknown field {key!r} in {where}{nearest(key, known)}")
    try:
        return kind(**mapping)
    except TypeError as error:
        missing = re.findall(r"'(\w+)'", str(error))
        raise ArchError(f"{where} lacks {', '.join(missing) or error}") from None


def _format_stage(stage: StageSpec) -> str:
    tokens = [
        stage.block,
        f"r{stage.repeats}",
        f"k{stage.kernel}",
        f"s{stage.stride}",
        f"e{_number(stage.expand_ratio)}",
        f"c{stage.channels}",
    ]
    if stage.groups != 1:
        tokens.append(f"g{stage.groups}")
    if stage.se_ratio:
        tokens.append(f"se{_number(stage.se_ratio)}")
    if stage.act is not None:
        tokens.append(ACTIVATIONS[stage.act])
    if not stage.skip:
        tokens.append("noskip")
    return "_".join(tokens)


def _parse_stage(text: str, position: int, arch_act: str) -> StageSpec:
    block, _, rest = text.partition("_")
    if block not in BLOCKS:
        raise ArchError(
            f"unknown block {block!r} at position {position + 1}; expected one of "
            f"{', '.join(BLOCKS)}{nearest(block, BLOCKS)}"
        )
    readers = {
        "r": _integer,
        "k": _integer,
        "s": _integer,
        "e": _real,
        "c": _integer,
        "g": _integer,
        "se": _real,
        "n": _activation,
        "noskip": _flag,
    }
    tokens = _Tokens(rest, position + len(block) + 1, "_", readers)
    act = tokens.get("n", None)
    try:
        return StageSpec(
            block=block,
            repeats=tokens.need("r"),
            kernel=tokens.need("k"),
            stride=tokens.need("s"),
            expand_ratio=tokens.need("e"),
            channels=tokens.need("c"),
            se_ratio=tokens.get("se", 0.0),
            skip=not tokens.get("noskip", False),
            groups=tokens.get("g", 1),
            act=None if act == arch_act else act,
        )
    except ArchError as error:
        if "position" in str(error):
            raise
        raise ArchError(f"{error} (stage {text!r} at position {position + 1})") from None


class _Tokens:
    """`<name><value>` tokens of one level, read strictly."""

    def __init__(self, text: str, position: int, separator: str, readers: Mapping[str, Any]):
        self.end = position + len(text)
        self.start = position
        self.values: dict[str, Any] = {}
        for token in text.split(separator):
            where = f"token {token!r} at position {position + 1}"
            match = re.match(r"[a-z]+", token)
            name = match.group() if match else ""
            # `n` is followed by letters (nr6), every other name by a number or nothing.
            if name not in readers and "n" in readers and name.startswith("n"):
                name = "n"
            if name not in readers:
                raise ArchError(
                    f"unknown {where}; expected {separator.join(f'{key}…' for key in readers)}"
                )
            if name in self.values:
                raise ArchError(f"duplicate {where}")
            value = readers[name](token[len(name) :])
            if value is None:
                raise ArchError(f"malformed {where}")
            self.values[name] = value
            position += len(token) + len(separator)

    def need(self, name: str) -> Any:
        if name not in self.values:
            raise ArchError(
                f"missing token {name!r} in positions {self.start + 1} to {self.end + 1}"
            )
        return self.values[name]

    def get(self, name: str, default: Any) -> Any:
        return self.values.get(name, default)


def _integer(text: str) -> int | None:
    return int(text) if re.fullmatch(r"0|[1-9][0-9]{0,8}", text, re.ASCII) else None


def _real(text: str) -> float | None:
    if not re.fullmatch(r"(0|[1-9][0-9]*)(\.[0-9]+)?(e-?[0-9]+)?", text, re.ASCII):
        return None
    return float(text)


def _flag(text: str) -> bool | None:
    return None if text else True


def _stem(text: str) -> dict[str, Any] | None:
    """`32`, `32_s1`, `64_k7_mp` → fields of ArchSpec."""
    match = re.fullmatch(
        r"(?P<stem>[1-9][0-9]{0,8}|0)(_s(?P<stride>[0-9]))?(_k(?P<kernel>[0-9]{1,3}))?(?P<pool>_mp)?",
        text,
        re.ASCII,
    )
    if match is None:
        return None
    return {
        "stem": int(match["stem"]),
        "stem_stride": int(match["stride"] or 2),
        "stem_kernel": int(match["kernel"] or 3),
        "stem_pool": match["pool"] is not None,
    }


def _head(text: str) -> tuple[int, int] | None:
    channels, separator, hidden = text.partition("_l")
    first, second = _integer(channels), _integer(hidden) if separator else 0
    return None if first is None or second is None else (first, second)


def _squeeze_excite(text: str) -> dict[str, Any] | None:
    """`_gh_nre_x_d8` → fields of ArchSpec: gate, activation, base, divisor, in that order."""
    match = re.fullmatch(
        r"(?P<gate>_gh)?(_(?P<act>n[a-z0-9]+))?(?P<base>_x)?(_d(?P<divisor>[1-9][0-9]{0,3}))?",
        text,
        re.ASCII,
    )
    if match is None or not text or (match["act"] and match["act"] not in _ACTIVATION_OF_TOKEN):
        return None
    return {
        "se_gate": "hard_sigmoid" if match["gate"] else "sigmoid",
        "se_act": _ACTIVATION_OF_TOKEN[match["act"]] if match["act"] else None,
        "se_base": "expanded" if match["base"] else "input",
        "se_divisor": int(match["divisor"] or 1),
    }


def _activation(text: str) -> str | None:
    return _ACTIVATION_OF_TOKEN.get("n" + text)


def _number(value: float) -> str:
    # Never an exponent: its minus sign would read as the end of a token.
    return str(int(value)) if value == int(value) else f"{Decimal(repr(float(value))):f}"


def _check_word(name: str, value: object, known: Any) -> None:
    if value not in known:
        raise ArchError(
            f"unknown {name} {value!r}; expected one of {', '.join(known)}{nearest(value, known)}"
        )


def _check_int(name: str, value: object, least: int) -> None:
    if isinstance(value, bool) or not isinstance(value, int) or value < least:
        raise ArchError(f"{name} {value!r} is not a whole number of {least} or more")


def _check_stride(name: str, value: object) -> None:
    _check_int(name, value, 1)
    if value not in (1, 2):
        raise ArchError(f"{name} {value} is not 1 or 2")


def _check_real(name: str, value: object, least: float, most: float) -> None:
    real = isinstance(value, int | float) and not isinstance(value, bool)
    if not real or not math.isfinite(value) or not least <= value <= most:  # type: ignore[arg-type, operator]
        raise ArchError(f"{name} {value!r} is not a number from {least:g} to {most:g}")


def nearest(word: object, known: Any) -> str:
    """` (did you mean 'x'?)` where a known word is close, else nothing."""
    close = difflib.get_close_matches(str(word), list(known), 1)
    return f" (did you mean {close[0]!r}?)" if close else ""
