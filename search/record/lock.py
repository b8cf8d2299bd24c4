"""One driver per study, on one machine or on several that share the folder.

`.lock` is locked by the operating system, and free again when its process dies. That may not hold
between machines, so there is a lease beside it: `.lease` says who holds the study, and its holder
touches it every few seconds. Times are those of the file system, never of a clock that jumps: a
holder is dead whose lease stays untouched while somebody watches it.
"""

import _thread
import contextlib
import errno
import fcntl
import json
import os
import secrets
import socket
import threading
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Final, TextIO

from blocks.machine import runs
from blocks.messages import say
from search.config.take_over import takes_over
from search.errors import StudyError

if TYPE_CHECKING:
    from search.record.folder import StudyFolder

LOCK: Final = ".lock"
LEASE: Final = ".lease"
RENEW: Final = 10.0
"""Seconds between two touches of a lease."""
WATCH: Final = 45.0
"""Seconds without one, after which a watched holder is dead."""
POLL: Final = 0.5


@dataclass(frozen=True)
class Lease:
    """Who holds a study: a process of a host, `since` when in seconds of the epoch."""

    token: str
    host: str
    pid: int
    since: float

    def describe(self) -> str:
        """`process 12 on node1, since 2026-01-31 10:00:00`."""
        since = time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(self.since))
        return f"process {self.pid} on {self.host}, since {since}"


def read_lease(path: Path) -> tuple[Lease, int] | None:
    """A lease and when it was last touched, in nanoseconds of the file system; None of none."""
    try:
        with open(path, encoding="utf-8") as file:
            touched = os.fstat(file.fileno()).st_mtime_ns
            found = json.loads(file.read(4096))
        return Lease(
            str(found["token"]), str(found["host"]), int(found["pid"]), float(found["since"])
        ), touched
    except FileNotFoundError:
        return None
    except (ValueError, TypeError, KeyError):  # torn, as it was made
        return Lease("", "an unknown host", 0, 0.0), touched


