"""A walk through folders of images: each is read once, and what is passed over is kept."""

import csv
import io
import os
import re
from collections import Counter
from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from blocks.images.decode import why_unread, why_unread_name

SYSTEM_NAMES: Final = frozenset(
    {
        *("__macosx", "@eadir", "$recycle.bin", "system volume information", "lost+found"),
        *("__pycache__", "thumbs.db", "ehthumbs.db", "desktop.ini", "icon\r"),
    }
)


_MASK: Final = re.compile(
    r"(.+?)[ ._-](mask|seg|segmentation|gt|ground_?truth|annotation|trimap)s?([ _-]\d+)?$", re.I
)
"""What people call a file that was drawn over an image; first the image's own name."""


@dataclass(frozen=True)
class Passed:
    """A file or folder that was not read, and why."""

    path: Path
    reason: str


def why_hidden(name: str) -> str | None:
    """Why a file or folder of this name is nobody's image; None: it may be one."""
    if name.lower() in SYSTEM_NAMES:
        return "the operating system's own"
    return "hidden" if name.startswith(".") else None


@dataclass
class Walk:
    """A walk through folders: each is read once, links are followed. `masks`: files that are called
    as an image beside them with `_mask` after it are images too."""

    root: Path
    masks: bool = False
    passed: list[Passed] = field(default_factory=list)
    followed: set[Path] = field(default_factory=set)

    def folders(self, folder: Path) -> list[Path]:
        """The folders in `folder` that may be splits or classes."""
        return [path for path in sorted(folder.iterdir()) if path.is_dir() and self._wanted(path)]

    def images(self, folder: Path) -> Iterator[str]:
        """The paths of the images below `folder`, in order."""
        return self._below(str(folder))

    def beside(self, folder: Path, reason: str) -> None:
        """Pass over the images that lie in `folder` itself, and what else does."""
        for path in sorted(folder.iterdir()):
            if not path.is_dir() and self._wanted(path):
                self.passed.append(Passed(path, why_unread(path) or reason))

    def skip(self, path: Path, reason: str) -> None:
        self.passed.append(Passed(path, reason))

    def _below(self, folder: str) -> Iterator[str]:
        # Strings, not paths: there may be a million.
        with os.scandir(folder) as entries:
            found = sorted(entries, key=lambda entry: entry.name)
        names = [] if self.masks else [e.name for e in found if why_unread_name(e.name) is None]
        stems = {os.path.splitext(name)[0] for name in names}
        for entry in found:
            if (why := why_hidden(entry.name)) is not None:
                self.skip(Path(entry.path), why)
            elif entry.is_dir():
                if not entry.is_symlink() or self._first_time(Path(entry.path)):
                    yield from self._below(entry.path)
            elif why := why_unread_name(entry.name):
                self.skip(Path(entry.path), why)
            elif entry.is_file() and _is_mask(entry.name, stems):
                self.skip(Path(entry.path), "a mask of the image beside it")
            elif entry.is_file():
                yield entry.path
            else:
                broken = entry.is_symlink()
                self.skip(Path(entry.path), "a broken link" if broken else "no regular file")

    def _wanted(self, path: Path) -> bool:
        """Whether it is neither hidden nor the operating system's."""
        why = why_hidden(path.name)
        if why is not None:
            self.skip(path, why)
        return why is None

    def _first_time(self, link: Path) -> bool:
        """Whether a linked folder is read nowhere else."""
        there, root = link.resolve(), self.root.resolve()
        known = there in self.followed or there.is_relative_to(root) or root.is_relative_to(there)
        if known:
            self.skip(link, "a link to a folder that is read already")
        self.followed.add(there)
        return not known


def _is_mask(name: str, stems: Collection[str]) -> bool:
    """Whether a file is called as one of these with a mask's name after it."""
    found = _MASK.match(os.path.splitext(name)[0]) if stems else None
    return found is not None and found[1] in stems


def flat_images(folder: Path) -> list[Path]:
    """The images in `folder` itself, in the order of their names."""
    return [
        path
        for path in sorted(folder.iterdir())
        if not path.name.startswith(".") and path.is_file() and not why_unread(path)
    ]


def visible_folders(folder: Path) -> list[Path]:
    """The folders in `folder`, without the hidden ones."""
    return [
        path for path in sorted(folder.iterdir()) if path.is_dir() and why_hidden(path.name) is None
    ]


def any_image(folder: Path) -> bool:
    """Whether an image lies anywhere below; a loop of links is walked once."""
    seen = set()
    for where, folders, files in os.walk(folder, followlinks=True):
        real = os.path.realpath(where)
        if real in seen:
            folders.clear()
            continue
        seen.add(real)
        if any(why_hidden(name) is None and not why_unread_name(name) for name in files):
            return True
    return False


def reason_counts(passed: Iterable[Passed]) -> dict[str, int]:
    """How often each reason occurs, the most frequent first; reasons that differ in a number alone
    are one."""
    counts = Counter(re.sub(r"\d+", "…", each.reason) for each in passed)
    return dict(sorted(counts.items(), key=lambda item: (-item[1], item[0])))


def describe_passed(passed: Iterable[Passed]) -> str:
    """`12 hidden, 3 no reader for .txt`."""
    return ", ".join(f"{count:,} {reason}" for reason, count in reason_counts(passed).items())


def passed_csv(passed: Iterable[Passed]) -> str:
    """A table of path and reason."""
    buffer = io.StringIO()
    writer = csv.writer(buffer, lineterminator="\n")
    writer.writerow(["path", "reason"])
    writer.writerows([str(each.path), each.reason] for each in passed)
    # A name that is not UTF-8 is written with its bytes in hex.
    return buffer.getvalue().encode(errors="backslashreplace").decode()
