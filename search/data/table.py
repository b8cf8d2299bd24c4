"""Tables of labels: CSV, TSV, JSON lines, Parquet, and COCO's JSON.

What a column is, its name tells, or its values do: the one that names files, the one of few
different values. `dataset.columns` says it where both are silent. Where an image may have several
labels, a cell holds them beside one another, or each has a row, or a column, of its own.
"""

import math
from collections.abc import Callable, Collection, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any, Final

import pandas as pd

from blocks.images.listing import SPLIT_NAMES, SPLIT_OF, ImageFile, ImageFolder, in_order
from blocks.images.walk import Passed, flat_images
from blocks.names import counted
from search.config.schema import DatasetConfig
from search.data.table_formats import read_table, several_labels
from search.errors import DataError

PATH_NAMES: Final = (
    "path", "file", "filename", "file_name", "filepath", "file_path", "image", "image_path",
    "image_name", "image_file", "img", "img_path", "image_id", "img_id", "id_code", "id", "name",
)  # fmt: skip
LABEL_NAMES: Final = (
    "label", "labels", "class", "class_name", "category", "category_name", "target", "y", "species",
    "breed", "diagnosis", "dx", "finding",
)  # fmt: skip
SPLIT_COLUMNS: Final = ("split", "subset", "partition", "set", "data_set", "data set")
"""The first that is there; of the others only if all of its values are names of splits."""
SURE_SPLITS: Final = ("split", "subset", "partition")
GROUP_COLUMNS: Final = (
    "group", "patient", "patient_id", "patientid", "subject", "subject_id", "lesion_id",
)  # fmt: skip
"""Columns whose images may belong together: said, never taken for it unasked."""
SEPARATORS: Final = ("\n", ";", "|", ",")
"""What stands between labels, where `dataset.separator` does not say it: the first that occurs.
Lists, as those of JSON, are read with a line break between."""
MOST_CLASSES: Final = 1000
"""Different values of a column that may be labels, if its name does not say so."""
_ENDINGS: Final = (
    *("", ".jpg", ".jpeg", ".png", ".tif", ".tiff", ".bmp", ".webp", ".npy"),
    *(".JPG", ".JPEG", ".PNG", ".TIF"),
)
"""That names of files may lack, as Kaggle's do."""


@dataclass(frozen=True)
class _Columns:
    """Names of columns; `one_hot`: one column for each class, of 0 and 1. `separator`: of the
    labels of a cell, where there may be several."""

    path: str
    label: str | None = None
    one_hot: tuple[str, ...] = ()
    split: str | None = None
    group: str | None = None
    separator: str | None = None
    weight: str | None = None

    def __str__(self) -> str:
        label = f"{len(self.one_hot)} columns of 0 and 1" if self.label is None else self.label
        if self.separator is not None and self.label is not None:
            label += f" (several: between them {self.separator!r})"
        parts = {"files": self.path, "labels": label, "splits": self.split, "groups": self.group}
        parts["weights"] = self.weight
        return ", ".join(f"{kind} in {name}" for kind, name in parts.items() if name is not None)


@dataclass
class _Rows:
    """What the rows say so far, image by image; `added`: rows with further labels of an image."""

    label_of: dict[Path, tuple[str, ...]] = field(default_factory=dict)
    part_of: dict[Path, str] = field(default_factory=dict)
    group_of: dict[Path, str | None] = field(default_factory=dict)
    weight_of: dict[Path, float | None] = field(default_factory=dict)
    passed: list[Passed] = field(default_factory=list)
    again: int = 0
    added: int = 0


def list_table(config: DatasetConfig, several: bool = False) -> ImageFolder:
    """The images of `dataset.path`, a table of a row for each; their names are relative to
    `dataset.root`, or to where the table lies. With `several`, an image may have any number of
    labels.

    Raises:
        DataError: no such file, unreadable, columns that cannot be told, a label without a file;
            without `several`, two labels for one file, or several for one image.
    """
    if config.path is None:
        raise DataError("dataset.path is missing: the table of labels of dataset=table")
    path = Path(config.path).expanduser()
    root = path.parent if config.root is None else Path(config.root).expanduser()
    table = read_table(path, several)
    if not len(table):
        raise DataError(f"{path} has no rows")
    find = _finder([root, root / "images"])
    named = next((name for name in map(str, table.columns) if find(name)), None)
    if named is not None:
        raise DataError(
            f"{path}: its first row names the file {named!r}; expected a row of column names above"
        )
    columns = replace(_choose(table, config, path, find, several), weight=config.columns.weight)
    rows = _Rows()
    for number, row in enumerate(table.to_dict("records"), 2):
        _read_row(row, f"{path}, row {number}", columns, find, config, rows, several)
    if not rows.label_of:
        raise DataError(f"{path} names no image that is there and has a label")
    names = {label for labels in rows.label_of.values() for label in labels}
    # A column is a label even where no image has it: what is missing is said, and not left out.
    classes = tuple(sorted(names | set(columns.one_hot if several else ())))
    numbers = {name: label for label, name in enumerate(classes)}
    files = in_order(
        _image_file(rows, file, sorted(numbers[label] for label in labels), several)
        for file, labels in rows.label_of.items()
    )
    parts = {part: path for part in SPLIT_NAMES if any(file.part == part for file in files)}
    if "train" not in parts:
        raise DataError(f"{path} has {', '.join(parts)} but no train images (column split)")
    notes = [f"{path.name}: {columns} (dataset.columns says it otherwise)"]
    if several:
        none = sum(not labels for labels in rows.label_of.values())
        if none:
            notes.append(
                f"{counted(none, 'image has', 'images have')} none of the labels "
                f"(dataset.on_unlabelled=skip leaves such "
                "images out)"
            )
        if rows.added:
            notes.append(
                f"{counted(rows.added, 'row adds', 'rows add')} a label to an image of a row before"
            )
    elif columns.label is not None:
        notes += _maybe_several(set(names))
    if rows.again:
        notes.append(f"{counted(rows.again, 'row repeats', 'rows repeat')} one before")
    if columns.group is None:
        notes += [
            f"images of one {name} may be alike: dataset.group={name} keeps them on one side of a "
            "split"
            for name in map(str, table.columns)
            if name.lower() in GROUP_COLUMNS
        ]
    passed = [*rows.passed, *_unnamed([*rows.label_of, *(each.path for each in rows.passed)])]
    return ImageFolder(root, classes, parts, tuple(files), tuple(passed), tuple(notes))


