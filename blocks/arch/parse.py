"""The spelling of an architecture, read strictly: what is not understood is an error."""

import re
from collections.abc import Mapping
from typing import Any

from blocks.arch.spec import ArchSpec
from blocks.arch.stage import StageSpec
from blocks.arch.words import ACTIVATION_OF_TOKEN, BLOCKS
from blocks.errors import ArchError
from blocks.names import did_you_mean


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
    front = _Tokens(match["before"], 0, "-", {"r": _image, "i": _integer, "s": _stem})
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
        act=act,
        in_channels=front.get("i", 3),
        padding="same" if back.get("same", False) else "symmetric",
        norm_eps=back.get("eps", 1e-5),
        norm_momentum=back.get("mom", 0.1),
        norm_group_size=back.get("gn", 0),
        global_residual=back.get("gres", False),
        **front.need("r"),
        **front.need("s"),
        **back.get("se", {}),
    )


def _parse_stage(text: str, position: int, arch_act: str) -> StageSpec:
    block, _, rest = text.partition("_")
    if block not in BLOCKS:
        raise ArchError(
            f"unknown block {block!r} at position {position + 1}; expected one of "
            f"{', '.join(BLOCKS)}{did_you_mean(block, BLOCKS)}"
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


def _image(text: str) -> dict[str, Any] | None:
    """`224`, or `96x192` where it is not square → fields of ArchSpec."""
    high, separator, wide = text.partition("x")
    height, width = _integer(high), _integer(wide) if separator else None
    if height is None or (separator and (width is None or width == height)):
        return None
    return {"resolution": height, "wide": width}


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
    if match is None or not text or (match["act"] and match["act"] not in ACTIVATION_OF_TOKEN):
        return None
    return {
        "se_gate": "hard_sigmoid" if match["gate"] else "sigmoid",
        "se_act": ACTIVATION_OF_TOKEN[match["act"]] if match["act"] else None,
        "se_base": "expanded" if match["base"] else "input",
        "se_divisor": int(match["divisor"] or 1),
    }


def _activation(text: str) -> str | None:
    return ACTIVATION_OF_TOKEN.get("n" + text)
