"""Which images must stay on one side of a split: those of one patient, say, or of one film."""

import re
from dataclasses import replace
from typing import Final

from blocks.images.listing import ImageFile, ImageFolder
from search.errors import DataError

_LEVEL: Final = re.compile(r"level:([1-9]\d*)")


def group_files(found: ImageFolder, group: str | None) -> ImageFolder:
    """`found`, each file with its group.

    `level:1` is the folder below the class that a file lies in, `level:2` the one below that. Else
    `group` is a regular expression that is searched for in the file's name: what its first bracket
    matches is the group, or all that it matches where there is no bracket.

    Raises:
        DataError: a file without such a folder, a name that does not match, a wrong expression.
    """
    if group is None:
        return found
    level = _LEVEL.fullmatch(group)
    if level is None:
        try:
            pattern = re.compile(group)
        except re.error as error:
            raise DataError(f"dataset.group={group} is no regular expression: {error}") from None
        return replace(found, files=tuple(_by_name(file, pattern, group) for file in found.files))
    depth = int(level.group(1))
    return replace(found, files=tuple(_by_level(file, found, depth) for file in found.files))


def _by_name(file: ImageFile, pattern: re.Pattern[str], group: str) -> ImageFile:
    match = pattern.search(file.path.name)
    found = None if match is None else match.group(1 if pattern.groups else 0)
    if found is None:
        raise DataError(f"dataset.group={group} does not match the name of {file.path}")
    return replace(file, group=found)


def _by_level(file: ImageFile, found: ImageFolder, depth: int) -> ImageFile:
    parts = file.path.parts
    name = found.classes[file.label]
    start = len(found.parts[file.part].parts)
    # The class is the first folder of its name below the split's.
    try:
        below = parts[parts.index(name, start) + 1 : -1]
    except ValueError:
        below = ()
    if len(below) < depth:
        raise DataError(
            f"dataset.group=level:{depth}, but {file.path} lies {len(below)} folders below its "
            f"class; expected {depth} or more"
        )
    return replace(file, group="/".join(below[:depth]))