def _maybe_several(names: Collection[str]) -> list[str]:
    """That what was taken for one label each may be several."""
    for separator in (";", "|"):
        parts = {part.strip() for name in names for part in name.split(separator)}
        holding = sum(separator in name for name in names)
        if holding and len(parts) < len(names):
            return [
                f"{counted(holding, 'label holds', 'labels hold')} {separator!r}: "
                f"task=multilabel takes such a cell for "
                "several labels"
            ]
    return []


def _image_file(rows: _Rows, file: Path, labels: list[int], several: bool) -> ImageFile:
    return ImageFile(
        rows.part_of[file],
        labels[0] if labels else -1,
        str(file),
        rows.group_of[file],
        tuple(labels) if several else None,
        rows.weight_of[file],
    )


def _unnamed(known: Collection[Path]) -> list[Passed]:
    """The images that lie beside those of the table, and are not in it."""
    named = set(known)
    return [
        Passed(path, "not in the table")
        for folder in sorted({path.parent for path in named})
        for path in flat_images(folder)
        if path not in named
    ]


def _finder(places: Sequence[Path]) -> Callable[[str], Path | None]:
    """Looks a file up by its name in the table; its ending may be missing."""

    def find(name: str) -> Path | None:
        clean = name.strip().replace("\\", "/")
        if not clean:
            return None
        for place in places:
            for ending in _ENDINGS:
                file = place / f"{clean}{ending}"
                if file.is_file():
                    return file
        return None

    return find


def _choose(
    table: pd.DataFrame,
    config: DatasetConfig,
    path: Path,
    find: Callable[[str], Path | None],
    several: bool,
) -> _Columns:
    """What each column is.

    Raises:
        DataError: a column of `dataset.columns` that is not there, or one that cannot be told.
    """
    given = {kind: name for kind, name in asdict(config.columns).items() if name is not None}
    names = {str(name).strip().lower(): str(name) for name in table.columns}
    listed = ", ".join(map(str, table.columns))
    for kind, column in given.items():
        if column not in table.columns:
            raise DataError(f"dataset.columns.{kind}={column}: {path} has the columns {listed}")

    def by_name(kind: str, known: Sequence[str]) -> str | None:
        return given.get(kind) or next((names[name] for name in known if name in names), None)

    some = table.head(200)

    def files_in(column: str) -> int:
        return sum(find(value) is not None for value in some[column])

    file = given.get("path")
    if file is None:
        counts = {column: files_in(column) for column in map(str, table.columns)}
        best = max(counts.values())
        named = [names[name] for name in PATH_NAMES if name in names]
        file = next(c for c in [*named, *counts] if counts[c] == best)
        if best == 0:
            where = config.root or path.parent
            example = f"; {table[named[0]].iloc[0]!r} is not in {where}" if named else ""
            raise DataError(
                f"{path}: no column names files that are there ({listed}){example}; "
                "dataset.root=FOLDER says where they lie, dataset.columns.path=NAME which column"
            )
    split = by_name("split", SPLIT_COLUMNS)
    if split is not None and "split" not in given and split.strip().lower() not in SURE_SPLITS:
        values = set(table[split].str.strip().str.lower())
        split = split if values <= set(SPLIT_OF) else None
    group = config.group if config.group in table.columns else by_name("group", ())
    if config.group is not None and group is None:
        raise DataError(f"dataset.group={config.group}: {path} has the columns {listed}")
    taken = (file, split, group, given.get("weight"))
    left = [c for c in map(str, table.columns) if c not in taken]
    likely = [
        n for n in LABEL_NAMES if names.get(n) in left and _is_label(table, names[n], several)
    ]
    label = by_name("label", likely)
    if label is not None:
        return _Columns(file, label, (), split, group, _separator(table, label, config, several))
    one_hot = tuple(c for c in left if set(table[c].str.strip()) <= {"0", "1", "0.0", "1.0"})
    others = [c for c in left if c not in one_hot and _may_be_label(table, c)]
    if len(one_hot) > 1 and not others:
        return _Columns(file, None, one_hot, split, group)
    if several:
        lists = [c for c in left if _separator(table, c, config, several) is not None]
        if len(lists) == 1:
            separator = _separator(table, lists[0], config, several)
            return _Columns(file, lists[0], (), split, group, separator)
    few = [c for c in left if _may_be_label(table, c)]
    if len(few) != 1:
        raise DataError(
            f"{path}: which column is the label? It has {listed}; dataset.columns.label=NAME "
            "says it"
        )
    return _Columns(file, few[0], (), split, group)