class StudyLock:
    """One running search or fit per study; a holder that dies leaves it free on its own machine,
    and to `--take-over` on others."""

    def __init__(self, folder: "StudyFolder") -> None:
        self._folder = folder
        self.path = folder / LOCK
        self.lease = folder / LEASE
        self._own = Lease(secrets.token_hex(8), socket.gethostname(), os.getpid(), time.time())
        self._file: TextIO | None = None
        self._ended = threading.Event()
        self._thread: threading.Thread | None = None
        self._lost: str | None = None

    def __enter__(self) -> "StudyLock":
        self._folder.inside()
        self.path.parent.mkdir(parents=True, exist_ok=True)
        file = open(self.path, "a+", encoding="utf-8")
        try:
            locks = self._lock(file)
            self._take_lease(locks)
            file.seek(0)
            file.truncate()
            file.write(str(os.getpid()))
            file.flush()
        except BaseException:
            file.close()
            raise
        self._file = file
        self._folder.lock = self
        self._thread = threading.Thread(target=self._renew, daemon=True)
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        assert self._file is not None
        assert self._thread is not None
        self._ended.set()
        self._thread.join()
        self._folder.lock = None
        with contextlib.suppress(OSError):
            found = read_lease(self.lease)
            if found is not None and found[0].token == self._own.token:
                self.lease.unlink()
        self._file.close()
        if self._lost is not None and isinstance(error, KeyboardInterrupt):
            raise StudyError(self._lost) from None

    def check(self) -> None:
        """That the study is still this process's: nothing is written to it otherwise.

        Raises:
            StudyError: another has taken it over.
        """
        if self._lost is None:
            with contextlib.suppress(OSError):  # a disk that does not answer says nothing
                found = read_lease(self.lease)
                # A torn one is being written, or was when the disk was full: it is nobody's.
                if found is not None and found[0].token not in ("", self._own.token):
                    self._lost = (
                        f"{self.path.parent} was taken over by {found[0].describe()}; this search "
                        "ends, and what it wrote until then is on disk"
                    )
        if self._lost is not None:
            raise StudyError(self._lost)

    def _lock(self, file: TextIO) -> bool:
        """Lock the file; False where this file system has no locks."""
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            if error.errno not in (errno.EWOULDBLOCK, errno.EACCES):
                return False
            found = read_lease(self.lease)
            file.seek(0)
            holder = f"process {file.read().strip()}" if found is None else found[0].describe()
            raise StudyError(f"{self.path.parent} is in use by {holder}") from None
        return True

    def _take_lease(self, locks: bool) -> None:
        found = read_lease(self.lease)
        if found is not None:
            self._require_dead(*found, locks)
            self._remove(found[0])
        try:
            self._write()
        except (FileExistsError, FileNotFoundError):
            raise StudyError(f"{self.path.parent} is in use: another was quicker") from None
        finally:
            for left in self.lease.parent.glob(f"{LEASE}.*"):  # of processes that were killed
                left.unlink(missing_ok=True)

    def _write(self) -> None:
        """Put the lease there, whole.

        Raises:
            FileExistsError: there is one.
        """
        made = self.lease.with_name(f"{LEASE}.{self._own.token}")
        content = json.dumps(asdict(self._own))
        made.write_text(content, encoding="utf-8")
        try:
            os.link(made, self.lease)  # whole, or not there
        except FileExistsError:
            raise
        except OSError:  # no links on this file system
            with open(self.lease, "x", encoding="utf-8") as file:
                try:
                    file.write(content)
                    file.flush()
                except OSError:
                    self.lease.unlink(missing_ok=True)
                    raise
        finally:
            made.unlink(missing_ok=True)

    def _require_dead(self, holder: Lease, touched: int, locks: bool) -> None:
        """Raises StudyError unless the holder of a lease has gone, or is found dead."""
        if holder.host == self._own.host and (locks or not runs(holder.pid)):
            return
        if not takes_over():
            self.path.touch()  # by the clock of the file system
            silent = max(0.0, (self.path.stat().st_mtime_ns - touched) / 1e9)
            raise StudyError(
                f"{self.path.parent} is in use by {holder.describe()}, last heard of "
                f"{silent:.0f} s ago; where that has died: the same command with --take-over, "
                f"which watches for {WATCH:.0f} s that nobody is there"
            )
        say(f"{self.path.parent}: watching for {WATCH:.0f} s whether {holder.describe()} is alive")
        until = time.monotonic() + WATCH
        while time.monotonic() < until:
            time.sleep(POLL)
            now = read_lease(self.lease)
            if now is None:
                return
            if now != (holder, touched):
                raise StudyError(
                    f"{self.path.parent} is in use by {now[0].describe()}, which is alive; end it "
                    "there first"
                )
        say(f"{self.path.parent}: taken over from {holder.describe()}, which gave no sign of life")

    def _remove(self, dead: Lease) -> None:
        """Take a dead holder's lease away, and no other that came meanwhile."""
        aside = self.lease.with_name(f"{LEASE}.{self._own.token}")
        try:
            os.rename(self.lease, aside)
        except FileNotFoundError:
            return
        found = read_lease(aside)
        if found is not None and found[0] != dead:
            with contextlib.suppress(OSError):
                os.link(aside, self.lease)
            aside.unlink()
            raise StudyError(f"{self.path.parent} is in use by {found[0].describe()}")
        aside.unlink(missing_ok=True)

    def _renew(self) -> None:
        while not self._ended.wait(RENEW):
            try:
                self.check()
                os.utime(self.lease)  # which a full disk does not refuse
            except StudyError:
                if not self._ended.is_set():
                    _thread.interrupt_main()  # ends like Ctrl-C, with its reason
                return
            except FileNotFoundError:
                with contextlib.suppress(OSError):  # of another, who came first: the next check
                    self._write()
            except OSError:
                continue  # a disk that does not answer for a while


def in_use(folder: "StudyFolder") -> bool:
    """Whether a process holds the study, here or on another machine."""
    locks = True
    try:
        with open(folder / LOCK, "rb") as file:
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except FileNotFoundError:
        pass
    except OSError as error:
        if error.errno in (errno.EWOULDBLOCK, errno.EACCES):
            return True
        locks = False  # this file system has none
    found = read_lease(folder / LEASE)
    if found is None:
        return False
    if found[0].host == socket.gethostname():
        return not locks and runs(found[0].pid)
    return time.time() - found[1] / 1e9 < WATCH
