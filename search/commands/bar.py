"""The bar of a long stage on a terminal: how far, how fast, how long, and below it what is best."""

import time
from collections.abc import Callable, Iterable, Sequence
from typing import Final

from rich.console import Group, RenderableType
from rich.progress import BarColumn, Progress, ProgressColumn, SpinnerColumn, Task, TextColumn
from rich.text import Text

from blocks.console import console

BARS: Final = "▁▂▃▄▅▆▇█"
WIDTH: Final = 20
"""Of the bar, and of a sparkline, in columns: all of it fits 80."""


class Bar:
    """A bar of `total`, of which `done` are done; on anything but a terminal it is nothing.

    `pace` is asked for what stands beside the bar, `detail` for the line below it, each time that
    it is drawn.
    """

    def __init__(
        self,
        what: str,
        total: int,
        done: int,
        pace: Callable[[], str],
        detail: Callable[[], str],
    ) -> None:
        self._progress = _Progress(
            SpinnerColumn(),
            TextColumn("{task.description} {task.completed} of {task.total}", markup=False),
            BarColumn(WIDTH),
            _Said(pace),
            console=console,
            disable=not console.live,
        )
        self._progress.detail = detail
        self._progress.add_task(what, total=total, completed=done)

    def start(self) -> None:
        """Show it."""
        self._progress.start()

    def at(self, done: int) -> None:
        """So many are done."""
        self._progress.update(self._progress.task_ids[0], completed=done)

    def stop(self) -> None:
        """Leave it as it is."""
        self._progress.stop()

    def __rich__(self) -> RenderableType:
        """As it stands."""
        return Group(*self._progress.get_renderables())


def sparkline(values: Sequence[float], width: int = WIDTH) -> str:
    """Values in their order as one line of bars, the greatest the highest; of more than `width` the
    last of each part. Nothing of fewer than two, or where the terminal has no such letters."""
    if len(values) < 2 or not console.encoding.lower().startswith("utf"):
        return ""
    columns = min(width, len(values))
    shown = [values[(place + 1) * len(values) // columns - 1] for place in range(columns)]
    low, span = min(shown), max(shown) - min(shown)
    top = len(BARS) - 1
    return "".join(BARS[round(top * (value - low) / span) if span else 0] for value in shown)


class _Progress(Progress):
    detail: Callable[[], str]

    def get_renderables(self) -> Iterable[RenderableType]:
        yield self.make_tasks_table(self.tasks)
        if self.tasks and (said := self.detail()):
            yield Text(f"  {said}", style="dim", no_wrap=True, overflow="ellipsis")


class _Said(ProgressColumn):
    """What a function says, twice a second: a number that changes more often cannot be read."""

    def __init__(self, said: Callable[[], str]) -> None:
        super().__init__()
        self._said, self._text, self._at = said, "", float("-inf")

    def render(self, task: Task) -> Text:
        """The text."""
        if task.finished or time.monotonic() - self._at > 0.5:
            self._text, self._at = self._said(), time.monotonic()
        return Text(self._text)
