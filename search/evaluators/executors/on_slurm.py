"""Jobs of Slurm by submitit, each of which is a worker that takes trainings until none is left.

A job of its own for each training would wait in the queue each time, and import PyTorch each time.
So workers are an array of jobs, and the trainings are files of a folder that all see: `jobs/N`,
which a worker claims by renaming it to `taken/N.WORKER`; what came of it is `done/N`. This process
watches: where a job ends with a training unfinished, the training goes back, and another worker is
asked for.
"""

import contextlib
import os
import pickle
import re
import secrets
import shutil
import signal
import socket
import tempfile
import threading
import time
from collections.abc import Callable
from concurrent.futures import Future
from pathlib import Path
from typing import Any, Final

from blocks import messages
from blocks.errors import one_line
from blocks.files import write_whole
from blocks.machine import runs
from search.config.places import SlurmConfig, Where
from search.config.quantities import parse_quantity
from search.config.settled import SettledWorkers
from search.errors import StudyError, TrainingError
from search.evaluators.executors.packing import read_packed, write_packed
from search.evaluators.executors.paths import HOME, anywhere
from search.evaluators.executors.working import LOG_LINES, Limits, attempt, settle_in

POLL: Final = 0.05
"""Seconds between two looks for a result, or for a job; less often where nothing happens."""
SLOWEST: Final = 1.0
CHECK: Final = 2.0
"""Seconds between two looks at the workers, and between two signs of life."""
LOST: Final = 300.0
"""Seconds without a sign of life of the driver after which a worker ends."""
IDLE_DEATHS: Final = 3
"""Workers in a row that end without having taken anything: something is wrong with all."""

_open: set[Path] = set()
"""Folders of this process's pools, of which a search may have two."""


def make(work: Callable[[Any], Any], workers: SettledWorkers, where: Where) -> "OnSlurm":
    """Ask for the workers; see `OnSlurm`."""
    return OnSlurm(work, workers, where.slurm, where.folder)


