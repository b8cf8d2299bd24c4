"""`python -m search plan`: beforehand, what a search will take and what it will be able to tell."""

import resource
import sys
import time
from dataclasses import dataclass
from typing import Final

import numpy as np

from blocks.arch import parse_arch
from blocks.cost import count
from blocks.messages import say
from search.assess.pace import BATCHES, Pace, expected_epochs, measure_pace
from search.config.schema import RunConfig
from search.config.settled import SettledConfig
from search.data.batches import COUNTED
from search.data.classes import describe_classes, worth
from search.data.folds import advise
from search.data.resized import mapped
from search.data.sample import Sample, sample
from search.data.splits import ImageData
from search.record.trials import derive_seed
from search.space.latency_budget import describe_latency
from search.space.members import draw_members, too_few
from search.study.final_time import trainings_expected
from search.study.reference import references_of
from search.study.settle import decide, members_of, settle
from search.training.schedule import macs_share

MEMBERS: Final = 8
"""Random architectures that are timed."""
TYPICAL: Final = 200
"""Random architectures whose predicted seconds are averaged."""


@dataclass(frozen=True)
class Plan:
    """What a search is expected to take.

    `steps` are (what, seconds); a mean candidate is trained for `epochs` in `pieces`. Memory in
    bytes: of a worker, and of all processes, what they share counted in each. `worth`: how many
    validation images of equal classes would tell as much of `search.metric` as these do. `judging`:
    images of all folds, which judge in the final round; those of val where there are no folds.
    `part`: what was decoded of very many images.
    """

    config: SettledConfig
    steps: tuple[tuple[str, float], ...]
    epochs: float
    pieces: float
    worker_bytes: float
    whole_bytes: float
    val_images: int
    worth: int
    judging: int
    timing_seconds: float
    part: Sample | None = None

    @property
    def seconds(self) -> float:
        """In all."""
        return sum(seconds for _, seconds in self.steps)


def plan(config: RunConfig) -> Plan:
    """Time a few real training steps; predict hours and memory. Nothing is left on disk.

    Raises:
        ConfigError, DataError, TrainingError: see the messages.
    """
    part = sample(config.dataset, config.proxy.size, config.several)
    if part is None:
        settled = settle(config)
        data, members, known = settled.data, settled.members, settled.config
        train, val = len(data.train), len(data.val)
    else:
        data = part.data
        members = members_of(config, data)
        train, val = part.of_all(len(data.train)), part.of_all(len(data.val))
        known = decide(config, data, members, images=train)
    seed = derive_seed(known.seed, "plan")
    timed = draw_members(members, MEMBERS, seed)
    if not timed:
        raise too_few(members.budget, len(timed), 1)
    typical = draw_members(members, TYPICAL, seed)
    said = [*describe_classes(known, data), *advise(known, train, val), *describe_latency(members)]
    for line in said:
        say(line)
    say(
        f"timing {BATCHES} training steps of {len(timed)} random members, "
        f"{known.workers.count} at once"
    )
    started = time.perf_counter()
    pace = measure_pace(known, data, timed)
    spent = time.perf_counter() - started
    macs = [count(parse_arch(spelling), data.num_classes).macs for spelling in typical]
    epochs, pieces = expected_epochs(known)
    worker, whole = _memory(known, data, train, part)
    shape = data.in_channels, data.num_classes
    steps = steps_of(known, shape, pace, macs, train, val)
    if part is not None:
        steps = (("reading and decoding, once", part.seconds), *steps)
    tells = round(worth(known.quality, data.val) * val / len(data.val))
    judging = round(data.judging * val / len(data.val))
    return Plan(known, steps, epochs, pieces, worker, whole, val, tells, judging, spent, part)


def steps_of(
    config: SettledConfig,
    shape: tuple[int, int],
    pace: Pace,
    macs: list[int],
    train: int,
    val: int,
) -> tuple[tuple[str, float], ...]:
    """What a search does, and the seconds of each; `shape` is channels and classes, `macs` those of
    typical candidates, `train` and `val` are numbers of images."""
    in_channels, num_classes = shape
    workers, trials = config.workers.count, config.search.trials
    epochs, pieces = expected_epochs(config)
    judged = val
    if config.evaluator == "supernet":
        judged += config.supernet.calibration_images
    share = macs_share(config.proxy)
    images = config.proxy.epochs * train
    per_trial = float(
        np.mean([pace.seconds(one, epochs * train, judged, pieces, share) for one in macs])
    )
    whole = float(np.mean([pace.seconds(one, images, val, share=share) for one in macs]))
    longer = config.final_epochs * train
    final = pace.seconds(round(float(np.mean(macs))), longer, val)
    steps = [(f"{trials} trials, {workers} at once", trials * per_trial / workers)]
    if config.needs_supernet:
        seen = config.supernet.epochs * config.supernet.samples * train
        spent = float(np.mean([pace.seconds(one, seen, 0) for one in macs]))
        steps.insert(0, ("supernet, as on one thread", spent))
    references = references_of(config, in_channels, num_classes)
    alone = [whole] if config.evaluator == "supernet" else []
    for reference in references:
        cost = count(reference.arch, num_classes).macs
        alone.append(pace.seconds(cost, images, val, share=share))
    alone += [final] * round(trainings_expected(config, len(references)))
    steps.append(("final round", max(sum(alone) / workers, *alone)))
    if config.search.controls:
        controls = config.search.controls
        steps.append((f"{controls} controls", whole * max(1.0, controls / workers)))
    return tuple(steps)


def _memory(
    config: SettledConfig, data: ImageData, train: int, part: Sample | None
) -> tuple[float, float]:
    """Bytes of a worker, and of all processes: peaks of those that have just trained, and what
    all images take more."""
    # ru_maxrss: KiB on Linux, bytes on macOS.
    unit = 1 if sys.platform == "darwin" else 1024
    worker = unit * resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss
    parent = unit * resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    # They held a part of the training split; each keeps all of it at the proxy's resolution, if
    # that is another than the images' and not mapped, and counts pixels once, some images at a
    # time, eight bytes each.
    channels, *size = data.train.images.shape[1:]
    seen, held = config.proxy.size, min(train, BATCHES * config.proxy.batch_size)
    worker += 8 * max(0, min(train, COUNTED) - held) * seen.area
    is_mapped = mapped(data, seen) if part is None else part.free_bytes is not None
    if tuple(size) != seen and not is_mapped:
        worker += channels * (train - held) * seen.area
    return worker, parent + config.workers.count * worker
