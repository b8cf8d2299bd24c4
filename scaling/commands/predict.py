"""`python -m scaling predict MODEL FILE|FOLDER|-`."""

import contextlib
import os
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import IO

from blocks.files import whole_file
from blocks.images.walk import describe_passed
from blocks.names import counted
from scaling.compound import ScalingError
from scaling.inference.answers import ask
from scaling.inference.config import PredictConfig, read_words
from scaling.inference.model import read_model
from scaling.inference.predict import csv_head, csv_lines, lines_of
from scaling.inference.sources import open_source

USAGE = "expected MODEL and FILE, FOLDER or -; or study=NAME and the images"


def run(arguments: list[str]) -> None:
    """Print what a network says of each image; all else goes to standard error."""
    try:
        _run(arguments)
    except BrokenPipeError:  # who reads has seen enough, as `head` has
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _run(arguments: list[str]) -> None:
    config, words = read_words(PredictConfig, arguments)
    if len(words) != (1 if config.study is not None else 2):
        raise ScalingError(f"predict {' '.join(words) or 'of nothing'}: {USAGE}")
    model = read_model(config, words[0] if config.study is None else None)
    threshold = model.threshold if config.threshold is None else config.threshold
    skipped = 0
    with (
        open_source(words[-1], sys.stdin.buffer) as (paths, passed),
        _output(config.output) as screen,
    ):
        if config.format == "csv":
            print(csv_head(model, config.top), file=screen)
        write = csv_lines if config.format == "csv" else lines_of
        found = ask(model, paths, batch=config.batch, on_corrupt=config.on_corrupt)
        for answers in found:
            for line in write(model, answers, config.top, threshold):
                print(line, file=screen)
            for _, reason in answers.unread:
                print(f"skipped: {reason}", file=sys.stderr)
            skipped += len(answers.unread)
    if skipped:
        print(
            f"{counted(skipped, 'file')} could not be read and "
            f"{'was' if skipped == 1 else 'were'} skipped",
            file=sys.stderr,
        )
    if passed:
        print(f"not looked at: {describe_passed(passed)}", file=sys.stderr)


@contextlib.contextmanager
def _output(name: str | None) -> Iterator[IO[str]]:
    if name is None:
        yield sys.stdout
        return
    with whole_file(Path(name).expanduser()) as path, path.open("w", encoding="utf-8") as file:
        yield file
