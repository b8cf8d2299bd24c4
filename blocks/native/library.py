"""The compiled operators: built once for this machine by its own compiler, kept in a cache.

Where there is no compiler, everything runs on PyTorch's own operators instead.
"""

import functools
import hashlib
import os
import platform
import shlex
import subprocess
import tempfile
from pathlib import Path
from typing import Final

import torch

SOURCES: Final = tuple(
    Path(__file__).with_name(name) for name in ("operators.cpp", "depthwise.h", "norm.h", "lanes.h")
)
FLAGS: Final = (
    *("-O3", "-march=native", "-std=c++20", "-shared", "-fPIC", "-fopenmp"),
    # No -ffast-math: it would drop NaN, by which a training that diverged is known.
    *("-ffp-contract=fast", "-fno-math-errno", "-fno-trapping-math"),
    f"-D_GLIBCXX_USE_CXX11_ABI={int(torch.compiled_with_cxx11_abi())}",
)
SWITCH: Final = "COMPOUND_NAS_KERNELS"
"""Environment variable: `torch` keeps the compiled operators out."""
BUILD_SECONDS: Final = 600


def available() -> bool:
    """Whether `torch.ops.compound_nas` is there: loaded, and built if this machine has none yet."""
    return why_not() is None


@functools.cache
def why_not() -> str | None:
    """Why the compiled operators are not there, in a few words; None where they are."""
    if os.environ.get(SWITCH) == "torch":
        return f"{SWITCH}=torch"
    try:
        path = _built()
        try:
            torch.ops.load_library(path)  # type: ignore[no-untyped-call]
        except OSError:
            path.unlink(missing_ok=True)  # damaged, as by a power cut
            torch.ops.load_library(_built())  # type: ignore[no-untyped-call]
    except CacheError as error:
        return str(error)
    except (OSError, subprocess.SubprocessError, RuntimeError, ValueError):
        return "is there a C++ compiler?"  # ValueError: CXX with half a quote
    return None


class CacheError(Exception):
    """No folder where the library could be kept."""


def _built() -> Path:
    """The library's file: of these sources, this compiler, processor and version of PyTorch.

    Raises:
        CacheError: nowhere to keep it.
        OSError, subprocess.SubprocessError: no compiler, or it refuses.
    """
    compiler = shlex.split(os.environ.get("CXX", "c++"))
    version = subprocess.run(
        [*compiler, "--version"], capture_output=True, check=True, timeout=60
    ).stdout
    key = hashlib.sha256(version)
    for source in SOURCES:
        key.update(source.read_bytes())
    key.update("\n".join([*FLAGS, torch.__version__, _processor()]).encode())
    place = os.environ.get("XDG_CACHE_HOME") or "~/.cache"
    try:
        folder = Path(place).expanduser() / "compound-nas"
    except RuntimeError:
        raise CacheError(f"{place}: this user has no home; XDG_CACHE_HOME names a folder") from None
    path = folder / f"operators-{key.hexdigest()[:20]}.so"
    if path.exists():
        return path
    try:
        folder.mkdir(parents=True, exist_ok=True)
        scratch_folder = tempfile.TemporaryDirectory(dir=folder)
    except OSError as error:
        raise CacheError(
            f"the cache {folder} cannot be written ({error.strerror}); XDG_CACHE_HOME names another"
        ) from None
    root = Path(torch.__file__).parent
    with scratch_folder as scratch:
        made = Path(scratch, path.name)
        subprocess.run(
            [
                *compiler,
                *FLAGS,
                *(f"-isystem{root / 'include' / part}" for part in ("", "torch/csrc/api/include")),
                str(SOURCES[0]),
                *(f"-L{root / 'lib'}", "-ltorch_cpu", "-lc10"),
                *("-o", str(made)),
            ],
            capture_output=True,
            check=True,
            timeout=BUILD_SECONDS,
        )
        # Whole or not at all, whoever else builds it at the same time.
        with open(made, "rb") as file:
            os.fsync(file.fileno())
        os.replace(made, path)
    return path


def _processor() -> str:
    """What -march=native depends on."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.processor() + platform.machine()
    wanted = ("model name", "flags", "Features", "CPU part")
    return "\n".join(sorted({line for line in lines if line.startswith(wanted)}))
