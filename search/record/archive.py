"""A study as one file, and back: a compressed tar of its files, with their hashes."""

import contextlib
import fcntl
import hashlib
import io
import json
import secrets
import shutil
import tarfile
import zlib
from pathlib import Path, PurePosixPath
from typing import Any, Final

from blocks.errors import one_line
from blocks.files import whole_file
from search.config.checks import validate_study_name
from search.errors import ConfigError, StudyError
from search.record.folder import TOKEN, StudyFolder, StudyLock
from search.record.lock import LEASE, LOCK
from search.record.shelf import RESTORED, clean

MANIFEST: Final = "manifest.json"
FORMAT: Final = 1
LEFT_OUT: Final = (LOCK, LEASE, TOKEN, "workers")
"""Of a study: what is of the process that runs it."""
JOURNAL_LOCK: Final = "optuna.journal.lock"
"""Optuna's own, a link, which a kill leaves behind."""
MOST_MANIFEST: Final = 2**26
"""Bytes; more is no manifest."""
_CHUNK: Final = 2**20


def archive(folder: StudyFolder, path: Path) -> int:
    """Write a study that nobody uses to a `.tar.gz`, whole or not at all; its size in bytes.

    Raises:
        StudyError: it is in use, or a link in it leads out of it.
        CompoundNasError: the file cannot be written.
    """
    with StudyLock(folder), whole_file(path) as temporary:
        files = [each for each in sorted(folder.path.rglob("*")) if _belongs(folder.path, each)]
        known = {
            each.relative_to(folder.path).as_posix(): [each.stat().st_size, _digest(each)]
            for each in files
        }
        head = json.dumps({"format": FORMAT, "study": folder.study, "files": known}).encode()
        with tarfile.open(temporary, "w:gz", compresslevel=6) as tar:
            entry = tarfile.TarInfo(MANIFEST)
            entry.size = len(head)
            tar.addfile(entry, io.BytesIO(head))
            for each in files:
                entry = tarfile.TarInfo(f"study/{each.relative_to(folder.path).as_posix()}")
                entry.size, entry.mtime = each.stat().st_size, int(each.stat().st_mtime)
                with open(each, "rb") as content:
                    tar.addfile(entry, content)
    return path.stat().st_size


def restore(path: Path, results_dir: str) -> StudyFolder:
    """Put an archived study into a results folder, under the name that it had; what is written is
    hashed before it is a study.

    Raises:
        StudyError: the file is no archive, is damaged, or the study is there already.
    """
    home = Path(results_dir).expanduser()
    made = home / f"{RESTORED}{secrets.token_hex(4)}"
    clean(home)
    try:
        with tarfile.open(path, "r|gz") as tar:
            manifest = _manifest(tar, path)
            folder = StudyFolder(results_dir, manifest["study"]).inside()
            if folder.path.exists() or folder.path.is_symlink():
                raise StudyError(
                    f"{folder.path} is there already; expected another results_dir=FOLDER"
                )
            made.mkdir(parents=True)
            with open(made / LOCK, "w") as lock:
                with contextlib.suppress(OSError):  # a file system without locks
                    fcntl.flock(lock, fcntl.LOCK_EX)
                _check_room(manifest["files"], made, path)
                _unpack(tar, manifest["files"], made, path)
                made.rename(folder.path)
                (folder / LOCK).unlink()
    except (tarfile.TarError, EOFError, zlib.error) as error:
        raise StudyError(f"{path} is no whole archive of a study: {one_line(error)}") from None
    except OSError as error:
        raise StudyError(f"{path}: {error.strerror or one_line(error)}") from None
    finally:
        shutil.rmtree(made, ignore_errors=True)
    return folder.require()


def _belongs(home: Path, path: Path) -> bool:
    parts = path.relative_to(home).parts
    if parts[0] in LEFT_OUT or parts[0].startswith(JOURNAL_LOCK):
        return False
    if path.is_symlink():
        raise StudyError(f"{path} is a link, which another machine would not have")
    return path.is_file()


def _digest(path: Path) -> str:
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _manifest(tar: tarfile.TarFile, path: Path) -> dict[str, Any]:
    entry = tar.next()
    content = None
    if entry is not None and entry.name == MANIFEST and 0 < entry.size <= MOST_MANIFEST:
        content = tar.extractfile(entry)
    try:
        found = None if content is None else json.loads(content.read())
        if not isinstance(found, dict) or found.get("format") != FORMAT:
            raise ValueError
        files = {str(name): (int(size), str(sha)) for name, (size, sha) in found["files"].items()}
        if any(size < 0 for size, _ in files.values()):
            raise ValueError
        name = str(found["study"])
        validate_study_name(name)
        if name.startswith(".") or "config.yaml" not in files:
            raise ValueError
        return {"study": name, "files": files}
    except (ValueError, TypeError, KeyError, AttributeError, OverflowError, RecursionError,
            ConfigError):  # fmt: skip
        raise StudyError(
            f"{path} is no archive of a study; expected what `python -m search archive` wrote"
        ) from None


def _check_room(files: dict[str, tuple[int, str]], home: Path, path: Path) -> None:
    """Refuse an archive of more than the disk has room for, before any of it is unpacked."""
    needed, free = sum(size for size, _ in files.values()), shutil.disk_usage(home).free
    if needed > free:
        raise StudyError(
            f"{path} unpacks to {needed:,} bytes, of which {home.parent} has room for {free:,}"
        )


def _unpack(
    tar: tarfile.TarFile, files: dict[str, tuple[int, str]], home: Path, path: Path
) -> None:
    """Write the files of a manifest and no others, each of its size and its hash."""
    left = dict(files)
    while (entry := tar.next()) is not None:
        name = entry.name.removeprefix("study/")
        pure = PurePosixPath(name)
        if not entry.isreg() or name not in left or pure.is_absolute() or ".." in pure.parts:
            raise StudyError(f"{path} holds {entry.name!r}, which is no file of its study")
        size, expected = left.pop(name)
        content = tar.extractfile(entry)
        if entry.size != size or content is None:
            raise StudyError(f"{path} is damaged: {name} is not of its size")
        target = home / name
        target.parent.mkdir(parents=True, exist_ok=True)
        digest = hashlib.sha256()
        with open(target, "wb") as file:
            while chunk := content.read(_CHUNK):
                digest.update(chunk)
                file.write(chunk)
        if digest.hexdigest() != expected:
            raise StudyError(f"{path} is damaged: {name} is not what was archived")
    if left:
        raise StudyError(f"{path} is damaged: it lacks {min(left)}")
