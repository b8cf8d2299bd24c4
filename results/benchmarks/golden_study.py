"""Golden studies: before and after a change, small studies must come to the same, to the last bit.

    python results/benchmarks/golden_study.py record FOLDER     # before the change
    python results/benchmarks/golden_study.py check FOLDER      # after it
    python results/benchmarks/golden_study.py --quick

`record` runs small studies of scikit-learn's digits by the public commands, and writes to FOLDER
what they left: one JSON file a chain of commands. `check` runs the same commands again. It prints
each difference by file and key, with both values, and exits with 1 if there is any. `--quick`
records one small chain twice and compares the two: it tells whether a machine can do this at all.

Which code runs is up to the caller: `PYTHONPATH=CHECKOUT` runs that of a checkout. Left out are
seconds, dates, versions, the command line and the machine's name. All else is compared: every
trial, the sampler's journal, the weights, the pictures, and what some commands print.

Training rounds otherwise on another processor, with other compiled operators or another PyTorch.
So a FOLDER is for one machine, and is not committed.
"""

import argparse
import csv
import hashlib
import io
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, Final

import numpy as np
import torch
import yaml
from PIL import Image
from sklearn.datasets import load_digits

Command = tuple[str, ...]

ABSENT: Final = "(nothing)"
"""In a difference, the value on the side that has none."""
VOLATILE: Final = frozenset(
    {
        "seconds", "versions", "command", "platform", "processor", "cores", "cuda",
        "worker_id", "datetime_start", "datetime_complete",
    }
)  # fmt: skip
"""Keys that may differ between two runs of the same code."""
NO_RESULT: Final = frozenset({".lock", "multirun.yaml", "report.html", "compare.html"})
"""Files that say nothing of a study: who runs it, Hydra's own settings, and pages of the same
numbers, which tell seconds too."""
PRINTS: Final = ("status", "front", "verify", "paper=table3", "paper=table7")
"""Commands with one of these words print no timing: what they print is kept."""
ENLARGED: Final = 24
"""Pixels of the digits in the folder of images."""

FIRST: Final = "r8-i1-s16-[ir_r2_k3_s1_e3_c8|ir_r1_k5_s2_e3_c32|ds_r2_k7_s2_e1_c32_se0.25]-h128"
SECOND: Final = "r8-i1-s16-[ir_r2_k3_s1_e3_c8_noskip|ir_r1_k3_s2_e6_c48|ds_r2_k5_s2_e1_c64]-h128"
REFERENCE: Final = "r8-s8-[ds_r1_k3_s1_e1_c8|ir_r1_k3_s2_e3_c16]-h16"
COMMON: Final = (
    "proxy.resolution=8",
    "proxy.epochs=1",
    "proxy.precision=fp32",  # auto is decided by a stopwatch
    "budget.max_macs=100k",
    "search.trials=8",
    "space=tiny",
    "search.finalists=1",
    "search.final_epochs=2",
    "search.references=[]",
    "search.controls=0",
    "search.scale=false",
    "workers.count=2",
    "workers.device=cpu",
)
DIGITS: Final = ("dataset=npz", "dataset.root=digits.npz", *COMMON)
FOLDER: Final = (
    "dataset=imagefolder",
    "dataset.root=images",
    "dataset.cache=cache",
    *COMMON,
)
AUGMENTED: Final = (
    "proxy.optimizer=sgd",
    "proxy.lr=0.1",
    "proxy.dropout=0.1",
    "proxy.drop_path=0.1",
    "proxy.drop_block=0.1",
    "proxy.drop_block_size=3",
    "proxy.crop_padding=1",
    "proxy.rand_augment=3",
    "proxy.cutout=2",
    "proxy.mixup=0.2",
    "proxy.cutmix=1.0",
    "proxy.ema=0.9",
)
TINY_SUPERNET: Final = ("supernet.epochs=2", "supernet.samples=2", "supernet.calibration_images=64")


def _search(study: str, *settings: str) -> Command:
    return ("search", "run", *DIGITS, f"study={study}", *settings)


