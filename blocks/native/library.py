"""The compiled operators: built once for this machine by its own compiler, kept in a cache.

Where there is no compiler, everything runs on PyTorch's own operators instead.

The environment variable COMPOUND_NAS_KERNELS says which operators there are:

- `auto`, or nothing: those of this machine's own processor, where there is a compiler.
- `torch`: none; everything runs on PyTorch's.
- `avx512`, `avx2`, `plain`: those of an x86 processor with these instructions and no more, to
  test what another machine runs. An error where this machine cannot build or run them.
"""

import functools
import hashlib
import os
import platform
import shlex
import subprocess
import tempfile
from pathlib import Path
from typing import Final, NamedTuple

import torch

from blocks.errors import CompoundNasError, one_line

SOURCES: Final = tuple(
    Path(__file__).with_name(name) for name in ("operators.cpp", "depthwise.h", "norm.h", "lanes.h")
)
FLAGS: Final = (
    *("-O3", "-march={}", "-std=c++20", "-shared", "-fPIC", "-fopenmp"),
    # No -ffast-math: it would drop NaN, by which a training that diverged is known.
    *("-ffp-contract=fast", "-fno-math-errno", "-fno-trapping-math"),
    f"-D_GLIBCXX_USE_CXX11_ABI={int(torch.compiled_with_cxx11_abi())}",
)
SWITCH: Final = "COMPOUND_NAS_KERNELS"
"""Environment variable: `auto`, `torch`, or one of `INSTRUCTION_SETS`."""
BUILD_SECONDS: Final = 600


class InstructionSet(NamedTuple):
    """What the compiler calls it, and the flags of /proc/cpuinfo that a processor needs for it."""

    march: str
    needs: frozenset[str]


_PLAIN: Final = frozenset[str]()
_AVX2: Final = _PLAIN | {"avx", "avx2", "bmi1", "bmi2", "f16c", "fma", "abm", "movbe", "xsave"}
_AVX512: Final = _AVX2 | {"avx512f", "avx512bw", "avx512cd", "avx512dq", "avx512vl"}
INSTRUCTION_SETS: Final = {
    "avx512": InstructionSet("x86-64-v4", _AVX512),
    "avx2": InstructionSet("x86-64-v3", _AVX2),
    "plain": InstructionSet("x86-64", _PLAIN),
}
"""Those that `lanes.h` chooses among: vectors of 16, 8 and 4 floats."""


class KernelsError(CompoundNasError):
    """Operators that the environment variable asks for and that this machine does not have."""


class CacheError(Exception):
    """No folder where the library could be kept."""


def available() -> bool:
    """Whether `torch.ops.compound_nas` is there: loaded, and built if this machine has none yet.

    Raises:
        KernelsError: the environment variable asks for what is unknown, or cannot be had here.
    """
    return why_not() is None


@functools.cache
def why_not() -> str | None:
    """Why the compiled operators are not there, in a few words; None where they are.

    Raises:
        KernelsError: as `available`.
    """
    wanted = os.environ.get(SWITCH) or "auto"
    if wanted == "torch":
        return f"{SWITCH}=torch"
    if wanted == "auto":
        try:
            _load("native")
        except CacheError as error:
            return str(error)
        except (OSError, subprocess.SubprocessError, RuntimeError, ValueError):
            return "is there a C++ compiler?"  # ValueError: CXX with half a quote
        return None
    if wanted not in INSTRUCTION_SETS:
        names = ", ".join(["auto", "torch", *INSTRUCTION_SETS])
        raise KernelsError(f"{SWITCH}={wanted!r} is none of {names}")
    if wanted not in instruction_sets():
        have = ", ".join(instruction_sets()) or "none of these sets"
        raise KernelsError(f"{SWITCH}={wanted} is not available: this processor has {have}")
    try:
        _load(INSTRUCTION_SETS[wanted].march)
    except (CacheError, OSError, subprocess.SubprocessError, RuntimeError, ValueError) as error:
        raise KernelsError(f"{SWITCH}={wanted} cannot be built: {one_line(error)}") from error
    return None


def instruction_sets() -> tuple[str, ...]:
    """Those of `INSTRUCTION_SETS` that this processor can run."""
    if platform.machine().lower() not in ("x86_64", "amd64"):
        return ()
    flags = _flags()
    return tuple(name for name, each in INSTRUCTION_SETS.items() if each.needs <= flags)


def _load(march: str) -> None:
    path = _built(march)
    try:
        torch.ops.load_library(path)  # type: ignore[no-untyped-call]
    except OSError:
        path.unlink(missing_ok=True)  # damaged, as by a power cut
        torch.ops.load_library(_built(march))  # type: ignore[no-untyped-call]


def _built(march: str) -> Path:
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
    flags = [flag.format(march) for flag in FLAGS]
    key.update("\n".join([*flags, torch.__version__, _processor()]).encode())
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
                *flags,
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
    lines = _cpuinfo()
    if not lines:
        return platform.processor() + platform.machine()
    wanted = ("model name", "flags", "Features", "CPU part")
    return "\n".join(sorted({line for line in lines if line.startswith(wanted)}))


def _flags() -> frozenset[str]:
    """What an x86 processor can do, in the words of /proc/cpuinfo; empty where there is none."""
    lines = (line for line in _cpuinfo() if line.startswith("flags"))
    return frozenset(next(lines, "").partition(":")[2].split())


def _cpuinfo() -> list[str]:
    try:
        return Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return []
