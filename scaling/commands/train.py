"""`python -m scaling train [NETWORK]`."""

import textwrap
import time
from pathlib import Path

from rich.table import Table

from blocks.arch import parse_arch
from blocks.console import about, console, duration, fits, millions
from scaling.compound import ScalingError
from scaling.training.config import RecipeConfig, TrainConfig
from scaling.training.result import Comparison, Trained
from search.commands.bar import Bar, sparkline
from search.config.arguments import quote
from search.config.listing import list_settings
from search.config.options import option, options

_TITLES = {
    "accuracy": "top-1",
    "top5_accuracy": "top-5",
    "balanced_accuracy": "balanced",
    "macro_f1": "macro F1",
    "map": "mAP",
    "calibration_error": "calibration",
}
"""Figures of the test images that the table shows, and what they are called there."""
_FEW = 20
"""Classes, of which top-5 says little."""


def run(arguments: list[str]) -> None:
    """Train, and show what was reached."""
    from scaling.training.run import train
    from scaling.training.settings import read_train
    from search.evaluators.process import keep_memory

    keep_memory()
    if arguments and "=" not in arguments[0]:
        arguments = [f"network={quote(arguments[0])}", *arguments[1:]]
    result = train(read_train(arguments), Screen())
    if not result.first:  # another process of torchrun's speaks
        return
    show_table(result.trained)
    for comparison in result.comparisons:
        show_comparison(comparison)
    for trained in result.trained:
        console.print(about_files(trained))
    _promise(result.trained)


def _promise(trained: list[Trained]) -> None:
    """Of several members of a family, whether it keeps its promise."""
    if len(trained) < 2 or trained[0].name != "b0":
        return
    from scaling.commands.promise import show_promise
    from scaling.promise.run import keep_promise
    from search.record.folder import StudyFolder

    study = trained[0].folder.parents[1]
    try:
        found = keep_promise(StudyFolder(str(study.parent), study.name))
    except ScalingError:  # what was trained is no family
        return
    show_promise(found)


class Screen:
    """A bar on a terminal, a line for each epoch elsewhere."""

    def __init__(self) -> None:
        self._began, self._done, self._total, self._images = 0.0, 0, 1, 1
        self._at, self._name, self._said = 0, "", ""
        self._history: list[float] = []
        self._bar = Bar("", 1, 0, self._beside, self._below)

    def begin(self, name: str, steps: int, done: int, images: int) -> None:
        """A training begins, or goes on."""
        self._name, self._total, self._done, self._images = name, steps, done, images
        self._at, self._said, self._history = done, "", []
        self._bar = Bar(f"{name} step", steps, done, self._beside, self._below)
        self._began = time.monotonic()
        self._bar.start()

    def step(self, done: int) -> None:
        """A step is done."""
        self._at = done
        self._bar.at(done)

    def epoch(self, row: dict[str, float], best: dict[str, float] | None, epochs: int) -> None:
        """An epoch is done."""
        known = best or row
        judged = "val_map" if "val_map" in row else "val_accuracy"
        self._at = int(row["step"])
        self._history.append(row[judged])
        name = judged.removeprefix("val_")
        best_so_far = f"best {name} {known[judged]:.4f} in epoch {known['epoch']:.0f}"
        self._said = f"epochs {row['epoch']:.0f}/{epochs}  {best_so_far}"
        if not console.live:
            _, left = self._pace()
            at_best = "best" if known["epoch"] == row["epoch"] else f"best in {known['epoch']:.0f}"
            remains = f", {about(left)} left" if left else ""
            console.print(
                f"{self._name} epoch {row['epoch']:.0f}/{epochs} loss {row['train_loss']:.4f} "
                f"val {row['val_loss']:.4f} {name} {row[judged]:.4f} ({at_best}){remains}"
            )

    def end(self) -> None:
        """The training is over."""
        self._bar.stop()

    def _beside(self) -> str:
        rate, left = self._pace()
        return f"{rate:,.0f} images/s, {about(left)} left" if self._at > self._done else ""

    def _below(self) -> str:
        return "  ".join(filter(None, [self._said, sparkline(self._history)]))

    def _pace(self) -> tuple[float, float]:
        """Images a second, and seconds that are left."""
        elapsed = max(1e-9, time.monotonic() - self._began)
        steps = max(1, self._at - self._done)
        return steps * self._images / elapsed, elapsed / steps * max(0, self._total - self._at)


def show_table(trained: list[Trained]) -> None:
    """What each network reached on the test images, with what it costs; where the screen is too
    narrow, without the figures that say least."""
    classes = trained[0].content["num_classes"]
    left_out = {"top5_accuracy"} if classes <= _FEW else set()
    shown = [name for name in _TITLES if name in trained[0].test and name not in left_out]
    screen = _table(trained, shown)
    while not fits(screen) and len(shown) > 1:
        shown.pop()
        screen = _table(trained, shown, pixels=False)
    console.print(screen)


