"""Architectures as frozen values, and their one-line spelling.

A network is written `r224-s32-[ds_r1_k3_s1_e1_c16_se0.25|ir_r2_k3_s2_e6_c24_se0.25]-h1280`:
input resolution, stem channels, stages in timm's shorthand, head channels. Tokens at their
default are left out, so that equal architectures have equal spellings.
"""

import difflib
import math
import re
from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any, Final, TypeVar

from blocks.errors import ArchError

BLOCKS: Final = ("ds", "ir")
ACTIVATIONS: Final = {"silu": "nsw", "relu": "nre", "relu6": "nr6", "hard_swish": "nhs"}
"""Activation name → token; the tokens are timm's (`n` for non-linearity)."""
_ACTIVATION_OF_TOKEN: Final = {token: name for name, token in ACTIVATIONS.items()}

STEM_KERNEL: Final = 3

_Spec = TypeVar("_Spec")


@dataclass(frozen=True, slots=True)
class StageSpec:
    """A row of the paper's Table 1: `repeats` equal blocks, of which the first carries the stride.

    `block` is `ir` (MBConv: expand, depthwise, squeeze-excite, project) or `ds` (the same
    without the expansion, the paper's MBConv1). `se_ratio` is relative to the channels that
    enter the block (tensorflow/tpu efficientnet_model.py); 0 leaves squeeze-excite out.
    `skip=False` (timm's `noskip`) drops the identity shortcut.

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

    def __post_init__(self) -> None:
        if self.block not in BLOCKS:
            raise ArchError(
                f"unknown block {self.block!r}; expected one of {', '.join(BLOCKS)}"
                f"{_nearest(self.block, BLOCKS)}"
            )
        _check_int("repeats", self.repeats, 1)
        _check_int("kernel", self.kernel, 3)
        if self.kernel % 2 == 0:
            raise ArchError(f"kernel {self.kernel} is even; expected an odd kernel of 3 or more")
        _check_int("stride", self.stride, 1)
        if self.stride > 2:
            raise ArchError(f"stride {self.stride} is not 1 or 2")
        _check_int("channels", self.channels, 1)
        _check_real("expand_ratio", self.expand_ratio, 1.0, 64.0)
        _check_real("se_ratio", self.se_ratio, 0.0, 1.0)
        if self.block == "ds" and self.expand_ratio != 1:
            raise ArchError(
                f"block ds has expand_ratio {self.expand_ratio:g}; it has no expansion, "
                "so expected 1 (or block ir)"
            )
        if self.block == "ir" and self.expand_ratio == 1:
            raise ArchError(
                "block ir has expand_ratio 1; without an expansion it is block ds, "
                "and one network has one spelling"
            )


@dataclass(frozen=True, slots=True)
class ArchSpec:
    """A whole network: 3×3 stem, stages, 1×1 head convolution, pooling and classifier.

    `resolution` is the side of the square input in pixels, `stem` and `head` are channels.

    Raises:
        ArchError: a field is outside its range.
    """

    stem: int
    stages: tuple[StageSpec, ...]
    head: int
    resolution: int
    act: str = "silu"
    stem_stride: int = 2
    in_channels: int = 3

    def __post_init__(self) -> None:
        _check_int("stem", self.stem, 1)
        _check_int("head", self.head, 1)
        _check_int("resolution", self.resolution, 1)
        _check_int("in_channels", self.in_channels, 1)
        _check_int("stem_stride", self.stem_stride, 1)
        if self.stem_stride > 2:
            raise ArchError(f"stem_stride {self.stem_stride} is not 1 or 2")
        if not isinstance(self.stages, tuple) or not self.stages:
            raise ArchError(f"stages {self.stages!r} is not a tuple of at least one StageSpec")
        for stage in self.stages:
            if not isinstance(stage, StageSpec):
                raise ArchError(f"stages holds {stage!r}, which is not a StageSpec")
        if self.act not in ACTIVATIONS:
            raise ArchError(
                f"unknown act {self.act!r}; expected one of {', '.join(ACTIVATIONS)}"
                f"{_nearest(self.act, ACTIVATIONS)}"
            )

    def __str__(self) -> str:
        return format_arch(self)


def format_arch(arch: ArchSpec) -> str:
    """The spelling of `arch`: its identity in records, on command lines, for duplicates."""
    parts = [f"r{arch.resolution}"]
    if arch.in_channels != 3:
        parts.append(f"i{arch.in_channels}")
    stem_stride = "" if arch.stem_stride == 2 else f"_s{arch.stem_stride}"
    parts.append(f"s{arch.stem}{stem_stride}")
    parts.append("[" + "|".join(map(_format_stage, arch.stages)) + "]")
    parts.append(f"h{arch.head}")
    if arch.act != "silu":
        parts.append(ACTIVATIONS[arch.act])
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
    back = _Tokens(match["after"], match.start("after"), "-", {"h": _integer, "n": _activation})
    stages = []
    position = match.start("stages")
    for part in match["stages"].split("|"):
        stages.append(_parse_stage(part, position))
        position += len(part) + 1
    stem, stem_stride = front.need("s")
    return ArchSpec(
        stem=stem,
        stages=tuple(stages),
        head=back.need("h"),
        resolution=front.need("r"),
        act=back.get("n", "silu"),
        stem_stride=stem_stride,
        in_channels=front.get("i", 3),
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
            raise ArchError(f"unknown field {key!r} in {where}{_nearest(key, known)}")
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
    if stage.se_ratio:
        tokens.append(f"se{_number(stage.se_ratio)}")
    if not stage.skip:
        tokens.append("noskip")
    return "_".join(tokens)


def _parse_stage(text: str, position: int) -> StageSpec:
    block, _, rest = text.partition("_")
    if block not in BLOCKS:
        raise ArchError(
            f"unknown block {block!r} at position {position + 1}; expected one of "
            f"{', '.join(BLOCKS)}{_nearest(block, BLOCKS)}"
        )
    readers = {
        "r": _integer,
        "k": _integer,
        "s": _integer,
        "e": _real,
        "c": _integer,
        "se": _real,
        "noskip": _flag,
    }
    tokens = _Tokens(rest, position + len(block) + 1, "_", readers)
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
            letters = match.group() if match else ""
            # `n` is followed by letters (nr6), every other name by a number or nothing.
            name = "n" if "n" in readers and letters.startswith("n") else letters
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


def _stem(text: str) -> tuple[int, int] | None:
    channels, separator, stride = text.partition("_s")
    first, second = _integer(channels), _integer(stride) if separator else 2
    return None if first is None or second is None else (first, second)


def _activation(text: str) -> str | None:
    return _ACTIVATION_OF_TOKEN.get("n" + text)


def _number(value: float) -> str:
    return str(int(value)) if value == int(value) else repr(float(value))


def _check_int(name: str, value: object, least: int) -> None:
    if isinstance(value, bool) or not isinstance(value, int) or value < least:
        raise ArchError(f"{name} {value!r} is not a whole number of {least} or more")


def _check_real(name: str, value: object, least: float, most: float) -> None:
    real = isinstance(value, int | float) and not isinstance(value, bool)
    if not real or not math.isfinite(value) or not least <= value <= most:  # type: ignore[arg-type, operator]
        raise ArchError(f"{name} {value!r} is not a number from {least:g} to {most:g}")


def _nearest(word: str, known: Any) -> str:
    close = difflib.get_close_matches(str(word), list(known), 1)
    return f" (did you mean {close[0]!r}?)" if close else ""
