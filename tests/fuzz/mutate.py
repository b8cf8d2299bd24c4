"""Damage of bytes, of text and of what JSON and YAML hold, drawn from a random generator."""

import json
import random
import struct
from typing import Any, Final

import yaml

ODD: Final[tuple[Any, ...]] = (
    None, True, False, 0, -1, 1, 2**31, 2**63, 10**30, -(10**400), 0.5, -0.0, 1e308, float("nan"),
    float("inf"), float("-inf"), "", "x", "null", "nan", "1e999", "../x", "é\u0000", "\ud800",
    "a" * 5000, "2024-13-45", "${x}", [], [[]], {}, {"x": {}}, [None], ["x", 1], {"arch": 3},
)  # fmt: skip
"""Values that somebody forgets."""
NUMBERS: Final = tuple(
    struct.pack(form, value)
    for form, value in (
        ("<I", 0), ("<I", 2**32 - 1), ("<I", 2**31 - 1), (">I", 2**31), ("<Q", 2**63),
        ("<Q", 2**40), ("<H", 2**16 - 1), (">H", 2**15), ("<q", -1), ("<d", float("nan")),
    )
)  # fmt: skip
"""Sizes that somebody believes."""
WORDS: Final = (
    "-", "[", "]", "|", "_", "r", "r0", "r-1", "r1e9", "k", "k0", "s0", "e0", "c0", "c99999999999",
    "ir_r1_k3_s1_e1_c8", "ds_r9999_k3_s1_e1_c8", "-h", "-h0", "-h16", "gn", "gres", "same", "eps0",
    "epsnan", "mom", "x", "224", "1e999", "nan", "inf", "99999999999999999999", "é", "\u0000", " ",
    "\n", "${", "}", "'", '"', "\\", ",", "=", "~", "+", "null", "{", "(", ")", ":", "&a", "*a",
    "!!python/object/apply:os.system", "- ", "<<: *a", "\ufeff", "\ud800", "٣", "²",
)  # fmt: skip


def mutated_bytes(draw: random.Random, content: bytes, others: list[bytes]) -> bytes:
    """The content with one to a few kinds of damage."""
    made = bytearray(content)
    for _ in range(draw.choice((1, 1, 1, 2, 4))):
        size = len(made)
        at = draw.randrange(size + 1)
        # Heads and tails are where sizes, counts and directories stand.
        if size and draw.random() < 0.4:
            at = draw.choice(
                (draw.randrange(min(size, 200)), size - draw.randrange(min(size, 200)))
            )
        kind = draw.randrange(9)
        if kind == 0:
            for _ in range(draw.choice((1, 3, 20))):
                if made:
                    made[draw.randrange(len(made))] ^= 1 << draw.randrange(8)
        elif kind == 1:
            del made[at:]
        elif kind == 2:
            del made[at : at + draw.choice((1, 4, 100))]
        elif kind == 3:
            made[at:at] = draw.randbytes(draw.choice((1, 4, 100)))
        elif kind == 4:
            number = draw.choice(NUMBERS)
            made[at : at + len(number)] = number
        elif kind == 5:
            made[at:at] = made[at : at + draw.choice((8, 64, 1000))]
        elif kind == 6:
            other = draw.choice(others)
            cut = draw.randrange(len(other) + 1)
            made[at:] = other[cut : cut + 100_000]
        elif kind == 7:
            made[at : at + 16] = bytes(min(16, len(made) - at))
        else:
            for place in range(at, min(len(made), at + 4)):
                made[place] = draw.randrange(256)
    return bytes(made)


def mutated_text(draw: random.Random, text: str, others: list[str]) -> str:
    """The text with one to a few kinds of damage."""
    for _ in range(draw.choice((1, 1, 2, 4))):
        at = draw.randrange(len(text) + 1)
        kind = draw.randrange(6)
        if kind == 0:
            text = text[:at] + text[at + draw.choice((1, 2, 8)) :]
        elif kind == 1:
            text = text[:at] + draw.choice(WORDS) + text[at:]
        elif kind == 2:
            word = draw.choice(WORDS)
            text = text[:at] + word + text[at + len(word) :]
        elif kind == 3:
            other = draw.choice(others)
            text = text[:at] + other[draw.randrange(len(other) + 1) :]
        elif kind == 4:
            text = text[:at] + text[at : at + draw.choice((1, 5, 50))] * draw.choice((2, 3, 40))
        else:
            text = (
                text[:at] + chr(draw.choice((0, 9, 13, 39, 127, 160, 0x661, 0x1F600))) + text[at:]
            )
    return text


def mutated_tree(draw: random.Random, tree: Any) -> Any:
    """What JSON or YAML held, with one or a few of its values or names changed."""
    tree = json.loads(json.dumps(tree, default=str))
    for _ in range(draw.choice((1, 1, 1, 2, 3))):
        tree = _changed(draw, tree)
    return tree


def _changed(draw: random.Random, tree: Any) -> Any:
    if isinstance(tree, dict) and tree and draw.random() < 0.9:
        name = draw.choice(list(tree))
        kind = draw.randrange(8)
        if kind == 0:
            return {key: value for key, value in tree.items() if key != name}
        if kind == 1:
            return {**tree, draw.choice(("x", "", "kind", "arch", name + "s")): draw.choice(ODD)}
        return {**tree, name: _changed(draw, tree[name])}
    if isinstance(tree, list) and tree and draw.random() < 0.9:
        at = draw.randrange(len(tree))
        kind = draw.randrange(8)
        if kind == 0:
            return tree[:at] + tree[at + 1 :]
        if kind == 1:
            return [*tree[:at], draw.choice(ODD), *tree[at:]]
        return [*tree[:at], _changed(draw, tree[at]), *tree[at + 1 :]]
    if isinstance(tree, str) and tree and draw.random() < 0.4:
        return mutated_text(draw, tree, [tree])
    if isinstance(tree, int | float) and draw.random() < 0.3:
        return draw.choice((-tree, tree * 10**6, str(tree), tree + 1))
    return draw.choice(ODD)


def as_json(tree: Any) -> bytes:
    """As Python writes it, NaN and lone surrogates included."""
    return json.dumps(tree).encode()


def as_yaml(tree: Any) -> bytes:
    return yaml.safe_dump(tree, allow_unicode=False).encode("utf-8", "surrogatepass")