CHAINS: Final[Mapping[str, tuple[Command, ...]]] = {
    # Two objectives, controls and a reference, and all that scaling makes of the B0.
    "pareto": (
        _search("tpe", "sampler=tpe", "search.trials=14", "search.controls=3",
                f"search.references=['{REFERENCE}']"),
        ("search", "status", "study=tpe"),
        ("search", "front", "study=tpe"),
        ("scaling", "fit", "study=tpe", "fit.points=16", "fit.repeated=2", "fit.seeds=2"),
        ("scaling", "emit", "study=tpe", "members=4"),
        ("scaling", "verify", "study=tpe"),
        ("scaling", "compare", "study=tpe", "compare.ratios=[4]", "compare.seeds=2",
         "compare.rules=[paper,published,dwr,width]", "compare.random=1"),
        ("scaling", "resolution", "study=tpe", "resolution.percents=[75,100,150]",
         "resolution.train=true"),
        # The best of the first study begin the second, at an exact cost, stopped early.
        _search("surrogate", "sampler=surrogate", "budget.target=60k", "proxy.epochs=4",
                "search.pruner=asha", "search.reduction_factor=2", "search.trials=12",
                f"search.enqueue=['{FIRST}','{SECOND}']", "search.warm_start=tpe",
                "search.warm_start_top=2", "search.controls=2"),
        ("search", "status", "study=surrogate"),
    ),
    "accuracy": (
        _search("evolution", "sampler=evolution", "objective=accuracy", "search.trials=24",
                "search.zero_cost=12", "search.zero_cost_top=3", *AUGMENTED),
        ("search", "scores", "study=evolution"),
    ),
    "reward": (
        _search("random", "sampler=random", "objective=reward", "reward.target_macs=60k",
                "proxy.epochs=3", "search.pruner=hyperband", "workers.count=1"),
        ("scaling", "fit", "study=random", "method=grid", "grid.constraint=counted",
         "grid.tolerance=0.15", "grid.step=0.25"),
        ("scaling", "emit", "study=random", "members=3", "exact=false"),
        ("scaling", "emit", "study=random", "rule=dwr", "phis=[-0.5,1,2]", "metric=params",
         "tolerance=0.1"),
        ("scaling", "compare", "paper=table3"),
        ("scaling", "compare", "paper=table7"),
        ("scaling", "emit", "baseline=efficientnet_b0", "coefficients=published", "members=2"),
    ),
    "loss": (
        _search("gp", "sampler=gp", "objective=loss", "search.trials=12", "proxy.kernels=torch"),
        _search("width_depth", "sampler=nsga2", "budget.target=20k", "budget.metric=params",
                "budget.solve=width_depth", "budget.tolerance=0.05", "objective=loss"),
    ),
    "sweep": (
        ("search", "run", "-m", *DIGITS, "study=nsga2", "sampler=nsga2", "search.trials=20",
         "seed=0,1"),
    ),
    "supernet": (
        _search("judged", "sampler=tpe", "evaluator=supernet", "search.controls=2",
                "fidelity.supernet=true", *TINY_SUPERNET),
        ("search", "fidelity", *DIGITS, "study=judged", "evaluator=supernet",
         "fidelity.architectures=5", "fidelity.epochs=2", "fidelity.seeds=2",
         "fidelity.repeated=2", *TINY_SUPERNET),
        _search("inherited", "sampler=random", "proxy.init_from=supernet", "search.trials=3",
                "supernet.distil=true", *TINY_SUPERNET),
    ),
    "folder": (
        ("search", "run", *FOLDER, "study=folder", "sampler=random", "search.trials=3",
         "space.resolution=[8,12]", "proxy.rand_augment=2"),
    ),
}  # fmt: skip
"""By name: commands that run in one folder, one after the other."""

QUICK: Final[Mapping[str, tuple[Command, ...]]] = {
    "quick": (
        _search("quick", "sampler=tpe", "objective=accuracy", "proxy.epochs=2",
                "search.pruner=asha", "search.reduction_factor=2", "search.trials=4",
                "search.final_epochs=1", "proxy.kernels=torch", "workers.count=1"),
    ),
}  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("action", nargs="?", choices=("record", "check"))
    parser.add_argument("folder", nargs="?", type=Path)
    parser.add_argument("--only", nargs="+", choices=sorted(CHAINS), default=sorted(CHAINS))
    parser.add_argument("--at-once", type=int, default=2, help="chains at the same time")
    parser.add_argument("--quick", action="store_true")
    arguments = parser.parse_args()
    if arguments.quick:
        with ThreadPoolExecutor(2) as pool:
            first, second = pool.map(run_chain, [QUICK["quick"]] * 2)
        sys.exit(report("quick", list(differences(first, second))))
    if arguments.action is None or arguments.folder is None:
        parser.error("expected record FOLDER, check FOLDER or --quick")
    chains = [CHAINS[name] for name in arguments.only]
    found = 0
    with ThreadPoolExecutor(arguments.at_once) as pool:
        for name, content in zip(arguments.only, pool.map(run_chain, chains), strict=True):
            path = arguments.folder / f"{name}.json"
            if arguments.action == "record":
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")
                print(f"{name}: {len(content)} files and outputs in {path}", flush=True)
                continue
            # Through JSON like what was recorded.
            now = json.loads(json.dumps(content))
            recorded = json.loads(path.read_text(encoding="utf-8"))
            found += report(name, list(differences(recorded, now)))
    sys.exit(min(found, 1))


def report(name: str, found: Sequence[str]) -> int:
    """Print the differences of a chain; 1 if there are any."""
    for line in found:
        print(f"{name}: {line}")
    print(f"{name}: {f'{len(found)} differences' if found else 'the same'}", flush=True)
    return int(bool(found))


