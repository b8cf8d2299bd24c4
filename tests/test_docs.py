"""README and docs/ are true: every command and every Python block in them is run, made small.

The commands are read from the fenced blocks of the pages. A command is run in this process, in a
folder that holds a small study; `smaller` lessens what it trains, and `NOT_RUN` says which cannot
be run here, why, and what is checked instead.
"""

import argparse
import importlib
import json
import re
import runpy
import shlex
import shutil
import signal
import sys
import tomllib
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Executor, Future
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import matplotlib as mpl
import numpy as np
import pytest
import torch
import yaml
from PIL import Image

import scaling as scaling_package
import search as search_package
from blocks.cost import ArchColumns
from blocks.embedded import __file__ as embedded
from scaling import face as scaling_face
from scaling.config import ScalingConfig
from scaling.training.config import TrainConfig
from search.benchmark.config import BenchmarkConfig
from search.config.compose import compose_config, known_keys, register_schema
from search.config.schema import RunConfig
from search.data.datasets import load_data
from search.evaluators.executors import processes
from search.space.budget import Budget, cost_budget
from search.space.choices import build_space
from search.study import face as search_face
from tests.conftest import ROOT

PAGES: Final = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
MOST_WORDS: Final = 700


@dataclass(frozen=True)
class Block:
    """A fenced block: its page, the line of its first line, its language, its text."""

    page: Path
    line: int
    language: str
    text: str

    def __str__(self) -> str:
        return f"{self.page.relative_to(ROOT)}:{self.line}"


@dataclass(frozen=True)
class Command:
    """One command of a block of `sh`, its words as a shell hands them over."""

    block: Block
    words: tuple[str, ...]

    def __str__(self) -> str:
        return f"{self.block}:{' '.join(self.words)}"


