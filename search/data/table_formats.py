"""Tables read from files: CSV, JSON lines, Parquet, and JSON, of rows or COCO's. All as text."""

import csv
import io
import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

import numpy as np
import pandas as pd

from blocks.errors import DAMAGED, one_line
from blocks.messages import say
from blocks.names import counted
from search.errors import DataError

_FOREIGN: Final = re.compile(r"[^\x00-\x7f]+")


def several_labels(count: int, first: str) -> str:
    """What is said of images of several labels where one is expected."""
    return (
        f"{counted(count, 'image has', 'images have')} several labels, first {first}; expected "
        f"one for each image, or "
        "task=multilabel"
    )


def read_table(path: Path, several: bool = False) -> pd.DataFrame:
    """All columns as text, as they are written; a missing value is empty. With `several`, a list is
    its values with line breaks between.

    Raises:
        DataError: not there, or unreadable.
    """
    reader = READERS.get(path.suffix.lower())
    if reader is None:
        raise DataError(f"dataset.path={path} is no table; expected a name in {', '.join(READERS)}")
    try:
        return reader(path, several)
    except OSError as error:
        raise DataError(f"cannot read {path}: {error.strerror or one_line(error)}") from None
    except ImportError:
        raise DataError(f"{path}: Parquet needs `pip install pyarrow`") from None
    except DAMAGED as error:
        raise DataError(f"cannot read {path}: {one_line(error)}") from None


def _text(path: Path) -> str:
    """A text file: by its byte-order mark, else in UTF-8, else in Shift-JIS, if it reads as
    Japanese, else in Windows' encoding (cp1252).

    Raises:
        ValueError: it is none of these.
    """
    content = path.read_bytes()
    if content.startswith((b"\xff\xfe", b"\xfe\xff")):
        return content.decode("utf-16")
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError:
        pass
    japanese = _japanese(content)
    if japanese is not None:
        say(f"{path} is read as Shift-JIS (cp932), which its bytes look like")
        return japanese
    try:
        return content.decode("cp1252")
    except UnicodeDecodeError as error:
        raise ValueError(
            f"byte {content[error.start]:#04x} at {error.start:,} is neither UTF-8 nor Windows' "
            "cp1252, nor is the file Japanese Shift-JIS; expected UTF-8"
        ) from None


def _japanese(content: bytes) -> str | None:
    """The text, if it is Japanese in Shift-JIS; else None.

    The first bytes of its kana and most of its kanji are 0x81 to 0x9f, where cp1252 has quotation
    marks and the like: letters lie above. And unlike those it is not between Latin letters.
    """
    try:
        text = content.decode("cp932")
    except UnicodeDecodeError:
        return None
    foreign = [letter for letter in text if ord(letter) > 127]
    if any(ord(letter) < 160 for letter in foreign):
        return None  # controls
    first = [letter.encode("cp932")[0] for letter in foreign]
    runs = list(_FOREIGN.finditer(text))
    beside = [
        text[max(0, run.start() - 1) : run.start()] + text[run.end() : run.end() + 1]
        for run in runs
    ]
    alone = sum(not any(letter.isalpha() for letter in pair) for pair in beside)
    likely = 2 * sum(byte < 0xA0 for byte in first) > len(first) and 2 * alone > len(runs)
    return text if likely else None


def _read_csv(path: Path, several: bool) -> pd.DataFrame:
    text = _text(path)
    said = re.match(r"sep=(.)\r?\n", text)  # as Excel writes it
    if said is not None:
        text = text[said.end() :]
    head = "\n".join(text.splitlines()[:20])
    try:
        separator = csv.Sniffer().sniff(head, ",;\t|").delimiter if said is None else said[1]
    except csv.Error:
        separator = "\t" if path.suffix.lower() == ".tsv" else ","
    return pd.read_csv(
        io.StringIO(text),
        sep=separator,
        dtype=str,
        keep_default_na=False,
        na_values=["nan", "NaN"],
        skipinitialspace=True,
        index_col=False,
    ).fillna("")


def _read_lines(path: Path, several: bool) -> pd.DataFrame:
    return _of_rows([json.loads(line) for line in _text(path).splitlines() if line], several)


def _of_rows(rows: list[Any], several: bool) -> pd.DataFrame:
    wrong = next((row for row in rows if not isinstance(row, dict)), None)
    if wrong is not None:
        raise ValueError(
            f"{wrong!r} is no row; expected objects, a name and a value for each column"
        )
    return _as_text(pd.DataFrame(rows), several)


def _read_parquet(path: Path, several: bool) -> pd.DataFrame:
    try:
        return _as_text(pd.read_parquet(path), several)
    except (OSError, ImportError):
        raise
    except Exception as error:  # Arrow's own, of which not all are a ValueError
        raise ValueError(one_line(error)) from None


def _read_json(path: Path, several: bool) -> pd.DataFrame:
    """A list of rows, or COCO's images, annotations and categories."""
    content = json.loads(_text(path))
    if isinstance(content, list):
        return _of_rows(content, several)
    lacking = [name for name in ("images", "annotations", "categories") if name not in content]
    if lacking:
        raise ValueError(
            f"it has no {lacking[0]!r}; expected a list of rows, or COCO's three lists"
        )
    names = {each["id"]: str(each["name"]) for each in content["categories"]}
    labels: dict[Any, list[str]] = {}
    for each in content["annotations"]:
        found = labels.setdefault(each["image_id"], [])
        if names[each["category_id"]] not in found:
            found.append(names[each["category_id"]])
    rows = [
        {"file_name": image["file_name"], "label": "\n".join(labels.get(image["id"], []))}
        for image in content["images"]
    ]
    more = [row["file_name"] for row in rows if "\n" in row["label"]]
    if more and not several:
        raise ValueError(several_labels(len(more), f"{path}: {more[0]}"))
    return pd.DataFrame(rows, dtype=str)


def _as_text(table: pd.DataFrame, several: bool) -> pd.DataFrame:
    def text(value: Any) -> str:
        if isinstance(value, list | tuple | np.ndarray):
            return "\n".join(map(str, value)) if several or len(value) != 1 else str(value[0])
        if isinstance(value, float) and value.is_integer():
            return str(int(value))  # whole numbers beside a missing one
        return "" if value is None or value != value else str(value)

    return table.map(text)


READERS: Final[dict[str, Callable[[Path, bool], pd.DataFrame]]] = {
    ".csv": _read_csv,
    ".tsv": _read_csv,
    ".txt": _read_csv,
    ".jsonl": _read_lines,
    ".parquet": _read_parquet,
    ".json": _read_json,
}