def _table(trained: list[Trained], shown: list[str], pixels: bool = True) -> Table:
    content = trained[0].content
    screen = Table(
        title=f"test images of {content['dataset']['name']} ({content['dataset']['test']:,}), "
        "each read once; with 95% interval",
        title_justify="left",
    )
    size = ["pixels"] if pixels else []
    for heading in ("", *size, "macs", "params", *map(_TITLES.get, shown), "best epoch", "time"):
        screen.add_column(str(heading), justify="right", no_wrap=True)
    for each in trained:
        cost, how = each.content["cost"], each.content["trained"]
        screen.add_row(
            each.name,
            *([str(parse_arch(each.content["arch"]).image)] if pixels else []),
            millions(cost["macs"]),
            f"{cost['params']:,}",
            *(_cell(each.test[name], name) for name in shown),
            f"{how['best_epoch']} of {how['epochs']}",
            duration(how["seconds"]),
        )
    return screen


def _cell(figure: dict[str, float], name: str) -> str:
    """A figure; its interval where it is the first of the table. All are in model.yaml."""
    if name in ("accuracy", "map"):
        return _with_interval(figure)
    return (
        f"{figure['value']:.3f}" if name == "calibration_error" else f"{100 * figure['value']:.2f}"
    )


def _with_interval(figure: dict[str, float]) -> str:
    value, low, high = (100 * figure[each] for each in ("value", "low", "high"))
    return f"{value:.2f} ({low:.1f} to {high:.1f})"


def show_comparison(found: Comparison) -> None:
    """With and without known weights, or a teacher."""
    screen = Table(title=f"{found.name}: {found.what}", title_justify="left")
    for heading in ("", f"test {found.measure}", "best epoch", "time"):
        screen.add_column(heading, justify="right")
    for label, each in (("with", found.with_it), ("without", found.without)):
        how = each.content["trained"]
        screen.add_row(
            label,
            _with_interval(each.test[found.measure]),
            str(how["best_epoch"]),
            duration(how["seconds"]),
        )
    console.print(screen)
    gain = found.gain
    console.print(
        f"gain: {100 * gain.value:+.2f} points ({100 * gain.low:+.2f} to {100 * gain.high:+.2f}), "
        f"one training each, over the {found.images:,} test images in pairs: {found.verdict}"
    )


def about_files(trained: Trained) -> str:
    """What lies where."""
    names = ["model.yaml", "model.safetensors", "last.pt", "log.csv"]
    names += [
        name
        for name in ("per_class.csv", "confused.csv", "confusion.png", "worst.png")
        if (Path(trained.folder) / name).is_file()
    ]
    return f"wrote {trained.folder}: {', '.join(names)}"


def help_text() -> str:
    """All settings with their defaults and meanings, and the named recipes."""
    lines = [
        "usage: python -m scaling train [NETWORK] [SETTING=VALUE ...]",
        "",
        "Trains a member of a study's family, or a NETWORK (a YAML file, a published network, a",
        "spelling), and writes results/STUDY/trained/NAME. The same command goes on where it",
        "stopped. Images are the study's, or dataset=... as python -m search run takes them.",
        "",
        "recipes (recipe=NAME; every value may be changed: recipe.epochs=20)",
    ]
    for name in options("recipe"):
        given = option("recipe", name)
        lines.append(
            f"  {name:10} {given.get('epochs')} epochs of {given.get('optimizer')}, batch "
            f"{given.get('batch_size')}"
        )
    lines += ["", "settings"]
    own = [each for each in list_settings(TrainConfig()) if not each.name.startswith("recipe.")]
    for setting in [*own, *list_settings(RecipeConfig(), "recipe.")]:
        # Of what may be written in several ways the meaning says how.
        kind = "…" if setting.kind.startswith("quantity") else setting.kind
        lines.append(f"  {setting.name}={kind}  [{setting.default}]")
        lines += [f"      {line}" for line in textwrap.wrap(setting.meaning, 90)]
    lines += [
        "",
        "examples",
        "  python -m scaling train study=main member=b0",
        "  python -m scaling train study=main member=b0..b3 recipe.epochs=20",
        "  python -m scaling train study=main member=b0..b2 rivals=[efficientnet_b0]",
        "  python -m scaling train study=main member=b3 start=b1 compare=pretrain",
        "  python -m scaling train study=main member=b0 teacher=b3 compare=teacher name=student",
        "  python -m scaling train efficientnet_b0 study=pets recipe=finetune weights=b0.pth",
        "  python -m scaling train efficientnet_b0 study=big dataset=imagefolder dataset.root=big "
        "stream=true",
        "  torchrun --nproc-per-node=2 -m scaling train study=main member=b3",
    ]
    return "\n".join(lines) + "\n"
