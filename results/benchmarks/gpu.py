"""All that needs a CUDA device, in minutes, the most important first: writes results/gpu.json.

    bash .ci/gpu
    bash .ci/gpu --device cpu --quick

`tests` runs the tests marked `cuda`. `steps` times a training step of EfficientNet-B0 (224 px) and
of three random members of `space=tiny` (28 px), ours and as timm builds them, in fp32, TF32 and
bfloat16, in both memory layouts, by turns. `search` and `supernet` run whole small searches by the
command. `memory` is the peak of a training step and of an inference. `train` trains a network by
`python -m scaling train` in each precision, and by a recipe that changes images one by one.
`throughput` is images a second by batch. Each part is a process with a time limit of its own. What
fails, or lacks a package, is recorded and the rest goes on; the file is written after each part.
The exit code is 1 if a part is not ok.

This file, and parts of it, run where only PyTorch is installed: what else a part needs it imports
itself.
"""

import argparse
import importlib.util
import json
import os
import platform
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    import torch
    from torch import nn

    from blocks.arch import ArchSpec

ROOT: Final = Path(__file__).resolve().parents[2]
CLASSES: Final = 10
BASELINE: Final = "EfficientNet-B0"
MEMBERS: Final = (
    "r28-i1-s16-[ds_r1_k3_s1_e1_c24_se0.25|ir_r3_k5_s2_e6_c16_se0.25_noskip|ds_r1_k7_s2_e1_c64_se0.25]-h128",
    "r28-i1-s16-[ir_r1_k3_s1_e3_c8|ds_r1_k7_s2_e1_c32_se0.25|ir_r2_k7_s2_e3_c64_se0.25]-h128",
    "r28-i1-s16-[ds_r2_k7_s1_e1_c8_se0.25|ir_r2_k7_s2_e4_c16_noskip|ir_r1_k3_s2_e3_c64_se0.25]-h128",
)
"""Drawn at random from `space=tiny` within its default budget, seed 0."""
FORMATS: Final = ("fp32", "tf32", "bf16")
WARM_UP: Final = 2
Numbers = dict[str, Any]


def tests(_: argparse.Namespace) -> Numbers:
    """The tests that are marked; without a device they skip."""
    with tempfile.TemporaryDirectory() as folder:
        report = Path(folder, "report.xml")
        files = sorted(
            str(path.relative_to(ROOT))
            for path in (ROOT / "tests").rglob("test_*.py")
            if "mark.cuda" in path.read_text(encoding="utf-8")
        )
        if not files:
            return {"ran": 0}
        command = ["-m", "pytest", "-o", "addopts=", "-m", "cuda"]  # one after another
        command += ["-q", "-p", "no:cacheprovider", "-rfE"]
        said = run([*command, f"--junit-xml={report}", *files], allowed=(0, 5))
        found = report.read_text(encoding="utf-8") if report.exists() else ""
    return {"ran": found.count("<testcase "), "skipped": found.count("<skipped "),
            "summary": said.splitlines()[-1:]}  # fmt: skip


def steps(arguments: argparse.Namespace) -> Numbers:
    """Milliseconds of a training step, and how many times as long timm's takes, by turns."""
    found: Numbers = {}
    for name, arch, batch in networks(arguments):
        variants: dict[str, Callable[[], None]] = {}
        for whose, network in builders(arch, name).items():
            for channels_last in (True, False):
                layout = "channels_last" if channels_last else "contiguous"
                for number_format in FORMATS:
                    variants[f"{whose}, {layout}, {number_format}"] = step_of(
                        network(), arch, batch, channels_last, number_format, arguments.device
                    )
        seconds = take_turns(variants, arguments)
        found[name] = {
            "arch": str(arch), "batch": batch,
            "ms": {each: spread([1e3 * one for one in taken]) for each, taken in seconds.items()},
            "timm/ours": {
                each.removeprefix("timm, "): spread(
                    [theirs / ours for theirs, ours in
                     zip(taken, seconds[each.replace("timm", "ours")], strict=True)]
                )
                for each, taken in seconds.items()
                if each.startswith("timm")
            },
        }  # fmt: skip
        # The CPU's answer to the same images is the referee.
        found[name]["difference to the CPU"] = difference(arch, arguments.device)
        arguments.out.write_text(json.dumps(found), encoding="utf-8")  # kept if time runs out
    return found


def search(arguments: argparse.Namespace) -> Numbers:
    """A whole search, every candidate trained."""
    return whole_search(arguments, [])