def blocks_of(page: Path) -> Iterator[Block]:
    pattern = re.compile(r"^```(\w*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
    text = page.read_text(encoding="utf-8")
    for found in pattern.finditer(text):
        yield Block(page, text.count("\n", 0, found.start()) + 2, found[1], found[2])


def commands_of(block: Block) -> Iterator[Command]:
    """The commands of a block, without the environment that an installation made."""
    for line in block.text.replace("\\\n", " ").splitlines():
        for part in line.split("&&"):
            words = shlex.split(part, comments=True)
            if words:
                yield Command(block, tuple(word.removeprefix(".venv/bin/") for word in words))


BLOCKS: Final = [block for page in PAGES for block in blocks_of(page)]
COMMANDS: Final = [c for block in BLOCKS if block.language == "sh" for c in commands_of(block)]

NOT_RUN: Final = {
    r"python3 -m venv \.venv|pip install .*": "makes an environment; .ci/run does",
    r"python -m pytest": "is what runs this file",
    r"python results/benchmarks/.*": "measures for minutes; its arguments are parsed",
    r"python results/banks/.*": "trains for hours; its arguments are parsed",
    r"python tests/(faults|fuzz)/.*": "takes minutes to hours; the tests there run some of it",
    r"python -m search benchmark .*accel_nasbench.*": "reads a table that is not in the project",
    r"python -m scaling emit .*latency_ms=.*": "a busy machine may rightly fail; settings composed",
    r"python -m scaling emit .*coefficients=published": "tests/scaling/test_cli.py runs it",
    r"ray start .*": "makes a cluster",
    r"python -m search dashboard .*": "serves until Ctrl-C; tests/search/test_dashboard.py runs it",
    r"python -m search run .*(executor=|workers\.device=cuda).*": "tests/search/evaluators does",
    r"python -m search run .*storage=.*": "tests/search/study/test_storage.py does",
    r"torchrun .*": "tests/scaling/training/test_parallel.py runs it",
}
"""Whole commands that are not run, as patterns, and why."""

SLOW: Final = (
    r"python -m search plot .*(format|dark)=.*",
    r"python -m search (plan|fidelity).*",
    r"python -m search data .*--weights.*",
    r"python -m search run .*supernet.*",
    r"python -m search run .*latency_table.*",
    r"python -m search run -m .*",
    r"python -m search run study=(?!main).*",
    r"python -m scaling (fit|compare study).*",
    r"python -m scaling (explain|publish).*",
    r"python -m scaling train (?!study=main member=b0$).*",
    r"python -m scaling (promise|experiment).*",
    r"python -m blocks (profile|latency-table|predict|export|load).*",
)
"""Commands that take more than a second or two however small they are made."""


def matches(command: Command, patterns: Sequence[str]) -> bool:
    return any(re.fullmatch(pattern, " ".join(command.words)) for pattern in patterns)


def parameters(commands: Sequence[Command]) -> list[Any]:
    """Each command once, the slow ones marked."""
    unique = {command.words: command for command in commands}.values()
    return [
        pytest.param(
            command,
            id=" ".join(command.words),
            marks=[pytest.mark.slow] if matches(command, SLOW) else [],
        )
        for command in unique
    ]


# What commands are run on


class Here(Executor):
    """Worker processes that are none, as each would import PyTorch first; of one thread, too."""

    def __init__(
        self, count: int, *, mp_context: object, initializer: object, initargs: tuple[Any, ...]
    ) -> None:
        self._processes: dict[int, Any] = {}
        self._work = initargs[0]
        torch.set_num_threads(1)

    def submit(self, function: Any, /, *arguments: Any, **named: Any) -> "Future[Any]":
        future: Future[Any] = Future()
        processes._work = self._work  # a search may have several pools
        try:
            future.set_result(function(*arguments, **named))
        except Exception as error:
            future.set_exception(error)
        return future


@pytest.fixture
def in_process(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Commands run here as a user's do: with warnings, their own signals, and one thread."""
    monkeypatch.setattr(processes, "ProcessPoolExecutor", Here)
    signals = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    threads, state = torch.get_num_threads(), mpl.rcParams.copy()
    yield
    torch.set_num_threads(threads)
    mpl.rcParams.update(state)
    for number, handler in signals.items():
        signal.signal(number, handler)


@pytest.fixture(scope="module")
def images(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A few of the shipped images: images.npz, and a folder per class, enlarged to colour."""
    folder = tmp_path_factory.mktemp("images")
    with np.load(Path(embedded).parent / "fashion_mnist_6000_2000.npz") as arrays:
        x, y = arrays["x_train"], arrays["y_train"]
    x, y = x[:240], y[:240]
    np.savez(
        folder / "images.npz", x_train=x[:200], y_train=y[:200], x_test=x[200:], y_test=y[200:]
    )
    for label in (0, 1):
        path = folder / "photos" / f"class{label}"
        path.mkdir(parents=True)
        for number, image in enumerate(x[y == label][:14]):
            Image.fromarray(image).convert("RGB").resize((70, 64)).save(path / f"{number}.jpg")
    for name in ("shop", "street"):  # a table of labels, of one and of several for each image
        shutil.copytree(folder / "photos", folder / name)
        rows = [
            f"{kind}/{number}.jpg,{kind}{';odd' if name == 'street' and number % 2 else ''}"
            for kind in ("class0", "class1")
            for number in range(14)
        ]
        (folder / name / "labels.csv").write_text("\n".join(["image,label", *rows]) + "\n")
    return folder


@pytest.fixture(scope="module")
def template(tmp_path_factory: pytest.TempPathFactory, images: Path) -> Path:
    """A folder with the study `main`, a small one; made by README's own command."""
    folder = tmp_path_factory.mktemp("template")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        patch.setattr(processes, "ProcessPoolExecutor", Here)
        arguments = ["run", *smaller(["search", "run"], images), "search.trials=6"]
        run("search", arguments, patch)
        study = folder / "results" / "main"
        arch = yaml.safe_load((study / "b0.yaml").read_text())["arch"]
        triple = {"alpha": 1.2, "beta": 1.1, "gamma": 1.1, "baseline": arch}
        (study / "coefficients.yaml").write_text(yaml.safe_dump(triple, width=10_000))
        run("scaling", ["emit", "members=2"], patch)
    return folder


@pytest.fixture
def folder(tmp_path: Path, template: Path, images: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where a command is run: with results/main, and whatever the pages call their images."""
    shutil.copytree(template, tmp_path, dirs_exist_ok=True)
    for name in ("pets", "hands", "photos"):
        shutil.copytree(images / "photos", tmp_path / name)
    for name in ("shop", "street"):
        shutil.copytree(images / name, tmp_path / name)
    monkeypatch.chdir(tmp_path)
    return tmp_path


Measured = Callable[[str], None]


@pytest.fixture(scope="module")
def measured(tmp_path_factory: pytest.TempPathFactory) -> Measured:
    """Put the latency table of this name into the current folder, by the pages' own command."""
    known: dict[str, Path] = {}

    def measure(output: str) -> None:
        [command] = [c for c in COMMANDS if "latency-table" in c.words and output in c.words]
        if output not in known:
            known[output] = tmp_path_factory.mktemp("latency") / "table.json"
            arguments = list(command.words[3:])
            arguments[arguments.index("--minutes") + 1] = "0.02"
            arguments[arguments.index("--output") + 1] = str(known[output])
            with pytest.MonkeyPatch.context() as patch:
                run("blocks", arguments, patch)
        Path(output).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(known[output], output)

    return measure


def run(package: str, arguments: Sequence[str], patch: pytest.MonkeyPatch) -> None:
    """`python -m <package> …`, which must end well."""
    patch.setattr(sys, "argv", [f"python -m {package}", *arguments])
    try:
        importlib.import_module(f"{package}.__main__").main(list(arguments))
    except SystemExit as stop:
        if stop.code not in (None, 0):
            pytest.fail(f"exit code {stop.code}: python -m {package} {' '.join(arguments)}")


# Small, whatever the command


def smaller(words: Sequence[str], images: Path) -> list[str]:
    """The settings of a command, as they stand, and those that make it take a second."""
    package, verb, *given = words
    less: dict[str, str] = {}
    if package == "search" and verb in ("run", "plan", "fidelity", "data"):
        pruned = any(setting.startswith("search.pruner") for setting in given)
        less = {
            "proxy.epochs": "2" if pruned else "1",
            "proxy.kernels": "torch",  # to build the others takes longer than all of this
            "search.trials": "2",
            "search.finalists": "1",
            "search.final_epochs": "1",
            "search.references": "[]",
            "search.controls": "0",
            "search.scale": "false",
            "workers.count": "1",
            "workers.device": "cpu",
        }
        if any(setting.startswith("search.zero_cost") for setting in given):
            less["search.zero_cost"] = "10"
        if verb == "fidelity":
            less |= {"fidelity.architectures": "5", "fidelity.seeds": "2", "fidelity.repeated": "1"}
            less |= {"fidelity.epochs": "2"}
        if any("supernet" in setting for setting in given):
            less |= {"supernet.epochs": "1", "supernet.samples": "1"}
            less |= {"supernet.calibration_images": "64"}
        if not any(setting.startswith("dataset=") for setting in given):
            less |= {"dataset": "npz", "dataset.root": str(images / "images.npz")}
    elif words[:2] == ["search", "benchmark"]:
        less = {"samplers": "[random,tpe]", "seeds": "2", "evaluations": "3", "workers": "1"}
        less["longer"] = "{tpe:3,random:4}"
    elif words[:2] in (["scaling", "train"], ["scaling", "experiment"]):
        less = {"recipe.epochs": "1", "kernels": "torch", "precision": "fp32", "device": "cpu"}
        less |= {"recipe.batch_size": "64", "threads": "1"}
        if verb == "experiment":
            less["seeds"] = "2"
        if any(word.startswith("member=") and ".." in word for word in given):
            less["member"] = "b0..b1"
    elif words[:2] == ["scaling", "fit"]:
        less = {"fit.points": "16", "fit.repeated": "1", "fit.seeds": "2", "fit.draws": "100"}
        less |= {"grid.step": "0.4", "grid.tolerance": "0.4"}
    elif words[:2] == ["scaling", "compare"] and "study=main" in given:
        less = {"compare.ratios": "[2]", "compare.seeds": "2", "compare.random": "0"}
        less |= {"compare.rules": "[width]"}
    elif words[:2] == ["scaling", "explain"]:
        less = {"limit": "2", "steps": "2", "stages": "1"}
    elif words[:1] == ["scaling"] and verb in ("evaluate", "publish", "ensemble"):
        less = {"draws": "20"}
    elif words[:2] == ["scaling", "emit"] and "study=main" in given:
        less = {} if any(s.startswith(("phis", "budgets")) for s in given) else {"members": "2"}
    return replaced(given, less)


def replaced(given: Sequence[str], settings: dict[str, str]) -> list[str]:
    """`given` with other values of these settings, which are added where they are not given."""
    kept = [word for word in given if word.partition("=")[0] not in settings]
    return [*kept, *(f"{name}={value}" for name, value in settings.items())]


OPTIONS: Final = {
    "profile": ["--seconds", "0.05", "--threads", "1", "--batch", "1"],
    "export": ["--limit", "64"],
    "load": ["--num-classes", "1000"],
}
"""What makes a command of `blocks` small."""


# The tests


def test_pages_are_the_ones_that_are_listed() -> None:
    listed = re.findall(r"\]\(([\w-]+\.md)\)", (ROOT / "docs" / "README.md").read_text())
    assert sorted(listed) == sorted(page.name for page in PAGES[1:] if page.name != "README.md")


def test_the_readme_is_short() -> None:
    text = re.sub(r"^```.*?^```$", "", PAGES[0].read_text(), flags=re.MULTILINE | re.DOTALL)
    text = re.sub(r"<!--.*?-->|\]\([^)]*\)", " ", text)
    words = [word for word in text.split() if re.search(r"\w", word)]
    assert len(words) <= MOST_WORDS


def test_the_test_command_is_where_ci_looks_for_it() -> None:
    lines = PAGES[0].read_text().splitlines()
    [marker] = [number for number, line in enumerate(lines) if "<!-- the test command -->" in line]
    assert lines[marker + 2] == (
        'python3 -m venv .venv && .venv/bin/pip install -e ".[dev]" && .venv/bin/python -m pytest'
    )


def test_the_citation_is_of_this_version() -> None:
    citation = yaml.safe_load((ROOT / "CITATION.cff").read_text())
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    assert (citation["version"], citation["license"]) == (project["version"], project["license"])
    assert citation["cff-version"] == "1.2.0"


def test_the_notice_names_what_is_needed_to_run() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    needed = [*project["dependencies"]]
    for extra, names in project["optional-dependencies"].items():
        needed += [] if extra == "dev" else names
    notice = (ROOT / "NOTICE.md").read_text()
    names = {re.split(r"[>=<\[]", each)[0] for each in needed}
    assert [name for name in sorted(names) if not re.search(rf"\b{name}\b", notice)] == []


def test_every_page_is_in_the_side_bar_of_the_site() -> None:
    order = runpy.run_path(str(ROOT / "docs" / "conf.py"))["ORDER"]
    listed = sorted(name for names in order.values() for name in names)
    assert listed == sorted(["api", *(page.stem for page in PAGES[1:] if page.stem != "README")])


def slug(heading: str) -> str:
    """The anchor that a heading gets: GitHub's rule."""
    return re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-")


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_links_lead_somewhere(page: Path) -> None:
    text = re.sub(r"^```.*?^```$", "", page.read_text(), flags=re.MULTILINE | re.DOTALL)
    for target in re.findall(r"\]\(([^)\s]+)\)", text.replace("\n", " ")):
        if target.startswith(("https://", "http://")):
            continue
        name, _, anchor = target.partition("#")
        found = (page.parent / name).resolve() if name else page
        assert found.exists(), f"{page.name}: {target}"
        if anchor:
            headings = re.findall(r"^#+ (.*)$", found.read_text(), flags=re.MULTILINE)
            assert anchor in map(slug, headings), f"{page.name}: {target}"


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_files_that_are_named_exist(page: Path) -> None:
    text = page.read_text()
    for name in re.findall(r"\b(?:results/(?:benchmarks|examples)|tests|conf)/[\w/]+\.\w+", text):
        assert (ROOT / name).exists(), f"{page.name}: {name}"


GROUPS: Final = (
    "dataset|space|proxy|budget|reward|search|workers|fidelity|supernet|grid|fit|compare|recipe|"
    "distil|ray|slurm"
)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_settings_that_are_named_exist(page: Path) -> None:
    schemas = (RunConfig, ScalingConfig, BenchmarkConfig, TrainConfig)
    known = {key for schema in schemas for key in known_keys(schema)}
    known |= {name.rpartition(".")[0] for name in known}
    text = re.sub(r"^```.*?^```$", "", page.read_text(), flags=re.MULTILINE | re.DOTALL)
    for code in re.findall(r"`([^`]+)`", text):
        for name in re.findall(
            rf"(?<![\w./])(?:{GROUPS}|table|resolution)\.[a-z_]+(?![\w.(])", code
        ):
            assert name in known, f"{page.name}: {name}"


def test_what_is_not_run_is_there() -> None:
    for pattern in (*NOT_RUN, *SLOW):
        assert any(matches(command, [pattern]) for command in COMMANDS), pattern


RUN: Final = [command for command in COMMANDS if not matches(command, list(NOT_RUN))]


def test_every_command_is_one_of_ours() -> None:
    for command in RUN:
        assert command.words[:2] == ("python", "-m"), str(command)
        assert command.words[2] in ("blocks", "search", "scaling"), str(command)


@pytest.mark.filterwarnings("default")  # a command warns whom it wants
@pytest.mark.parametrize(
    "command", parameters([c for c in RUN if c.words[2] in ("search", "scaling")])
)
def test_settings_commands(
    command: Command,
    folder: Path,
    images: Path,
    measured: Measured,
    in_process: None,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    package, verb, *given = command.words[2:]
    for word in given:
        if word.startswith("budget.latency_table="):
            measured(word.partition("=")[2])
    for earlier in needed(command, images):
        run(earlier[0], earlier[1:], monkeypatch)
    far = any(word.startswith("elsewhere.") for word in given)
    if verb == "resolution" or far or given[:1] == ["--cfg"]:
        run(package, [verb, *given], monkeypatch)
        return
    if verb == "compare" and package == "search":
        other = folder / "results" / "other"
        shutil.copytree(folder / "results" / "main", other)
        config = yaml.safe_load((other / "config.yaml").read_text()) | {"study": "other"}
        (other / "config.yaml").write_text(yaml.safe_dump(config))
    if package == "search" and verb == "run" and "study=main" not in given and not given:
        shutil.rmtree(folder / "results" / "main")  # the study as it was made is another's
    small = smaller([package, verb, *given], images)
    if "budget.metric=latency_ms" in given:
        small = replaced(small, {"budget.target": str(middle_latency(small))})
    run(package, [verb, *small], monkeypatch)


def middle_latency(settings: Sequence[str]) -> float:
    """The median of what random networks take, in ms: a target that any machine's table has.

    A fixed one is rightly refused where the table was measured on a slow or busy machine.
    """
    config = compose_config("config", settings, RunConfig)
    data = load_data(config.dataset, config.proxy.resolution)
    shape = (config.proxy.resolution, data.in_channels, data.num_classes)
    members = build_space(config.space, *shape, Budget("macs", most=10**12)).draw(200)
    columns = ArchColumns.from_archs(members)
    return float(np.median(cost_budget(config).measure(columns, data.num_classes)))


def needed(command: Command, images: Path) -> Iterator[list[str]]:
    """Commands that make what this one reads, small."""
    package, verb, *given = command.words[2:]
    values = dict(word.split("=", 1) for word in given if "=" in word)
    study = values.get("study", "main")
    if verb == "compare" and study.startswith("["):
        return  # which the test makes
    own_images = verb == "train" and "dataset" in values
    if (study != "main" and not own_images) and (
        package == "scaling" or verb not in ("run", "plan", "fidelity", "data")
    ):
        yield ["search", "run", *smaller(["search", "run", f"study={study}"], images)]
    if verb == "restore":
        yield ["search", "archive", "study=main"]
    if verb == "promise" or "fit.trained=true" in given:
        words = ["scaling", "train", f"study={study}", "member=b0..b1"]
        yield [*words[:2], *smaller(words, images)]
    for trained in (values.get(name) for name in ("start", "teacher")):
        if trained is not None:
            words = ["scaling", "train", f"study={study}", f"member={trained}"]
            yield [*words[:2], *smaller(words, images)]


@pytest.mark.filterwarnings("default")  # ONNX's and torch.export's own
@pytest.mark.parametrize("command", parameters([c for c in RUN if c.words[2] == "blocks"]))
def test_blocks_commands(
    command: Command,
    folder: Path,
    measured: Measured,
    in_process: None,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    verb, *given = command.words[3:]
    if verb == "load":
        timm = pytest.importorskip("timm")
        torch.save(timm.create_model("efficientnet_b0").state_dict(), given[1])
    if verb == "latency-table":
        measured(given[given.index("--output") + 1])
        return
    if "--table" in given:
        measured(given[given.index("--table") + 1])
    run("blocks", [verb, *given, *OPTIONS.get(verb, [])], monkeypatch)


SCRIPTS: Final = [c for c in COMMANDS if c.words[1].startswith("results/")]


class Parsed(Exception):  # noqa: N818 - no error
    """A script has read its arguments."""


@pytest.mark.filterwarnings("default")  # what scripts import
@pytest.mark.parametrize("command", parameters(SCRIPTS))
def test_scripts_take_these_arguments(command: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    parse = argparse.ArgumentParser.parse_args

    def parse_and_stop(self: argparse.ArgumentParser, *arguments: Any) -> None:
        parse(self, *arguments)
        raise Parsed

    monkeypatch.setattr(argparse.ArgumentParser, "parse_args", parse_and_stop)
    monkeypatch.setattr(sys, "argv", list(command.words[1:]))
    monkeypatch.syspath_prepend(str((ROOT / command.words[1]).parent))
    with pytest.raises(Parsed):
        runpy.run_path(str(ROOT / command.words[1]), run_name="__main__")


COMPOSED: Final = [
    c
    for c in COMMANDS
    if matches(c, [p for p in NOT_RUN if p.startswith("python -m s") and "dashboard" not in p])
]


@pytest.mark.parametrize("command", parameters(COMPOSED))
def test_settings_that_are_not_run_compose(command: Command) -> None:
    package, verb = command.words[2:4]
    kind = "run" if (package, verb) == ("search", "run") else {"search": "benchmark"}.get(package)
    name, schema = {
        "run": ("config", RunConfig),
        "benchmark": ("benchmark", BenchmarkConfig),
        None: ("scaling", ScalingConfig),
    }[kind]
    register_schema(f"{kind or package}_schema", schema)
    compose_config(name, command.words[4:], schema)


PYTHON: Final = [block for block in BLOCKS if block.language == "python"]


@pytest.fixture
def small_calls(monkeypatch: pytest.MonkeyPatch) -> None:
    """What trains from Python, with the settings of a small training added."""
    search, fit, train = search_face.run, scaling_face.fit, scaling_face.train
    words = smaller(["search", "run", "dataset=imagefolder"], ROOT)[1:]
    settings = {name: yaml.safe_load(value) for name, value in (w.split("=") for w in words)}

    def small_search(**given: Any) -> Any:
        return search(**{**given, **settings})

    def small_fit(study: str, **given: Any) -> Any:
        few = {"points": 16, "repeated": 1, "seeds": 2, "draws": 100}
        return fit(study, **{**given, **few})

    def small_train(study: str, **given: Any) -> Any:
        few = {"recipe": {"name": "small", "epochs": 1}, "kernels": "torch", "precision": "fp32"}
        return train(study, **{**given, **few})

    for package, home, name, small in (
        (search_package, search_face, "run", small_search),
        (scaling_package, scaling_face, "fit", small_fit),
        (scaling_package, scaling_face, "train", small_train),
    ):
        monkeypatch.setattr(package, name, small)  # where it is kept once it was asked for
        monkeypatch.setattr(home, name, small)


@pytest.mark.filterwarnings("default")  # what examples import
@pytest.mark.parametrize(
    "page",
    [
        pytest.param(page, id=page.name, marks=[pytest.mark.slow] if "fit(" in text else [])
        for page in sorted({block.page for block in PYTHON})
        for text in ["".join(block.text for block in PYTHON if block.page == page)]
    ],
)
def test_python_blocks(page: Path, folder: Path, in_process: None, small_calls: None) -> None:
    """All blocks of a page, one after the other, as a reader would paste them."""
    names: dict[str, Any] = {"__name__": "docs"}
    for block in PYTHON:
        if block.page == page:
            exec(compile("\n" * (block.line - 1) + block.text, str(page), "exec"), names)


NOTEBOOK: Final = ROOT / "results" / "examples" / "notebook.ipynb"


def test_the_notebook_is_stored_without_outputs() -> None:
    book = json.loads(NOTEBOOK.read_text(encoding="utf-8"))
    code = [cell for cell in book["cells"] if cell["cell_type"] == "code"]
    assert code
    assert not any(cell["outputs"] or cell["execution_count"] for cell in code)
    prose = "".join("".join(c["source"]) for c in book["cells"] if c["cell_type"] == "markdown")
    for target in re.findall(r"\]\(([^)#\s]+)", prose.replace("\n", " ")):
        assert (NOTEBOOK.parent / target).exists(), target


@pytest.mark.slow
@pytest.mark.filterwarnings("default")  # Jupyter's own
def test_the_notebook_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    nbclient = pytest.importorskip("nbclient")
    nbformat = pytest.importorskip("nbformat")
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    book = nbformat.read(NOTEBOOK, as_version=4)
    [search] = [cell for cell in book.cells if "search import run\n" in cell.source]
    for asked, fewer in (('"trials": 12, "controls": 4', '"trials": 3, "controls": 1'),
                         ('"final_epochs": 4', '"final_epochs": 2')):  # fmt: skip
        assert asked in search.source
        search.source = search.source.replace(asked, fewer)
    place = {"metadata": {"path": str(tmp_path)}}
    nbclient.NotebookClient(book, timeout=600, kernel_name="python3", resources=place).execute()
    assert (tmp_path / "results" / "tour" / "b0.pt").exists()
    outputs = [output for cell in book.cells for output in cell.get("outputs", [])]
    assert sum("image/png" in output.get("data", {}) for output in outputs) == 3
