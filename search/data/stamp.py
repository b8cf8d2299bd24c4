"""Whether anything in a folder has changed, without reading a file."""

import hashlib
import os
import time
from pathlib import Path

from search.data.stored import SETTLED_SECONDS


def folder_stamp(root: Path) -> str | None:
    """A hash of the names, sizes, times and numbers of all that lies below `root`, links followed.

    None: something changed just now, and may change again within the same tick of its clock; or
    the folder cannot be read.
    """
    digest = hashlib.sha256()
    latest = 0
    seen: set[tuple[int, int]] = set()
    folders = [str(root)]
    try:
        while folders:
            folder = folders.pop()
            state = os.stat(folder)
            if (state.st_dev, state.st_ino) in seen:
                continue
            seen.add((state.st_dev, state.st_ino))
            lines = []
            with os.scandir(folder) as entries:
                for entry in entries:
                    if entry.is_dir():
                        folders.append(entry.path)
                    try:
                        state = entry.stat()
                    except OSError:  # a broken link
                        state = entry.stat(follow_symlinks=False)
                    times = state.st_mtime_ns, state.st_ctime_ns
                    latest = max(latest, *times)
                    lines.append(f"{entry.path}\0{state.st_size}\0{times}\0{state.st_ino}")
            lines.sort()
            digest.update("\n".join(lines).encode(errors="surrogateescape"))
            folders.sort()
    except OSError:
        return None
    if latest > time.time_ns() - 1e9 * SETTLED_SECONDS:
        return None
    return digest.hexdigest()