def supernet(arguments: argparse.Namespace) -> Numbers:
    """A whole search whose candidates a supernet judges."""
    epochs = 1 if arguments.quick else 3
    settings = ["space=tiny", "evaluator=supernet", f"supernet.epochs={epochs}"]
    return whole_search(arguments, settings)


def whole_search(arguments: argparse.Namespace, settings: Sequence[str]) -> Numbers:
    trials, epochs = (2, 1) if arguments.quick else (8, 4)
    with tempfile.TemporaryDirectory() as folder:
        started = time.perf_counter()
        run([
            *("-m", "search", "run", "study=gpu", f"results_dir={folder}"),
            *(f"workers.device={arguments.device}", f"workers.count={1 if arguments.quick else 4}"),
            *(f"search.trials={trials}", f"proxy.epochs={epochs}", "search.final_epochs=1"),
            *("search.references=[]", "search.controls=0", "search.scale=false", *settings),
        ])  # fmt: skip
        seconds = time.perf_counter() - started
        study = Path(folder, "gpu")
        lines = (study / "trials.jsonl").read_text(encoding="utf-8").splitlines()
        records = [json.loads(line) for line in lines]
        failed = [each for each in records if "kind" in each]
        if failed or len(records) != trials:
            raise RuntimeError(f"{len(records)} of {trials} trials, {len(failed)} failed: {failed}")
        config = (study / "config.yaml").read_text(encoding="utf-8")
        return {
            "trials": trials, "epochs": epochs, "seconds": round(seconds, 1),
            "val_accuracy": [each["metrics"]["val_accuracy"] for each in records],
            "train_seconds": [each["seconds"] for each in records],
            "settled": [line.strip() for line in config.splitlines()
                        if line.strip().startswith(("device:", "precision:", "count:"))],
        }  # fmt: skip


def memory(arguments: argparse.Namespace) -> Numbers:
    """Megabytes: the most that PyTorch held in a training step, and in an inference of one image,
    beside what `blocks.memory` says of that."""
    import torch

    from blocks.memory import memory as predicted

    found: Numbers = {}
    for name, arch, batch in list(networks(arguments))[:2]:
        megabytes: dict[str, float] = {}
        for whose, build in builders(arch, name).items():
            for number_format in ("fp32", "bf16"):
                step = step_of(build(), arch, batch, True, number_format, arguments.device)
                megabytes[f"{whose}, step, {number_format}"] = peak_of(step, arguments.device)
                del step
            network = placed(build(), True, arguments.device).eval()
            images = images_of(arch, 1, True, arguments.device)
            set_format("fp32")

            def infer(network: "nn.Module" = network, images: "torch.Tensor" = images) -> None:
                with torch.inference_mode():
                    network(images)

            megabytes[f"{whose}, inference of one image, fp32"] = peak_of(infer, arguments.device)
            del network, images, infer
        megabytes["blocks.memory, inference of one image, fp32"] = round(
            predicted(arch, CLASSES).peak / 1e6, 2
        )
        found[name] = {"batch": batch, "megabytes": megabytes}
    return found


def train(arguments: argparse.Namespace) -> Numbers:
    """Trainings of one network to the end, in each precision; what it then reaches."""
    epochs = 1 if arguments.quick else 3
    asked = {
        "small, fp32": ["precision=fp32"],
        "small, bf16": ["precision=bf16"],
        "small, fp16": ["precision=fp16"],
        "small, auto": [],
        "timm, auto": ["recipe=timm", "recipe.lr=0.01", "recipe.crop_scale=0.5"],
    }
    if arguments.quick:
        asked = {name: asked[name] for name in ("small, auto", "timm, auto")}
    found: Numbers = {}
    with tempfile.TemporaryDirectory() as folder:
        for number, (name, settings) in enumerate(asked.items()):
            started = time.perf_counter()
            run([
                *("-m", "scaling", "train", MEMBERS[0], "study=gpu", f"results_dir={folder}"),
                *("dataset=fashion_mnist", f"device={arguments.device}", f"name=n{number}"),
                *(f"recipe.epochs={epochs}", *settings),
            ])  # fmt: skip
            seconds = time.perf_counter() - started
            written = Path(folder, "gpu", "trained", f"n{number}")
            log = (written / "log.csv").read_text(encoding="utf-8").splitlines()
            row = dict(zip(log[0].split(","), log[-1].split(","), strict=True))
            machine = (written / "model.yaml").read_text(encoding="utf-8")
            found[name] = {
                "epochs": epochs, "whole command, seconds": round(seconds, 1),
                "training, seconds": round(float(row["seconds"]), 1),
                "val_accuracy": float(row["val_accuracy"]),
                "settled": [line.strip() for line in machine.splitlines()
                            if line.strip().startswith(("device:", "precision:"))],
            }  # fmt: skip
            arguments.out.write_text(json.dumps(found), encoding="utf-8")
    return found


