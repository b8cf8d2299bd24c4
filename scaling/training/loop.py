"""The steps and epochs of a training: they may be interrupted anywhere, and end the same."""

import math
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, Protocol

import torch
from torch import Tensor

from blocks.messages import say
from scaling.training.checkpoint import LAST, Progress, save_checkpoint
from scaling.training.config import RecipeConfig
from scaling.training.feed import Feed
from scaling.training.setup import Machine, Parts
from scaling.training.teacher import Distillation
from search.config.quality import Quality
from search.errors import TrainingError
from search.evaluators.process import give_back_memory
from search.record.trials import derive_seed
from search.training.evaluate import EVALUATED, evaluate

_LOOK: Final = 50
"""Steps after which losses are read of a GPU, which has to be waited for then."""
_OF_MEMORY: Final = ("allocate memory", "could not create a primitive")
"""What PyTorch's allocator and oneDNN say on a CPU."""
_LEAST: Final = 2
"""Images of a part of a batch: batch norm needs more than one."""


class Watcher(Protocol):
    """Hears of a training while it is on."""

    def begin(self, name: str, steps: int, done: int, images: int) -> None:
        """So many steps in all, of which some are done, each of so many images."""

    def step(self, done: int) -> None:
        """So many steps are done."""

    def epoch(self, row: dict[str, float], best: dict[str, float] | None, epochs: int) -> None:
        """An epoch has ended."""

    def end(self) -> None:
        """The training has ended, or was interrupted."""


class Unwatched:
    """A `Watcher` that shows nothing."""

    def begin(self, name: str, steps: int, done: int, images: int) -> None:
        """Nothing is shown."""

    def step(self, done: int) -> None:
        """Nothing is shown."""

    def epoch(self, row: dict[str, float], best: dict[str, float] | None, epochs: int) -> None:
        """Nothing is shown."""

    def end(self) -> None:
        """Nothing is shown."""