def _may_be_label(table: pd.DataFrame, column: str) -> bool:
    """Whether it has more than one value, and few."""
    return 2 <= table[column].nunique() <= min(MOST_CLASSES, len(table) // 2)


def _is_label(table: pd.DataFrame, column: str, several: bool) -> bool:
    """Whether a column with the name of a label is one: coordinates have as many values as rows."""
    return several or table[column].nunique() <= max(2, min(MOST_CLASSES, len(table) // 2))


def _separator(
    table: pd.DataFrame, column: str, config: DatasetConfig, several: bool
) -> str | None:
    """What stands between the labels of a cell; None where there is one in each."""
    if not several:
        return None
    known = SEPARATORS if config.separator is None else (config.separator,)
    return next(
        (each for each in known if table[column].str.contains(each, regex=False).any()), None
    )


def _read_row(
    row: dict[Any, Any],
    where: str,
    columns: _Columns,
    find: Callable[[str], Path | None],
    config: DatasetConfig,
    rows: _Rows,
    several: bool,
) -> None:
    """Take one row in.

    Raises:
        DataError: see `list_table`.
    """
    name = row[columns.path]
    file = find(name)
    if file is None:
        if config.on_corrupt == "refuse":
            raise DataError(
                f"{where}: no file {name!r}; dataset.on_corrupt=skip leaves such rows out"
            )
        rows.passed.append(Passed(Path(name), "in the table, but no such file"))
        return
    labels = _labels(row, columns)
    if len(labels) > 1 and not several:
        raise DataError(several_labels(1, f"{where}: {', '.join(labels)}"))
    if not labels and (not several or config.on_unlabelled == "skip"):
        if config.on_unlabelled == "refuse":
            raise DataError(
                f"{where}: {name!r} has no label; dataset.on_unlabelled=skip leaves such images out"
            )
        rows.passed.append(Passed(file, "no label"))
        return
    part = _part(row[columns.split], where) if columns.split is not None else "train"
    weight = None if columns.weight is None else _weight(row[columns.weight], where, columns.weight)
    if file in rows.label_of:
        before = rows.label_of[file]
        if before != labels and not several:
            raise DataError(
                f"{where}: {name!r} has the label {labels[0]!r}, and {before[0]!r} in a row "
                "before; expected one label for each file, or task=multilabel"
            )
        if rows.part_of[file] != part:
            raise DataError(f"{where}: {name!r} is in {part}, and in {rows.part_of[file]} before")
        if rows.weight_of[file] != weight:
            raise DataError(
                f"{where}: {name!r} has the weight {weight:g}, and {rows.weight_of[file]:g} in a "
                "row before"
            )
        if set(labels) <= set(before):
            rows.again += 1
        else:
            rows.added += 1
            rows.label_of[file] = tuple(dict.fromkeys([*before, *labels]))
        return
    rows.label_of[file] = labels
    rows.part_of[file] = part
    rows.weight_of[file] = weight
    if columns.group is not None:
        # Without a name, an image is a group of its own.
        rows.group_of[file] = row[columns.group].strip() or str(file)
    else:
        rows.group_of[file] = None


def _labels(row: dict[Any, Any], columns: _Columns) -> tuple[str, ...]:
    """Those that a row gives its image, each once."""
    if columns.label is None:
        return tuple(name for name in columns.one_hot if float(row[name]) == 1)
    cell = str(row[columns.label])
    found = [cell] if columns.separator is None else cell.split(columns.separator)
    return tuple(dict.fromkeys(label.strip() for label in found if label.strip()))


def _weight(value: str, where: str, column: str) -> float:
    try:
        weight = float(value)
    except ValueError:
        weight = math.nan
    if not (math.isfinite(weight) and weight >= 0):
        raise DataError(f"{where}: {column} {value!r} is not a weight; expected 0 or more")
    return weight


def _part(value: str, where: str) -> str:
    part = SPLIT_OF.get(value.strip().lower())
    if part is None:
        known = ", ".join(SPLIT_OF)
        raise DataError(f"{where}: split {value!r} is unknown; expected one of {known}")
    return part
