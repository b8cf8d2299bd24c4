"""What the command lines read of their arguments before Hydra does; it imports nothing heavy.

A value is taken as it was typed. Hydra's grammar would read `2024_05_01` as a number, `~/pets (2)`
as a mistake, and a comma as the beginning of a sweep; so the text of a setting that is text is
quoted before Hydra sees it.
"""

import re
import shlex
import sys
from collections.abc import Mapping, Sequence
from typing import Any, Final, get_args, get_origin, get_type_hints

from blocks.console import fail, print_anything
from blocks.names import did_you_mean
from search.config.build import WHERE, plain, setting_kinds, unknown
from search.config.options import groups, options
from search.config.take_over import read_take_over
from search.errors import ConfigError

_QUOTED: Final = re.compile(r"'(?:[^'\\]|\\.)*'|\"(?:[^\"\\]|\\.)*\"", re.DOTALL)
_PLAIN: Final = re.compile(r"[A-Za-z][A-Za-z0-9_-]*")
"""Text that Hydra reads as itself, but for the words below."""
_WORDS: Final = frozenset({"null", "true", "false", "nan", "inf"})
_FUNCTION: Final = re.compile(
    r"(choice|range|interval|glob|shuffle|sort|tag|str|int|float|bool|json_str|extend_list)\(.*\)",
    re.DOTALL,
)
"""Hydra's own functions, which are for sweeps."""
_CLOSING: Final = {"[": "]", "(": ")", "{": "}"}


def read_command(
    arguments: Sequence[str], commands: Sequence[str], usage: str
) -> tuple[str, list[str]]:
    """The subcommand and its settings; prints the usage where asked, or where nothing is said."""
    print_anything()
    arguments = read_take_over(arguments)
    if not arguments or arguments[0] in ("-h", "--help", "help") or "--help" in arguments:
        print(usage, end="")
        sys.exit(0 if arguments else 2)
    command = arguments[0]
    if command not in commands:
        fail(
            f"unknown command {command!r}; expected {', '.join(commands)}"
            f"{did_you_mean(command, commands)}"
        )
    return command, list(arguments[1:])


def as_typed(arguments: Sequence[str], schema: type[Any], sweep: bool = False) -> list[str]:
    """The settings `name=value` as Hydra reads them, every value being what was typed.

    In a `sweep` commas separate values, each of which is taken as typed. Data sets, spaces and
    recipes may be chosen by name, where the schema has them. Applied twice it changes nothing more.

    Raises:
        ConfigError: something that is no setting, a misspelt name, or no value.
    """
    kinds = setting_kinds(schema)
    named = named_groups(schema)
    listed = where(schema)
    lines: dict[str, str] = {}  # of what is given twice the last holds
    for argument in arguments:
        if argument.lstrip("+~").startswith("hydra"):
            lines[argument] = argument
            continue
        name, value = _split(argument)
        if name in named:
            lines.pop(name, None)
            lines[name] = _option(name, value, sweep)
            continue
        kind = _kind(name, kinds)
        if kind is None:
            raise unknown(name, schema, listed=listed, also=named)
        if not plain_text(value).strip():
            _, optional = plain(kind)
            or_none = f", or {name}=null for none" if optional else ""
            raise ConfigError(
                f"{name}= has no value (is a variable of the shell empty?); expected "
                f"{name}=VALUE{or_none}"
            )
        added = "+" if name not in kinds and argument.startswith("+") else ""
        lines.pop(name, None)
        lines[name] = f"{added}{name}={_typed(name, value, kind, sweep)}"
    return list(lines.values())


def named_groups(schema: type[Any]) -> list[str]:
    """The groups of a schema whose options have names: folders of `conf`."""
    return [group for group in groups() if group in get_type_hints(schema)]


def where(schema: type[Any]) -> str:
    """How to find the names of a schema's settings."""
    return WHERE if schema.__name__ == "RunConfig" else "--help lists the settings"


def quote(value: object) -> str:
    """A value that Hydra's override grammar reads back as it is, whatever is in it."""
    # Its quoted text ends at a quote that an even number of backslashes stands before, which are
    # then halved; OmegaConf reads ${…} likewise.
    text = re.sub(r"(\\*)\$\{", lambda found: 2 * found[1] + r"\${", str(value))
    text = re.sub(r"(\\*)'", lambda found: 2 * found[1] + r"\'", text)
    return "'" + re.sub(r"(\\+)\Z", lambda found: 2 * found[1], text) + "'"