def run_chain(commands: Sequence[Command]) -> dict[str, Any]:
    """What commands leave in an empty folder, by file, and what they print, by command.

    Raises:
        RuntimeError: a command failed.
    """
    content: dict[str, Any] = {}
    latest: dict[str, Any] = {}
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        write_images(folder, as_files=any("dataset.root=images" in each for each in commands))
        for number, command in enumerate(commands, 1):
            printed = run(command, folder)
            if set(PRINTS) & set(command):
                content[" ".join(command)] = printed.splitlines()
            # A file that a later command writes again is kept once more.
            for name, value in read_results(folder / "results"):
                if latest.get(name, ABSENT) != value:
                    kept = f"{name} (command {number})" if name in latest else name
                    content[kept] = latest[name] = value
    return content


def run(command: Command, folder: Path) -> str:
    """Run `python -m …` in a folder; returns what it printed."""
    done = subprocess.run(
        [sys.executable, "-m", *command],
        cwd=folder,
        env={**os.environ, "COLUMNS": "200"},
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        raise RuntimeError(f"{' '.join(command)}: exit {done.returncode}\n{done.stderr}")
    return done.stdout


def write_images(folder: Path, as_files: bool) -> None:
    """The digits as digits.npz, and if asked for some of them as files of a folder `images`."""
    bunch = load_digits()
    images = (bunch.images * 15).astype(np.uint8)
    np.savez(
        folder / "digits.npz",
        x_train=images[:1400],
        y_train=bunch.target[:1400],
        x_test=images[1400:],
        y_test=bunch.target[1400:],
    )
    if not as_files:
        return
    for number in range(400):
        path = folder / "images" / str(bunch.target[number]) / f"{number}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(images[number]).resize((ENLARGED, ENLARGED)).save(path)


def read_results(root: Path) -> Iterator[tuple[str, Any]]:
    """Every file below a folder by its name, as what of it must stay the same."""
    for folder, subfolders, names in os.walk(root):
        subfolders.sort()
        for name in sorted(names):
            if name not in NO_RESULT:
                path = Path(folder, name)
                yield str(path.relative_to(root)), read_result(path)


def read_result(path: Path) -> Any:
    """The content of a file without what may differ between two runs."""
    if path.suffix == ".jsonl":
        lines = [steady(json.loads(line)) for line in path.read_text(encoding="utf-8").splitlines()]
        # Workers finish in any order.
        return sorted(lines, key=_place)
    if path.suffix == ".journal":
        return [steady(json.loads(line)) for line in path.read_text(encoding="utf-8").splitlines()]
    if path.suffix == ".json":
        return steady(json.loads(path.read_text(encoding="utf-8")))
    if path.suffix == ".yaml":
        return steady(yaml.safe_load(path.read_text(encoding="utf-8")))
    if path.suffix == ".csv":
        return list(csv.DictReader(io.StringIO(path.read_text(encoding="utf-8"))))
    if path.suffix == ".pt":
        return steady(hashed(torch.load(path, weights_only=True)))
    return hashlib.sha256(path.read_bytes()).hexdigest()


def _place(line: Mapping[str, Any]) -> tuple[Any, ...]:
    return line.get("number", -1), line.get("arch", ""), line.get("seed", -1), json.dumps(line)


def steady(tree: Any) -> Any:
    """A tree of JSON or YAML without its volatile keys."""
    if isinstance(tree, dict):
        return {key: steady(value) for key, value in tree.items() if key not in VOLATILE}
    if isinstance(tree, list):
        return [steady(value) for value in tree]
    return tree


def hashed(tree: Any) -> Any:
    """A tree of tensors with a line for each tensor: type, shape and hash."""
    if isinstance(tree, torch.Tensor):
        data = tree.detach().contiguous().flatten().view(torch.uint8).numpy().tobytes()
        return f"{tree.dtype} {list(tree.shape)} {hashlib.sha256(data).hexdigest()}"
    if isinstance(tree, dict):
        return {str(key): hashed(value) for key, value in tree.items()}
    if isinstance(tree, list | tuple):
        return [hashed(value) for value in tree]
    return tree


def differences(before: Any, after: Any, where: str = "") -> Iterator[str]:
    """Where two trees differ: a line for each value, and for each other order of keys."""
    if isinstance(before, dict) and isinstance(after, dict):
        for key in dict.fromkeys([*before, *after]):
            inside = f"{where}.{key}" if where else str(key)
            yield from differences(before.get(key, ABSENT), after.get(key, ABSENT), inside)
        if before.keys() == after.keys() and list(before) != list(after):
            yield f"{where}: order of keys {list(before)} → {list(after)}"
    elif isinstance(before, list) and isinstance(after, list):
        if len(before) != len(after):
            yield f"{where}: {len(before)} → {len(after)} items"
        for number, pair in enumerate(zip(before, after, strict=False)):
            yield from differences(*pair, f"{where}[{number}]")
    elif repr(before) != repr(after):
        yield f"{where}: {_short(before)} → {_short(after)}"


def _short(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 200 else f"{text[:200]}…"


if __name__ == "__main__":
    main()