class OnSlurm:
    """`workers.count` jobs that run `work(job)`. `folder` is on a file system that all of them
    share; what lies in it of an earlier run is removed."""

    def __init__(
        self,
        work: Callable[[Any], Any],
        workers: SettledWorkers,
        config: SlurmConfig,
        folder: Path | None,
    ) -> None:
        import submitit  # an extra

        home = Path(tempfile.mkdtemp(prefix="compound-nas-")) if folder is None else folder
        if home.is_symlink():
            raise StudyError(f"{home} is a link; expected a results_dir that all nodes see")
        for left in home.glob("*"):  # of a driver that was killed
            if left.absolute() not in _open and re.fullmatch("[0-9a-f]{8}", left.name):
                shutil.rmtree(left, ignore_errors=True)
        self._home = home
        self.folder = home.absolute() / secrets.token_hex(4)
        _open.add(self.folder)
        for name in ("jobs", "taken", "done"):
            (self.folder / name).mkdir(parents=True)
        gpu = workers.device.startswith("cuda")
        settings = (
            work, workers.threads, gpu, Limits.of(workers), messages.shown(),
            (socket.gethostname(), os.getpid()), _preempts(),
        )  # fmt: skip
        self._beat()
        write_packed(self.folder / "work.bin", settings)
        self._config, self._count = config, workers.count
        self._executor = submitit.AutoExecutor(self.folder / "log", cluster=config.cluster)
        self._executor.update_parameters(**_parameters(config, workers, gpu))
        self._lock = threading.Lock()
        self._waiting: dict[int, Future[Any]] = {}
        self._content: dict[int, bytes] = {}
        self._tries: dict[int, int] = {}
        self._next = 0
        self._hired = 0
        self._idle_deaths = 0
        self._workers: dict[int, Any] = {}
        self._stopped = threading.Event()
        try:
            self._hire(workers.count)
        except BaseException:
            shutil.rmtree(self.folder, ignore_errors=True)
            _open.discard(self.folder)
            raise
        self._thread = threading.Thread(target=self._watch, daemon=True)
        self._thread.start()

    def submit(self, job: Any) -> "Future[Any]":
        """Queue a job."""
        future: Future[Any] = Future()
        with self._lock:
            number = self._next
            self._next += 1
            self._waiting[number] = future
            self._content[number] = pickle.dumps(anywhere(job))
        write_whole(self.folder / "jobs" / f"{number:08d}", self._content[number])
        return future

    def death(self) -> TrainingError:
        """What to say of a job whose worker died; each job's is said by itself."""
        return TrainingError("killed", "the training process died")

    def close(self, at_once: bool) -> None:
        """Have the workers end; `at_once` cancels their jobs."""
        self._stopped.set()
        self._thread.join()
        with contextlib.suppress(OSError):
            (self.folder / "stop").touch()
        for worker in self._workers.values():
            if at_once:
                with contextlib.suppress(Exception):  # a job that has ended by itself
                    worker.cancel(check=False)
        until = time.monotonic() + 10
        while time.monotonic() < until and not all(each.done() for each in self._workers.values()):
            time.sleep(POLL)
        for worker in self._workers.values():
            if not worker.done():
                worker.cancel(check=False)
        shutil.rmtree(self.folder, ignore_errors=True)
        _open.discard(self.folder)
        with contextlib.suppress(OSError):
            self._home.rmdir()  # unless another pool of this process has it

    def _hire(self, count: int) -> None:
        numbers = list(range(self._hired, self._hired + count))
        self._hired += count
        try:
            with _importable():
                jobs = self._executor.map_array(serve, [str(self.folder)] * count, numbers)
        except RuntimeError as error:  # submitit's word of what Slurm refused
            reason = one_line(error)[:300]
            raise StudyError(f"executor=submitit: Slurm took no job ({reason})") from None
        self._workers |= dict(zip(numbers, jobs, strict=True))

    def _watch(self) -> None:
        checked, pause = time.monotonic(), POLL
        while not self._stopped.wait(pause):
            try:
                found = self._collect()
                if time.monotonic() - checked > CHECK:
                    self._beat()
                    self._replace_dead()
                    checked = time.monotonic()
            except Exception as error:  # in a thread: whoever waits for a result hears of it
                self._fail_all(StudyError(f"{self.folder}: {one_line(error)[:300]}"))
                found = False
            pause = POLL if found else min(2 * pause, 4 * POLL)

    def _collect(self) -> bool:
        names = [name for name in os.listdir(self.folder / "done") if name.isdecimal()]
        for name in names:
            path = self.folder / "done" / name
            failed, found = pickle.loads(path.read_bytes())
            path.unlink()
            for taken in (self.folder / "taken").glob(f"{name}.*"):
                taken.unlink(missing_ok=True)
            future = self._forget(int(name))
            if future is None:
                continue
            self._idle_deaths = 0
            future.set_exception(found) if failed else future.set_result(found)
        return bool(names)

    def _forget(self, number: int) -> "Future[Any] | None":
        with self._lock:
            self._content.pop(number, None)
            self._tries.pop(number, None)
            return self._waiting.pop(number, None)

    def _replace_dead(self) -> None:
        dead = [number for number, worker in self._workers.items() if worker.done()]
        for number in dead:
            worker = self._workers.pop(number)
            self._collect()  # it may have ended just after its last result
            left = list((self.folder / "taken").glob(f"*.{number}"))
            if not left:
                self._idle_deaths += 1
            for path in left:
                path.unlink(missing_ok=True)
                self._again(int(path.name.partition(".")[0]), worker)
            if self._idle_deaths >= IDLE_DEATHS * self._count:
                lines = " | ".join(_last_lines(worker))
                self._fail_all(StudyError(f"the workers end before they train: {lines}"))
                return
        missing = min(self._count, len(self._waiting)) - len(self._workers)
        if missing > 0:
            self._hire(missing)

    def _again(self, number: int, worker: Any) -> None:
        """A training whose worker has ended: once more, or a failure."""
        if number not in self._waiting:
            return
        self._tries[number] = self._tries.get(number, 0) + 1
        if self._tries[number] <= self._config.retries:
            write_whole(self.folder / "jobs" / f"{number:08d}", self._content[number])
            return
        lines, tries = _last_lines(worker), self._tries[number]
        future = self._forget(number)
        kind = "node" if "NODE_FAIL" in str(worker.state) else "killed"
        reason = f"its worker died {tries} times ({worker.state})"
        if future is not None:
            future.set_exception(TrainingError(kind, reason, lines))

    def _fail_all(self, error: StudyError) -> None:
        for number in list(self._waiting):
            future = self._forget(number)
            if future is not None:
                future.set_exception(error)

    def _beat(self) -> None:
        (self.folder / "alive").touch()


