"""What lies in a folder of images: splits, classes and files, and what is passed over.

A split is known by its folder's name, a class by the name of the folder below. What is neither is
passed over, and said: nothing is taken for a class, or left out, in silence.
"""

import os
import re
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from blocks.errors import CompoundNasError
from blocks.images.walk import Passed, Walk, any_image, flat_images, visible_folders
from blocks.names import counted, few

SPLIT_NAMES: Final = {
    "train": ("train", "training"),
    "val": ("val", "valid", "validation", "dev"),
    "test": ("test", "testing", "eval", "evaluation"),
}
"""What people call the folder of a split, in whatever case."""
_LIKE_A_SPLIT: Final = re.compile(r"(^|[^a-z])(train|training|val|valid|validation|test)([^a-z]|$)")
PICTURES: Final = frozenset({"image", "images", "img", "imgs", "jpegimages", "photos", "pictures"})
MASKS: Final = frozenset(
    {
        *("mask", "masks", "annotation", "annotations", "segmentation", "segmentations"),
        *("segmentationclass", "segmentationobject", "label_masks", "groundtruth", "ground_truth"),
        *("gt", "seg", "segs", "trimaps", "labels"),
    }
)
"""What people call folders of pictures, and those of what was drawn over them."""
MOST_BESIDE: Final = 3
"""Folders beside one another that are one of pictures, one of masks and perhaps another; among more
they are classes."""
SPLIT_OF: Final = {name: part for part, names in SPLIT_NAMES.items() for name in names}


@dataclass(frozen=True)
class ImageFile:
    """One image: the split it lies in, and its class; `name` is its path. `group`: what it must not
    be parted from.

    `labels`: of an image that may have several classes all that it has, ascending; `label` is then
    the first of them, or -1. `weight`: how often it is trained on, relative to others; None: none
    has one.
    """

    part: str
    label: int
    name: str
    group: str | None = None
    labels: tuple[int, ...] | None = None
    weight: float | None = None

    @property
    def path(self) -> Path:
        """Where it lies."""
        return Path(self.name)


@dataclass(frozen=True)
class ImageFolder:
    """`files` by split, class and name; `parts` holds where each split lies; `notes` what is to be
    said of it, in lines."""

    root: Path
    classes: tuple[str, ...]
    parts: dict[str, Path]
    files: tuple[ImageFile, ...]
    passed: tuple[Passed, ...] = ()
    notes: tuple[str, ...] = ()


def in_order(files: Iterable[ImageFile]) -> list[ImageFile]:
    """By split, class and path."""
    order = {part: number for number, part in enumerate(SPLIT_NAMES)}
    return sorted(files, key=lambda file: (order[file.part], file.label, file.path))


def list_folder(
    root: Path,
    error: type[CompoundNasError],
    *,
    name: str = "dataset.root",
    layout: str = "auto",
    skip_unlabelled: bool = False,
) -> ImageFolder:
    """The images of `root`, which holds one of these:

    - a folder per class, and in each its images, at any depth;
    - folders of splits (`SPLIT_NAMES`), and in each a folder per class;
    - a folder per class, and beside them `val` or `test` with folders of the same classes;
    - a folder per class, and in each of them folders of splits.

    `layout` decides where a folder `train` may be either, a split or a class. `name` is what `root`
    is called in messages; `error` the class of what is raised.

    Raises:
        CompoundNasError: no such folder, no classes, a class that train has not, two folders for
            one split, images of a split without a class unless `skip_unlabelled`.
    """
    if not root.is_dir():
        raise error(f"{name}={root} is not a folder; expected one folder per class")
    try:
        return _List(root, error, name, layout, skip_unlabelled).read()
    except OSError as wrong:
        where = wrong.filename or root
        raise error(f"cannot list {name}={root}: {where}: {wrong.strerror}") from None


