"""The contents of a folder's files, by hash; read only where a file may have changed."""

import contextlib
import hashlib
import json
import os
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

from blocks.errors import CompoundNasError
from blocks.files import write_whole
from blocks.threads import side_by_side
from search.data.stored import SETTLED_SECONDS

_VERSION: Final = 1
"""Of the manifest."""


def content_hashes(root: Path, names: Sequence[str], cache: Path) -> list[str]:
    """The SHA-256, in hex, of these files under `root`, read where size or times are not as known.

    The times are those of the content and of the inode, in ns: a file that was moved in the place
    of another has its own. An unreadable file has a hash of zeros.
    """
    resolved = hashlib.sha256(str(root.resolve()).encode()).hexdigest()[:32]
    manifest = cache / f"folder-{resolved}.json"
    known = _read_manifest(manifest)
    now = time.time_ns()
    found: dict[str, list[Any]] = {}
    unknown = []
    for name in names:
        try:
            state = os.stat(os.path.join(root, name))
        except OSError:
            unknown.append(name)
            continue
        stamp = [state.st_size, state.st_mtime_ns, state.st_ctime_ns]
        entry = known.get(name)
        if entry is not None and entry[:3] == stamp:
            found[name] = entry
        else:
            found[name] = [*stamp, ""]
            unknown.append(name)
    hashed = side_by_side(_hash, [root / name for name in unknown])
    for name, digest in zip(unknown, hashed, strict=True):
        found.setdefault(name, [0, 0, 0, ""])[3] = digest
    settled = {
        name: entry
        for name, entry in found.items()
        if max(entry[1], entry[2]) < now - 1e9 * SETTLED_SECONDS and int(entry[3], 16)
    }
    if settled != known:
        # Without it the files are hashed again, and nothing else.
        with contextlib.suppress(CompoundNasError):
            write_whole(manifest, json.dumps({"version": _VERSION, "files": settled}).encode())
    return [found[name][3] for name in names]


def _hash(path: Path) -> str:
    try:
        with open(path, "rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError:
        return "0" * 64


def _read_manifest(path: Path) -> dict[str, list[Any]]:
    try:
        content = json.loads(path.read_bytes())
        if content["version"] != _VERSION:
            return {}
        return {
            str(name): [int(size), int(mtime), int(ctime), bytes.fromhex(digest).hex()]
            for name, (size, mtime, ctime, digest) in content["files"].items()
            if len(digest) == 64
        }
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return {}
