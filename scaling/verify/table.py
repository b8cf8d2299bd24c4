"""family.csv against the members' YAML files."""

import csv
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from blocks.errors import one_line
from scaling.family.record import family_row


def check_table(family: Path, members: dict[str, dict[str, Any]]) -> Iterator[str]:
    """What of family.csv does not agree with the YAML files."""
    try:
        with open(family / "family.csv", encoding="utf-8", newline="") as lines:
            rows = {row["name"]: row for row in csv.DictReader(lines)}
    except (OSError, KeyError, UnicodeDecodeError) as error:
        yield f"cannot be read: {one_line(error)}"
        return
    for name in sorted(rows.keys() - members.keys()):
        yield f"lists {name}, of which there is no readable {name}.yaml"
    for name, content in members.items():
        if name not in rows:
            yield f"does not list {name}"
            continue
        for key, value in family_row(content).items():
            said = rows[name].get(key)
            if not same(said, value):
                yield f"{name}: {key} is {said}, {value} in {name}.yaml"


def same(said: str | None, value: Any) -> bool:
    """Whether a cell of a CSV file says the value."""
    if value is None:
        return said in ("", None)
    if isinstance(value, int | float) and not isinstance(value, bool):
        try:
            return float(said or "nan") == float(value)
        except ValueError:
            return False
    return said == str(value)