def plain_text(value: str) -> str:
    """A value as typed, without the quotes that may be around it."""
    if not _QUOTED.fullmatch(value):
        return value
    inner = re.sub(r"(\\+)\Z", lambda found: found[1][: len(found[1]) // 2], value[1:-1])
    inner = re.sub(
        rf"(\\+){value[0]}", lambda found: found[1][: len(found[1]) // 2] + value[0], inner
    )
    return re.sub(r"(\\+)\$\{", lambda found: found[1][: len(found[1]) // 2] + "${", inner)


def separate(text: str) -> list[str]:
    """Split at commas outside of quotes and brackets; at all outside of quotes where brackets
    do not match."""
    return _separate(text, brackets=True) or _separate(text, brackets=False)


def _split(argument: str) -> tuple[str, str]:
    """The name and the value of an argument."""
    name, equals, value = argument.lstrip("+~").partition("=")
    if argument.startswith("~"):
        raise ConfigError(
            f"{shlex.quote(argument)}: a setting cannot be taken away; leave {name} out, and its "
            "default holds"
        )
    if not equals:
        raise ConfigError(
            f"{shlex.quote(argument)} is not a setting; settings are written name=value, see --help"
        )
    return name, value


def _option(group: str, value: str, sweep: bool) -> str:
    """A data set or a space by its name."""
    if sweep and _FUNCTION.fullmatch(value):
        return f"{group}={value}"
    known = options(group)
    names = [plain_text(each) for each in (separate(value) if sweep else [value])]
    for name in names:
        if name not in known:
            several = "; several, one after another: run -m" if "," in name else ""
            raise ConfigError(
                f"{group}={name} is unknown; expected one of {', '.join(known)}"
                f"{did_you_mean(name, known)}{several}"
            )
    return f"{group}={','.join(names)}"


def _kind(name: str, kinds: Mapping[str, Any]) -> Any:
    """The type of a setting, of a group of them, or of what is within a list; None: no such."""
    if name in kinds:
        return kinds[name]
    if any(known.startswith(f"{name}.") for known in kinds):
        return Any
    for known, kind in kinds.items():
        if name.startswith(f"{known}.") and get_origin(plain(kind)[0]) in (list, dict):
            return Any
    return None


def _typed(name: str, value: str, kind: Any, sweep: bool) -> str:
    """A value as Hydra reads it."""
    inner, optional = plain(kind)
    is_list = get_origin(inner) is list and get_args(inner)[0] is str
    if inner is not str and not is_list:
        return value
    if sweep and _FUNCTION.fullmatch(value):
        return value
    one = _list if is_list else _text
    parts = separate(value) if sweep else [value]
    if any(not part for part in parts):
        raise ConfigError(f"{name}={value} has no value between two of its commas")
    return ",".join(one(part, optional) for part in parts)


def _text(value: str, optional: bool) -> str:
    if _QUOTED.fullmatch(value) or (optional and value.lower() == "null"):
        return value
    if _PLAIN.fullmatch(value) and value.lower() not in _WORDS:
        return value
    return quote(value)


def _list(value: str, optional: bool) -> str:
    if (optional and value.lower() == "null") or _FUNCTION.fullmatch(value):
        return value
    if not (value.startswith("[") and value.endswith("]")):
        return quote(value)
    return "[" + ",".join(_text(each, False) for each in separate(value[1:-1]) if each) + "]"


def _separate(text: str, brackets: bool) -> list[str]:
    parts, begin, at, open_ = [], 0, 0, []
    while at < len(text):
        quoted = _QUOTED.match(text, at) if at == begin or text[at - 1] in ",[ " else None
        if quoted:
            at = quoted.end()
            continue
        letter = text[at]
        if brackets and letter in _CLOSING:
            open_.append(_CLOSING[letter])
        elif brackets and letter in _CLOSING.values():
            if not open_ or open_.pop() != letter:
                return []
        elif letter == "," and not open_:
            parts.append(text[begin:at].strip())
            begin = at + 1
        at += 1
    return [] if open_ else [*parts, text[begin:].strip()]
