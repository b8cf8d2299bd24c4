"""What the dashboard shows of a trial beside its numbers: a note, a drawing, a learning curve."""

import io
from collections.abc import Mapping
from dataclasses import dataclass
from typing import BinaryIO, Final

from optuna.artifacts.exceptions import ArtifactNotFound
from optuna.trial import FrozenTrial, TrialState

from blocks.arch import parse_arch
from blocks.console import duration
from blocks.drawing.face import draw_arch
from blocks.errors import ArchError
from blocks.figure import CHOSEN, FRONT, one_axes, png
from search.record.trials import FailureRecord, Record, TrialRecord
from search.study.objective import Objective

DRAWING: Final = "d"
CURVE: Final = "c"
"""Letters of hexadecimal numbers, which the dashboard takes as an artifact's name."""


@dataclass(frozen=True)
class Page:
    """A trial of Optuna's with its record: its own, or of the earlier trial of the same network."""

    trial: FrozenTrial
    record: Record | None
    objective: Objective
    num_classes: int

    @property
    def arch(self) -> str | None:
        """The network's spelling; None of one over the budget, which is not built."""
        known = self.trial.user_attrs.get("arch") if self.record is None else self.record.arch
        return None if known is None else str(known)

    @property
    def note(self) -> str:
        """What is known of it, in Markdown."""
        lines = [f"**Trial {self.trial.number}**: {self._end()}"]
        record, quality = self.record, self.objective.quality
        if record is not None and record.cost is not None:
            lines.append(f"macs {record.cost.macs:,}, params {record.cost.params:,}")
        if isinstance(record, TrialRecord):
            reached = {
                quality.words: record.metrics.get(quality.val),
                quality.loss.replace("_", " "): record.metrics.get(f"val_{quality.loss}"),
            }
            known = [f"val {what} {one:.4f}" for what, one in reached.items() if one is not None]
            epochs = record.fidelity.get("epochs", 0)
            known.append(f"{epochs} epochs in {duration(sum(record.seconds.values()))}")
            lines.append(", ".join(known))
        if self.arch is not None:
            lines.append(f"```\n{self.arch}\n```")
        if isinstance(record, FailureRecord) and record.log:
            lines.append("What its worker said last:\n````\n" + "\n".join(record.log) + "\n````")
        return "\n\n".join(lines)

    @property
    def files(self) -> list[tuple[str, str, str]]:
        """Artifacts: their names, file names and media types."""
        number, found = self.trial.number, []
        if self.arch is not None:
            found.append((f"{number}-{DRAWING}", f"network-{number}.svg", "image/svg+xml"))
        if len(self._losses) > 1 or len(self._judged) > 1:
            found.append((f"{number}-{CURVE}", f"curve-{number}.png", "image/png"))
        return found

    def drawing(self) -> bytes:
        """The network as SVG.

        Raises:
            ArtifactNotFound: this version cannot spell it.
        """
        try:
            arch = parse_arch(self.arch or "")
        except ArchError as error:
            raise ArtifactNotFound(str(error)) from None
        return draw_arch(arch, f"trial {self.trial.number}", self.num_classes).svg().encode()

    def curve(self) -> bytes:
        """The losses by epoch, as PNG."""
        figure, axes = one_axes((6, 4))
        if self._losses:
            epochs = range(1, len(self._losses) + 1)
            axes.plot(
                epochs, self._losses, color=FRONT, marker=".", label="training, mean of epoch"
            )
        if self._judged:
            axes.plot(
                list(self._judged), list(self._judged.values()),
                color=CHOSEN, marker="o", label="validation",
            )  # fmt: skip
        axes.set_xlabel("epoch")
        axes.set_ylabel("loss (nats)")
        axes.set_title(f"trial {self.trial.number}")
        axes.legend()
        return png(figure)

    @property
    def _losses(self) -> tuple[float, ...]:
        return self.record.losses if isinstance(self.record, TrialRecord) else ()

    @property
    def _judged(self) -> dict[int, float]:
        """Epoch → validation loss: at the rungs of a pruner that compares it, and at the end."""
        if not isinstance(self.record, TrialRecord):
            return {}
        by_loss = self.objective.rungs_are_losses and self.objective.quality.loss == "loss"
        rungs = self.trial.intermediate_values if by_loss else {}
        found = {epoch: -value for epoch, value in sorted(rungs.items())}
        loss, epochs = self.record.metrics.get("val_loss"), self.record.fidelity.get("epochs", 0)
        return found if loss is None or not epochs else {**found, epochs: loss}

    def _end(self) -> str:
        """How the trial ended."""
        record, state = self.record, self.trial.state
        if not state.is_finished():
            return "not ended yet"
        if isinstance(record, FailureRecord):
            return f"its training failed ({record.kind}):\n\n````\n{record.error}\n````"
        if record is None:
            if state == TrialState.PRUNED:
                return f"not trained: over the budget{self._excess()}"
            return "not trained: the network of a trial that ran at the same time"
        if record.number != self.trial.number:
            return f"the network of trial {record.number}, which was not trained again"
        if record.stopped:
            of = record.fidelity["of"]
            return f"stopped early, after {record.fidelity['epochs']} of {of} epochs"
        return "trained to the end"

    def _excess(self) -> str:
        over = [value for value in self.trial.constraints.values() if value > 0]
        return f" by {over[0]:,.4g}" if over else ""


class Pages:
    """An artifact store that makes a drawing or a curve when it is asked for."""

    def __init__(self, pages: Mapping[int, Page]) -> None:
        self._pages = pages

    def open_reader(self, artifact_id: str) -> BinaryIO:
        """The content of an artifact.

        Raises:
            ArtifactNotFound: there is none of this name.
        """
        number, _, kind = artifact_id.partition("-")
        page = self._pages.get(int(number)) if number.isdecimal() else None
        if page is None or kind not in (DRAWING, CURVE):
            raise ArtifactNotFound(f"no artifact {artifact_id!r}")
        return io.BytesIO(page.drawing() if kind == DRAWING else page.curve())

    def write(self, artifact_id: str, content_body: BinaryIO) -> None:
        """Nothing is kept that somebody uploads.

        Raises:
            PermissionError: always.
        """
        raise PermissionError("the dashboard of a study shows it, and keeps no files")

    def remove(self, artifact_id: str) -> None:
        """Nothing is there to remove: it is not shown any more, until the next start."""