@dataclass
class Training:
    """A training while it is on. `keep` writes the weights of the best epoch so far; `log` hears
    of each epoch's row."""

    name: str
    folder: Path
    key: dict[str, Any]
    feed: Feed
    parts: Parts
    machine: Machine
    quality: Quality
    by_loss: bool
    minutes: float
    keep: Callable[[], None]
    log: Callable[[list[dict[str, float]]], None]
    watcher: Watcher
    distillation: Distillation | None = None
    progress: Progress = field(default_factory=Progress)

    @property
    def recipe(self) -> RecipeConfig:
        """How it is trained."""
        return self.feed.recipe

    @property
    def at_once(self) -> int:
        """Images that are judged at once: no more than trained, where memory was too little."""
        parts = self.progress.parts
        return EVALUATED if parts == 1 else max(1, min(EVALUATED, self.feed.batch_size // parts))

    def run(self) -> Progress:
        """Train to the end, from wherever `progress` is.

        Raises:
            TrainingError: the loss is no number, or there is too little memory for two images.
            StudyError: no room for a checkpoint.
        """
        progress, steps = self.progress, self.feed.steps
        self.watcher.begin(
            self.name, steps * self.recipe.epochs, progress.step, self.feed.batch_size
        )
        try:
            while not progress.done:
                self._epoch()
                self._judge()
                self._save()
        finally:
            self.watcher.end()
        return progress

    def _epoch(self) -> None:
        progress, recipe, parts = self.progress, self.recipe, self.parts
        parts.network.train()
        share = self.feed.share(progress.epoch)
        parts.network.dropout.p = (recipe.dropout or 0.0) * share
        total = self.feed.steps * recipe.epochs
        saved = started = time.monotonic()
        pending: list[Tensor] = []
        for images, labels in self._batches():
            parts.schedule.step_update(progress.step)
            if recipe.drop_block:
                parts.network.set_progress(progress.step / max(1, total - 1))
            pending.append(self._step(images, labels))
            progress.step += 1
            progress.position += 1
            now = time.monotonic()
            due = now - saved > 60 * self.minutes
            if self.feed.world.size > 1:
                due = self.feed.world.agreed(due)
            if self.machine.device == "cpu" or len(pending) >= _LOOK or due:
                self._look(pending)
            if due:
                progress.seconds += now - started
                self._save()
                saved = started = time.monotonic()
            self.watcher.step(progress.step)
        self._look(pending)
        progress.seconds += time.monotonic() - started

    def _batches(self) -> Iterator[tuple[Tensor, Tensor]]:
        """What is left of the epoch.

        Raises:
            TrainingError: a process that prepares images has died.
        """
        try:
            yield from self.feed.epoch(self.progress.epoch, self.progress.position)
        except RuntimeError as error:
            if "DataLoader worker" not in str(error):
                raise
            raise TrainingError(
                "killed",
                f"a process that prepares images died after step {self.progress.step} (killed, or "
                "out of memory); the same command goes on; loaders=0 needs none",
            ) from None

    def _step(self, images: Tensor, labels: Tensor) -> Tensor:
        """One step of the optimizer; the loss, on the device."""
        device = self.machine.device
        progress = self.progress
        while True:
            # What is drawn within the network follows the step, whatever came before it.
            torch.manual_seed(
                derive_seed(self.feed.seed, "step", progress.step, self.feed.world.rank)
            )
            try:
                return self._apply(images.to(device), labels.to(device))
            except (torch.OutOfMemoryError, MemoryError, RuntimeError) as error:
                self._halve(error, len(images))
            # Here what the failed step held is gone; where the heap has grown to the limit, not
            # even a small convolution finds room outside of it.
            give_back_memory()

    def _apply(self, images: Tensor, labels: Tensor) -> Tensor:
        parts, whole = self.parts, len(images)
        count = min(self.progress.parts, max(1, whole // _LEAST))
        parts.optimizer.zero_grad(set_to_none=True)
        loss = images.new_zeros(())
        for some, own in zip(images.tensor_split(count), labels.tensor_split(count), strict=True):
            some = some.contiguous(memory_format=torch.channels_last) if count > 1 else some
            one = self._loss(some, own) * (len(some) / whole)
            scaled = one if parts.scaler is None else parts.scaler.scale(one)
            scaled.backward()  # type: ignore[no-untyped-call]
            loss = loss + one.detach()
        if self.recipe.clip is not None:
            if parts.scaler is not None:
                parts.scaler.unscale_(parts.optimizer)
            torch.nn.utils.clip_grad_norm_(parts.network.parameters(), self.recipe.clip)
        if parts.scaler is None:
            parts.optimizer.step()
        else:
            parts.scaler.step(parts.optimizer)
            parts.scaler.update()
        if parts.average is not None:
            parts.average.update(parts.network, self.progress.step + 1)
        return loss

    def _loss(self, images: Tensor, labels: Tensor) -> Tensor:
        parts = self.parts
        if self.distillation is None:
            with self.machine.autocast():
                logits = parts.model(images)
            return parts.loss(logits.float(), labels)
        return self.distillation.loss(parts, self.machine, images, labels)

    def _halve(self, error: BaseException, images: int) -> None:
        """After a lack of memory: compute the batch in twice as many parts."""
        if not _is_memory(error):
            raise error
        progress = self.progress
        if self.feed.world.size > 1 or progress.parts * 2 * _LEAST > images:
            asked = f"recipe.accumulate={2 * progress.parts}"
            raise TrainingError(
                "oom",
                f"too little memory for {images // progress.parts} images at once in step "
                f"{progress.step + 1}; {self.folder / LAST} is of an earlier step; expected a "
                f"smaller recipe.batch_size, or {asked}",
            ) from None
        self.parts.optimizer.zero_grad(set_to_none=True)
        if self.machine.device == "cuda":
            torch.cuda.empty_cache()
        progress.parts *= 2
        say(
            f"too little memory for {2 * images // progress.parts} images at once: from step "
            f"{progress.step + 1} on a batch of {images} is computed in {progress.parts} parts "
            "(the same gradient; batch norm sees the parts)"
        )

    def _look(self, pending: list[Tensor]) -> None:
        """Read the losses that are not read yet.

        Raises:
            TrainingError: one is no number; names the step.
        """
        if not pending:
            return
        values = torch.stack(pending).tolist()
        first = self.progress.step - len(values)
        pending.clear()
        for number, value in enumerate(values, first + 1):
            if not math.isfinite(value):
                self._not_a_number(f"the loss became {value} in step {number}")
        self.progress.losses += values

    def _not_a_number(self, what: str) -> None:
        progress = self.progress
        best = ""
        if progress.best is not None:
            best = f", {self.folder / 'model.safetensors'} of epoch {progress.best['epoch']:.0f}"
        path = self.folder / LAST
        last = f"; {path} is of a step before" if path.is_file() else ""
        raise TrainingError(
            "nan",
            f"{self.name}: {what} (epoch {progress.epoch + 1}, lr {self._lr():.3g}){last}{best}; "
            "expected a lower recipe.lr, or recipe.clip=1",
        )

    def _lr(self) -> float:
        return float(self.parts.optimizer.param_groups[0]["lr"])

    def _judge(self) -> None:
        """Validate after an epoch, keep the weights if they are the best, and decide whether it
        was the last."""
        progress, batches = self.progress, self.feed.batches
        mean = torch.tensor(progress.losses, dtype=torch.float64).mean()
        mean = self.feed.world.mean(mean.to(self.machine.device)) if mean.numel() else mean
        try:
            scores = evaluate(self.parts.judged, batches, batches.val, self.at_once)
        except (torch.OutOfMemoryError, MemoryError, RuntimeError) as error:
            if not _is_memory(error):
                raise
            raise TrainingError(
                "oom",
                f"too little memory to validate after epoch {progress.epoch + 1}, "
                f"{self.at_once} images at once; {self.folder / LAST} is of a step before",
            ) from None
        if not math.isfinite(scores.loss):
            self._not_a_number(f"the validation loss became {scores.loss}")
        progress.epoch += 1
        progress.position = 0
        progress.losses = []
        row = {
            "epoch": float(progress.epoch),
            "step": float(progress.step),
            "lr": self._lr(),
            "train_loss": float(mean),
            **scores.metrics("val"),
            "seconds": progress.seconds,
        }
        progress.history.append(row)
        if progress.best is None or self._better(row, progress.best):
            progress.best = row
            if self.feed.world.first:
                self.keep()
        since = progress.epoch - progress.best["epoch"]
        patience = self.recipe.patience
        stopped = patience is not None and since >= patience
        if stopped and progress.epoch < self.recipe.epochs:
            say(
                f"{self.name}: no better epoch in {patience}, so it ends after "
                f"{progress.epoch} of {self.recipe.epochs}"
            )
        progress.done = stopped or progress.epoch >= self.recipe.epochs
        if self.feed.world.first:
            self.log(progress.history)
        self.watcher.epoch(row, progress.best, self.recipe.epochs)

    def _better(self, one: dict[str, float], other: dict[str, float]) -> bool:
        """Whether an epoch is better: by quality, and of equals by the loss."""
        loss = self.quality.loss_of
        if self.by_loss:
            return loss(one) < loss(other)
        mine, theirs = self.quality.of(one), self.quality.of(other)
        return mine > theirs or (mine == theirs and loss(one) < loss(other))

    def _save(self) -> None:
        if self.feed.world.first:
            save_checkpoint(self.folder / LAST, self.key, self.progress, self.parts)


def _is_memory(error: BaseException) -> bool:
    """Whether it is a lack of memory: on a CPU PyTorch says so in words alone."""
    known = isinstance(error, torch.OutOfMemoryError | MemoryError)
    return known or any(words in str(error) for words in _OF_MEMORY)
