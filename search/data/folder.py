"""Folders of images: what lies in them."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from blocks.images.decode import IMAGE_SUFFIXES
from search.errors import DataError


@dataclass(frozen=True)
class ImageFile:
    """One image of a folder: the split it lies in, and its class."""

    part: str
    label: int
    path: Path


@dataclass(frozen=True)
class ImageFolder:
    """`files` by split, class and name; `parts` holds the folder of each split."""

    root: Path
    classes: tuple[str, ...]
    parts: dict[str, Path]
    files: tuple[ImageFile, ...]


def list_folder(root: Path) -> ImageFolder:
    """`root/<class>/…`, or `root/{train,val,test}/<class>/…`.

    Raises:
        DataError: no such folder, no classes, or a class that train has not.
    """
    if not root.is_dir():
        raise DataError(f"dataset.root={root} is not a folder; expected one folder per class")
    try:
        return _list(root)
    except OSError as error:
        raise DataError(f"cannot list dataset.root={root}: {error.strerror}") from None


def _list(root: Path) -> ImageFolder:
    named = {p.name: p for p in _class_folders(root) if p.name in ("train", "val", "test")}
    if named and "train" not in named:
        raise DataError(f"dataset.root={root} has {', '.join(named)} but no train folder")
    parts = named or {"train": root}
    classes = tuple(path.name for path in _class_folders(parts["train"]))
    if not classes:
        raise DataError(f"dataset.root={parts['train']} holds no class folders")
    files = []
    for part, folder in parts.items():
        strangers = {path.name for path in _class_folders(folder)} - set(classes)
        if strangers and part != "train":
            raise DataError(
                f"{folder} holds class {min(strangers)!r}, which {parts['train']} has not"
            )
        for label, name in enumerate(classes):
            files += [ImageFile(part, label, path) for path in _image_files(folder / name)]
    return ImageFolder(root, classes, parts, tuple(files))


def _class_folders(root: Path) -> list[Path]:
    return sorted(p for p in root.iterdir() if p.is_dir() and not p.name.startswith("."))


def _image_files(folder: Path) -> Iterator[Path]:
    if folder.is_dir():
        for path in sorted(folder.rglob("*")):
            if path.suffix.lower() in IMAGE_SUFFIXES and path.is_file():
                yield path