def throughput(arguments: argparse.Namespace) -> Numbers:
    """Images a second that a network answers, by batch and number format."""
    import torch

    found: Numbers = {}
    for name, arch, _ in list(networks(arguments))[:2]:
        network = placed(builders(arch, name)["ours"](), True, arguments.device).eval()
        rates: dict[str, float] = {}
        for batch in (1, 2) if arguments.quick else (1, 8, 64, 256, 1024):
            images = images_of(arch, batch, True, arguments.device)
            for number_format in ("fp32", "tf32", "bf16"):
                set_format(number_format)
                taken = []
                with (
                    torch.inference_mode(),
                    torch.autocast(
                        arguments.device, torch.bfloat16, enabled=number_format == "bf16"
                    ),
                ):
                    for _ in range(2 if arguments.quick else 8):
                        wait(arguments.device)
                        started = time.perf_counter()
                        for _ in range(3):
                            network(images)
                        wait(arguments.device)
                        taken.append((time.perf_counter() - started) / 3)
                rates[f"batch {batch}, {number_format}"] = round(batch / min(taken[1:]), 1)
        found[name] = {"images a second": rates}
    return found


PARTS: Final[Mapping[str, Callable[[argparse.Namespace], Numbers]]] = {
    "tests": tests,
    "steps": steps,
    "search": search,
    "supernet": supernet,
    "memory": memory,
    "train": train,
    "throughput": throughput,
}
LIMIT_SECONDS: Final = {
    "tests": 170, "steps": 80, "search": 100, "supernet": 90, "memory": 30, "train": 90,
    "throughput": 30,
}  # fmt: skip
"""On a GPU; together under 10 minutes."""
CPU_LIMIT_SECONDS: Final = 600
"""Of each part, where the device is the CPU, and perhaps busy with something else."""
NEEDS: Final[Mapping[str, Sequence[str]]] = {
    "tests": ("torch", "pytest", "hypothesis", "sklearn", "numpy", "optuna", "hydra", "pandas",
              "scipy", "matplotlib", "PIL", "fvcore", "yaml", "rich", "threadpoolctl"),
    "steps": ("torch",),
    "search": ("torch", "optuna", "hydra", "numpy", "pandas", "scipy", "sklearn", "matplotlib",
               "PIL", "fvcore", "yaml", "rich", "threadpoolctl"),
    "supernet": ("torch", "optuna", "hydra", "numpy", "pandas", "scipy", "sklearn", "matplotlib",
                 "PIL", "fvcore", "yaml", "rich", "threadpoolctl"),
    "memory": ("torch",),
    "train": ("torch", "timm", "torchmetrics", "safetensors", "hydra", "numpy", "pandas", "scipy",
              "sklearn", "PIL", "yaml", "rich", "threadpoolctl"),
    "throughput": ("torch",),
}  # fmt: skip
"""Modules without which a part cannot run. timm, where it is missing, is left out."""


def networks(arguments: argparse.Namespace) -> "list[tuple[str, ArchSpec, int]]":
    """(name, network, batch)."""
    from blocks.arch import parse_arch
    from blocks.zoo import find_arch

    side, batch, members = (32, 2, 1) if arguments.quick else (224, 64, len(MEMBERS))
    b0 = replace(find_arch("efficientnet_b0"), resolution=side)
    found = [(BASELINE, b0, batch)]
    for number, spelling in enumerate(MEMBERS[:members], 1):
        found.append((f"member {number}", parse_arch(spelling), batch))
    return found


def builders(arch: "ArchSpec", name: str) -> "dict[str, Callable[[], nn.Module]]":
    """How we build the network, and how timm does, where it is installed."""
    from blocks.network import Network

    found: dict[str, Callable[[], nn.Module]] = {"ours": lambda: Network(arch, CLASSES)}
    if importlib.util.find_spec("timm") is not None:
        import timm
        from timm_network import timm_network

        found["timm"] = (
            (lambda: timm.create_model("efficientnet_b0", num_classes=CLASSES))
            if name == BASELINE
            else (lambda: timm_network(arch, CLASSES))
        )
    return found


def placed(network: "nn.Module", channels_last: bool, device: str) -> "nn.Module":
    import torch

    network = network.to(device)
    return network.to(memory_format=torch.channels_last) if channels_last else network


