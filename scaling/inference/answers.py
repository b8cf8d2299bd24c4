"""What a network says of many images: a batch on each core, decoded and run there.

Threads that share one small network mostly wait for one another; batches side by side do not.
"""

import contextlib
import itertools
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from blocks.errors import ExportError
from blocks.images.inputs import decode_for
from blocks.latency.device import available_cores, torch_threads
from scaling.compound import ScalingError
from scaling.inference.model import Model

Looked = Callable[[Tensor], Tensor]
"""Images (N, C, H, W) of pixels in 0…1 → probabilities (N, classes), or what else is asked."""
_Numbered = list[tuple[int, Path]]


@dataclass(frozen=True)
class Answers:
    """Of a batch: the files that could be read, what was `found` of them (N, classes), and the
    others, each with the reason. `numbers`: the files' places among all."""

    numbers: tuple[int, ...]
    paths: tuple[Path, ...]
    found: Tensor
    unread: tuple[tuple[Path, str], ...] = ()


def ask(
    model: Model,
    paths: Iterable[Path],
    *,
    batch: int | None = None,
    on_corrupt: str = "refuse",
    look: Looked | None = None,
) -> Iterator[Answers]:
    """What `model` says of image files, in order: probabilities, or what `look` finds instead.

    Raises:
        ScalingError: a file cannot be read, unless `on_corrupt` is skip.
    """
    size = model.at_a_time(batch)
    look = model.probabilities if look is None else look
    left = iter(enumerate(paths))
    chunks = iter(lambda: list(itertools.islice(left, size)), [])
    some = list(itertools.islice(chunks, 2))
    workers = available_cores() if len(some) > 1 else 1
    with contextlib.ExitStack() as stack:
        if workers > 1:
            stack.enter_context(torch_threads(1))
        pool = stack.enter_context(ThreadPoolExecutor(workers))
        # After a refusal, what is left need not be decoded.
        stack.callback(pool.shutdown, wait=False, cancel_futures=True)
        waiting: deque[Future[Answers]] = deque()
        for chunk in itertools.chain(some, chunks):
            waiting.append(pool.submit(_answer, model, chunk, look, on_corrupt))
            if len(waiting) > workers:
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()


def _answer(model: Model, chunk: _Numbered, look: Looked, on_corrupt: str) -> Answers:
    numbers, paths, images, unread = [], [], [], []
    for number, path in chunk:
        found = _decoded(model, path)
        if isinstance(found, Tensor):
            numbers.append(number)
            paths.append(path)
            images.append(found)
        elif on_corrupt == "refuse":
            raise ScalingError(f"{found}; on_corrupt=skip goes on without such files") from None
        else:
            unread.append((path, str(found)))
    answered = look(torch.stack(images)) if images else torch.empty(0, len(model.classes))
    return Answers(tuple(numbers), tuple(paths), answered, tuple(unread))


def _decoded(model: Model, path: Path) -> Tensor | ExportError:
    try:
        return decode_for(path, model.arch, model.subject.reading, ExportError)
    except ExportError as error:
        return error
    except OSError as error:
        return ExportError(f"cannot read {path}: {error.strerror or error}")