def _parameters(config: SlurmConfig, workers: SettledWorkers, gpu: bool) -> dict[str, Any]:
    own: dict[str, Any] = {
        "name": "compound-nas",
        "timeout_min": config.minutes,
        "cpus_per_task": workers.threads,
        "slurm_array_parallelism": workers.count,
        "slurm_partition": config.partition,
        "slurm_account": config.account,
        "slurm_additional_parameters": dict(config.more) or None,
    }
    if gpu:
        own["gpus_per_node"] = 1
    if config.memory is not None:
        own["mem_gb"] = parse_quantity("slurm.memory", config.memory) / 1e9
    return {name: value for name, value in own.items() if value is not None}


def _preempts() -> int:
    """The signal that Slurm is asked to send before it ends a job."""
    from submitit.core.job_environment import JobEnvironment

    name = f"SIG{JobEnvironment.USR_SIG}"
    found = getattr(signal, name, None)
    if found is None:
        raise StudyError(
            f"SUBMITIT_PREEMPT_SIGNAL={JobEnvironment.USR_SIG} is no signal; expected USR2, USR1, …"
        )
    return int(found)


def _last_lines(worker: Any) -> list[str]:
    try:
        return (worker.stderr() or "").strip().splitlines()[-LOG_LINES:]
    except OSError:
        return []


@contextlib.contextmanager
def _importable() -> Any:
    """Within, what is started finds these packages, also where they are not installed."""
    before = os.environ.get("PYTHONPATH")
    os.environ["PYTHONPATH"] = os.pathsep.join(filter(None, [str(HOME), before]))
    try:
        yield
    finally:
        if before is None:
            del os.environ["PYTHONPATH"]
        else:
            os.environ["PYTHONPATH"] = before


def serve(home: str, number: int) -> int:
    """A worker: one job after another; how many it did. Ends where it is told to, or is alone."""
    folder = Path(home)
    work, threads, gpu, limits, shows_messages, driver, preempts = read_packed(folder / "work.bin")
    settle_in(threads, 0 if gpu else None, limits, shows_messages)
    # At the end of its time, or preempted: submitit's own handler would raise within a training,
    # or have the job requeued. This ends the worker, and the driver begins its training again.
    signal.signal(preempts, lambda *_: os._exit(1))
    for left in (folder / "taken").glob(f"*.{number}"):  # by this job, before Slurm requeued it
        with contextlib.suppress(FileNotFoundError):
            left.rename(folder / "jobs" / left.name.partition(".")[0])
    done, pause, checked = 0, POLL, time.monotonic()
    while not (folder / "stop").exists():
        claimed = _claim(folder, number)
        if claimed is not None:
            name, job = claimed
            try:
                found: tuple[bool, Any] = False, attempt(work, job, limits)
            except Exception as error:
                found = True, error
            write_whole(folder / "done" / name, pickle.dumps(found))
            done, pause = done + 1, POLL
        else:
            time.sleep(pause)
            pause = min(1.5 * pause, SLOWEST)
        if time.monotonic() - checked > CHECK:
            checked = time.monotonic()
            if _alone(folder, number, driver):
                break
    return done


def _claim(folder: Path, number: int) -> tuple[str, Any] | None:
    """The first job that nobody else takes."""
    try:
        names = sorted(name for name in os.listdir(folder / "jobs") if name.isdecimal())
    except FileNotFoundError:
        return None
    for name in names:
        taken = folder / "taken" / f"{name}.{number}"
        try:
            os.rename(folder / "jobs" / name, taken)
        except FileNotFoundError:
            continue  # another was quicker
        return name, pickle.loads(taken.read_bytes())
    return None


def _alone(folder: Path, number: int, driver: tuple[str, int]) -> bool:
    """Whether the driver has gone: by its process here, or by its silence."""
    host, pid = driver
    if host == socket.gethostname() and not runs(pid):
        return True
    own = folder / f"here.{number}"
    try:
        own.touch()  # by the clock of the file system, which both share
        return own.stat().st_mtime - (folder / "alive").stat().st_mtime > LOST
    except OSError:
        return True  # the folder is gone