def images_of(arch: "ArchSpec", batch: int, channels_last: bool, device: str) -> "torch.Tensor":
    import torch

    images = torch.randn(batch, arch.in_channels, arch.resolution, arch.resolution).to(device)
    return images.contiguous(memory_format=torch.channels_last) if channels_last else images


def set_format(number_format: str) -> None:
    """fp32 without TF32, or with it; bfloat16 is autocast's, the rest then fp32."""
    import torch

    torch.set_float32_matmul_precision("high" if number_format == "tf32" else "highest")
    torch.backends.cudnn.allow_tf32 = number_format == "tf32"


def step_of(
    network: "nn.Module",
    arch: "ArchSpec",
    batch: int,
    channels_last: bool,
    number_format: str,
    device: str,
) -> Callable[[], None]:
    """One training step: forward, cross-entropy, backward, AdamW."""
    import torch
    import torch.nn.functional as F

    network = placed(network, channels_last, device).train()
    images = images_of(arch, batch, channels_last, device)
    labels = torch.arange(batch, device=device) % CLASSES
    optimizer = torch.optim.AdamW(network.parameters(), 1e-4, fused=True)

    def step() -> None:
        set_format(number_format)
        with torch.autocast(device, torch.bfloat16, enabled=number_format == "bf16"):
            loss = F.cross_entropy(network(images), labels)
        optimizer.zero_grad(set_to_none=True)
        loss.backward()  # type: ignore[no-untyped-call]
        optimizer.step()

    return step


def take_turns(
    variants: Mapping[str, Callable[[], None]], arguments: argparse.Namespace
) -> dict[str, list[float]]:
    """Seconds of a step of each in each turn, after turns to warm up."""
    turns, in_a_row = (1, 1) if arguments.quick else (3, 3)
    seconds: dict[str, list[float]] = {name: [] for name in variants}
    for turn in range(WARM_UP + turns):
        for name, step in variants.items():
            wait(arguments.device)
            started = time.perf_counter()
            for _ in range(in_a_row):
                step()
            wait(arguments.device)
            if turn >= WARM_UP:
                seconds[name].append((time.perf_counter() - started) / in_a_row)
    return seconds


def wait(device: str) -> None:
    import torch

    if device == "cuda":
        torch.cuda.synchronize()


def difference(arch: "ArchSpec", device: str) -> float:
    """The greatest difference of a logit to the CPU's, as a share of the largest of those."""
    import torch

    from blocks.network import Network

    torch.manual_seed(0)
    set_format("fp32")
    network = Network(arch, CLASSES).eval()
    images = images_of(arch, 2, False, "cpu")
    with torch.inference_mode():
        expected = network(images)
        found = network.to(device)(images.to(device)).cpu()
    share = float((found - expected).abs().max() / expected.abs().max())
    if not share < 1e-3:
        raise RuntimeError(f"{arch}: logits on {device} are {share:.2g} off those on the CPU")
    return share


def peak_of(work: Callable[[], None], device: str) -> float:
    """Megabytes; of the whole process where the device is the CPU."""
    import torch

    work()  # chooses kernels, and makes the optimiser's state
    if device == "cuda":
        torch.cuda.synchronize()
        torch.cuda.empty_cache()
        torch.cuda.reset_peak_memory_stats()
        work()
        torch.cuda.synchronize()
        return round(torch.cuda.max_memory_allocated() / 1e6, 2)
    import resource

    work()
    return round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e3, 2)