@dataclass
class _List:
    root: Path
    error: type[CompoundNasError]
    name: str
    layout: str
    skip_unlabelled: bool

    def __post_init__(self) -> None:
        self.walk = Walk(self.root, masks=self.layout == "classes")

    def read(self) -> ImageFolder:
        folders = []
        for folder in self.walk.folders(self.root):
            if _holds_studies(folder):
                self.walk.skip(folder, "a folder of studies")
            else:
                folders.append(folder)
        parts = self._parts(folders)
        if parts is None:
            inside = self._splits_in_classes(folders)
            return self._of_classes(folders) if inside is None else inside
        return self._of_splits(parts, folders)

    def _parts(self, folders: list[Path]) -> dict[str, Path] | None:
        """The folder of each split; None: the folders are classes."""
        named: dict[str, list[Path]] = {}
        for folder in folders:
            if (part := SPLIT_OF.get(folder.name.lower())) is not None:
                named.setdefault(part, []).append(folder)
        others = [folder for folder in folders if folder.name.lower() not in SPLIT_OF]
        if not named or self.layout == "classes":
            return None
        holding = {part: any(map(self._holds_classes, found)) for part, found in named.items()}
        if self.layout == "auto" and others and not self._are_splits(named, holding, others):
            return None
        for part, found in named.items():
            if len(found) > 1:
                raise self.error(
                    f"{self.name}={self.root} holds {' and '.join(p.name for p in found)}: both "
                    f"are names of the {part} split; expected one"
                )
        if "train" in named:
            return {part: found[0] for part, found in named.items()}
        if others:
            return {"train": self.root, **{part: found[0] for part, found in named.items()}}
        listed = ", ".join(path.name for found in named.values() for path in found)
        raise self.error(f"{self.name}={self.root} has {listed} but no train folder")

    def _are_splits(
        self, named: dict[str, list[Path]], holding: dict[str, bool], others: list[Path]
    ) -> bool:
        """Whether folders with the names of splits are splits, where others lie beside them."""
        if not any(holding.values()) and set(named) == {"train"}:
            return False  # images alone, as in the classes beside it
        first = next(iter(named.values()))[0].name
        names = {folder.name for folder in others}
        if "train" not in named:
            inner = {p.name for found in named.values() for f in found for p in visible_folders(f)}
            if inner <= names:
                return True
        elif holding["train"] and len(named) > 1:
            return True
        raise self.error(
            f"{self.name}={self.root} holds {first} beside {few(sorted(names))}: a split or a "
            "class? dataset.layout=splits or dataset.layout=classes says which"
        )

    def _holds_classes(self, folder: Path) -> bool:
        return any(any_image(inner) for inner in visible_folders(folder))

    def _of_classes(self, folders: list[Path]) -> ImageFolder:
        if not folders:
            raise self.error(self._no_classes(self.root))
        self.walk.beside(self.root, "no class: beside the class folders")
        self._check_names(folders)
        if len(folders) == 1 and visible_folders(folders[0]):
            raise self.error(
                f"{self.name}={self.root} has one class only, {folders[0].name!r}; did you mean "
                f"{self.name}={folders[0]}?"
            )
        files = [
            ImageFile("train", label, path)
            for label, folder in enumerate(folders)
            for path in self.walk.images(folder)
        ]
        return self._found(folders, {"train": self.root}, files)

    def _splits_in_classes(self, folders: list[Path]) -> ImageFolder | None:
        """`cat/train/…`, `cat/test/…`, `dog/train/…`; None: it is not like this."""
        if self.layout == "classes":
            return None
        inner = {
            folder: [path for path in visible_folders(folder) if path.name.lower() in SPLIT_OF]
            for folder in folders
        }
        divided = [
            folder
            for folder, paths in inner.items()
            if len({SPLIT_OF[path.name.lower()] for path in paths}) > 1
        ]
        if not divided:
            return None
        for folder, paths in inner.items():
            if not paths:
                raise self.error(
                    f"{folder} has no folder train, as {divided[0]} has; dataset.layout=classes "
                    "takes all images below a class, whatever their folders are called"
                )
            self.walk.beside(folder, "no split: beside train and test")
            for other in visible_folders(folder):
                if other not in paths:
                    self.walk.skip(other, "beside the splits, and none of them")
        self.walk.beside(self.root, "no class: beside the class folders")
        files = [
            ImageFile(SPLIT_OF[path.name.lower()], label, image)
            for label, folder in enumerate(folders)
            for path in inner[folder]
            for image in self.walk.images(path)
        ]
        files = in_order(files)
        parts = {part: self.root for part in SPLIT_NAMES if any(f.part == part for f in files)}
        if "train" not in parts:
            raise self.error(f"{self.name}={self.root} has {', '.join(parts)} but no train folders")
        return self._found(folders, parts, files)

    def _of_splits(self, parts: dict[str, Path], folders: list[Path]) -> ImageFolder:
        parts = {part: parts[part] for part in SPLIT_NAMES if part in parts}
        apart = set(parts.values())
        beside = [folder for folder in folders if folder not in apart]
        if parts["train"] == self.root:
            classes = beside
            self.walk.beside(self.root, "no class: beside the class folders")
        else:
            for folder in beside:
                self.walk.skip(folder, "beside the splits, and none of them")
            self.walk.beside(self.root, "no class: beside the splits")
            classes = self.walk.folders(parts["train"])
            if not classes:
                raise self.error(self._no_classes(parts["train"]))
        names = [folder.name for folder in classes]
        files: list[ImageFile] = []
        for part, folder in list(parts.items()):
            inner = classes if part == "train" else self.walk.folders(folder)
            if not inner and self._unlabelled(part, folder, parts["train"]):
                del parts[part]
                continue
            if folder != self.root:
                self.walk.beside(folder, "no class: beside the class folders")
            strangers = {path.name for path in inner} - set(names)
            if strangers:
                raise self.error(
                    f"{folder} holds class {min(strangers)!r}, which {parts['train']} has not"
                )
            by_name = {path.name: path for path in inner}
            for label, name in enumerate(names):
                if name in by_name:
                    images = self.walk.images(by_name[name])
                    files += [ImageFile(part, label, path) for path in images]
        return self._found(classes, parts, files)

    def _unlabelled(self, part: str, folder: Path, train: Path) -> bool:
        """Whether a split is left out, as its images have no class."""
        found = flat_images(folder)
        if not found:
            return False
        # Where train is the classes beside it, it may be one of them.
        beside = "; dataset.layout=classes takes it for a class" if train == self.root else ""
        if not self.skip_unlabelled:
            raise self.error(
                f"{folder} holds {counted(len(found), 'image')} and no class folders: nothing "
                f"says their "
                f"class. dataset.on_unlabelled=skip goes on without them, with a {part} split "
                f"taken from train{beside}"
            )
        self.walk.beside(folder, "no class")
        return True

    def _check_masks(self, classes: list[Path], files: list[ImageFile]) -> None:
        """Refuse, unless it is asked for, pictures and their masks as two classes, or as one."""
        if self.layout == "classes":
            return
        folders: dict[str, set[str]] = {}
        for path in {str(each) for each in classes} | {
            os.path.dirname(each.name) for each in files
        }:
            folders.setdefault(os.path.dirname(path), set()).add(os.path.basename(path))
        of = {str(path.parent): "classes" for path in classes}
        for where, names in sorted(folders.items()):
            named = {name.lower(): name for name in names}
            pictures, masks = PICTURES & named.keys(), MASKS & named.keys()
            if pictures and masks and len(named) <= MOST_BESIDE:
                raise self.error(
                    f"{where} holds {named[min(pictures)]} and {named[min(masks)]}, which look "
                    f"like pictures and their masks, not {of.get(where, 'images of one class')}: "
                    "masks are not read; expected a folder per class with the pictures alone, or "
                    "dataset.layout=classes, which takes all images as they are"
                )

    def _check_names(self, folders: list[Path]) -> None:
        """Refuse, unless it is asked for, classes that look like splits by names of their own."""
        likely = [folder.name for folder in folders if _LIKE_A_SPLIT.search(folder.name.lower())]
        if len(likely) > 1 and self.layout != "classes":
            raise self.error(
                f"{self.name}={self.root} holds {few(likely)}, which look like splits; expected "
                "train, val and test (links will do), or dataset.layout=classes"
            )

    def _no_classes(self, folder: Path) -> str:
        found = flat_images(folder)
        tables = [
            str(path)
            for path in sorted({*self.root.iterdir(), *folder.iterdir()})
            if path.suffix.lower() in (".csv", ".tsv", ".jsonl", ".parquet")
        ]
        images = f"{counted(len(found), 'image')} but " if found else ""
        hint = ""
        if tables:
            hint = f"; is {tables[0]} a table of labels? dataset=table dataset.path={tables[0]}"
        elif found:
            hint = "; expected one folder per class, or a table of labels (dataset=table)"
        return f"{self.name}={folder} holds {images}no class folders{hint}"

    def _found(
        self, classes: list[Path], parts: dict[str, Path], files: list[ImageFile]
    ) -> ImageFolder:
        self._check_masks(classes, files)
        for folder in classes:
            try:
                folder.name.encode()
            except UnicodeEncodeError:
                raise self.error(
                    f"class folder {str(folder).encode(errors='backslashreplace').decode()} has a "
                    "name that is not UTF-8; rename it"
                ) from None
        return ImageFolder(
            self.root,
            tuple(folder.name for folder in classes),
            parts,
            tuple(files),
            tuple(sorted(self.walk.passed, key=lambda each: each.path)),
        )


def _holds_studies(folder: Path) -> bool:
    """Whether searches left their results there."""
    return any(
        (each / "environment.json").exists() or (each / "look" / "data.png").exists()
        for each in visible_folders(folder)
    )