def spread(values: Sequence[float]) -> dict[str, float]:
    """The median, the least and the most."""
    found = sorted(values)
    middle = (found[(len(found) - 1) // 2] + found[len(found) // 2]) / 2
    return {"median": round(middle, 4), "least": round(found[0], 4), "most": round(found[-1], 4)}


def run(arguments: Sequence[str], allowed: Sequence[int] = (0,)) -> str:
    """What `python ARGUMENTS` printed.

    Raises:
        RuntimeError: it ended with a code that is not allowed.
    """
    done = subprocess.run(
        [sys.executable, *arguments], cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
        text=True, check=False,
    )  # fmt: skip
    if done.returncode not in allowed:
        print(done.stdout)
        raise RuntimeError(f"python {' '.join(arguments)} ended with {done.returncode}")
    return done.stdout.strip()


def run_part(name: str, given: Sequence[str], limit_seconds: float) -> dict[str, Any]:
    """A part in a process of its own: whether it went well, its seconds, its numbers or error."""
    missing = [each for each in NEEDS[name] if importlib.util.find_spec(each) is None]
    if missing:
        return {"status": "missing", "error": [f"not installed: {', '.join(missing)}"]}
    started = time.perf_counter()
    with tempfile.TemporaryDirectory() as folder:
        numbers, log = Path(folder, "numbers.json"), Path(folder, "log")
        command = [sys.executable, __file__, *given, "--part", name, "--out", str(numbers)]
        with (
            log.open("w") as file,
            subprocess.Popen(
                command, cwd=ROOT, stdout=file, stderr=subprocess.STDOUT, start_new_session=True
            ) as process,
        ):
            try:
                code = process.wait(limit_seconds)
                error = [] if code == 0 else [f"ended with {code}"]
            except subprocess.TimeoutExpired:
                os.killpg(process.pid, signal.SIGKILL)  # with the processes that it started
                error = [f"not done in {limit_seconds:g} s"]
        lines = log.read_text(encoding="utf-8", errors="replace").splitlines()
        found: dict[str, Any] = {"status": "failed" if error else "ok"}
        found["seconds"] = round(time.perf_counter() - started, 1)
        if error:
            found["error"] = [*lines[-30:], *error]
        if numbers.exists():
            found["numbers"] = json.loads(numbers.read_text(encoding="utf-8"))
    return found


def describe(device: str) -> dict[str, Any]:
    """The device, its driver, the machine and the versions."""
    packages = ("compound-nas", "torch", "torchvision", "timm", "optuna", "numpy", "fvcore",
                "hydra-core", "pytest")  # fmt: skip
    versions: dict[str, str | None] = {"python": platform.python_version()}
    for name in packages:
        try:
            versions[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            versions[name] = None
    found: dict[str, Any] = {"device": device, "cores": os.cpu_count(), "versions": versions}
    found["date"] = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
    try:
        import torch
    except ImportError as error:
        return {**found, "error": str(error)}
    if device == "cuda":
        found["cuda"] = torch.version.cuda
        found["cudnn"] = torch.backends.cudnn.version()  # type: ignore[no-untyped-call]
        if torch.cuda.is_available():
            found["name"] = torch.cuda.get_device_name()
            found["capability"] = torch.cuda.get_device_capability()
            found["megabytes"] = torch.cuda.get_device_properties(0).total_memory // 10**6
        try:
            found["driver"] = subprocess.run(
                ["nvidia-smi", "--query-gpu=driver_version", "--format=csv,noheader"],
                capture_output=True, text=True, check=True, timeout=20,
            ).stdout.split()[0]  # fmt: skip
        except (OSError, subprocess.SubprocessError, IndexError) as error:
            found["driver"] = f"unknown: {error}"
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="the smallest sizes, in a minute")
    parser.add_argument("--device", default="cuda", choices=["cuda", "cpu"])
    parser.add_argument("--parts", nargs="+", default=list(PARTS), choices=list(PARTS))
    parser.add_argument("--out", type=Path, default=ROOT / "results" / "gpu.json")
    parser.add_argument("--part", choices=list(PARTS), help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    os.environ["PYTHONPATH"] = os.pathsep.join(
        [str(ROOT), *filter(None, [os.environ.get("PYTHONPATH")])]
    )
    sys.path.insert(0, str(ROOT))
    if arguments.part:
        if arguments.device == "cpu":
            import torch

            torch.set_num_threads(1)  # of a busy machine, two are much slower than one
        found = PARTS[arguments.part](arguments)
        arguments.out.write_text(json.dumps(found), encoding="utf-8")
        return
    content: dict[str, Any] = describe(arguments.device)
    if arguments.device == "cuda" and "name" not in content:
        sys.exit(f"error: no CUDA device here: {content}; expected one, or --device cpu")
    content |= {"quick": arguments.quick, "parts": {}}
    given = ["--device", arguments.device, *(["--quick"] if arguments.quick else [])]
    for name in arguments.parts:
        limit_seconds = LIMIT_SECONDS[name] if arguments.device == "cuda" else CPU_LIMIT_SECONDS
        part = run_part(name, given, limit_seconds)
        content["parts"][name] = part
        arguments.out.parent.mkdir(parents=True, exist_ok=True)
        arguments.out.write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")
        print(f"{name}: {part['status']}, {part.get('seconds', 0)} s", flush=True)
        for line in part.get("error", []):
            print(f"  {line}")
    print(f"wrote {arguments.out}")
    if any(part["status"] != "ok" for part in content["parts"].values()):
        sys.exit(1)


if __name__ == "__main__":
    main()
