"""Training what was asked for, from images to the tables and files of each network."""

import json
import shutil
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import torch

from blocks.arch import ArchSpec, Size, format_arch
from blocks.images.reading import reading_to_mapping
from blocks.latency.device import torch_threads
from blocks.machine import processor
from blocks.messages import say
from blocks.names import counted
from scaling.judging import Judged, judge_classes, judge_labels
from scaling.training.checkpoint import LAST, Progress, check_key, check_room, read_last, restore
from scaling.training.checks import check_processes
from scaling.training.config import RecipeConfig, TrainConfig
from scaling.training.feed import Feed, about_feed, changes_one_by_one, loaders_for
from scaling.training.images import Source, about_images, decoded_for, find_source, load_images
from scaling.training.initial import Initial, begin, fit_conventions
from scaling.training.loop import Training, Unwatched, Watcher
from scaling.training.parallel import World, joined
from scaling.training.record import (
    MODEL,
    Board,
    model_content,
    write_judged,
    write_log,
    write_model,
    write_weights,
)
from scaling.training.result import Result, Trained, compare_trained, read_trained
from scaling.training.rivals import rival_of
from scaling.training.settings import Asked
from scaling.training.setup import (
    Machine,
    Parts,
    make_network,
    make_parts,
    recipe_as_proxy,
    settle_machine,
    settle_recipe,
    written_recipe,
)
from scaling.training.targets import Target, find_targets, suggested_study
from scaling.training.teacher import Distillation, find_teacher
from scaling.training.transforms import transform_of
from search.data.batches import Batches, prepare
from search.data.splits import ImageData
from search.errors import StudyError
from search.record.folder import StudyFolder, StudyLock
from search.training.device import resolve_device
from search.training.evaluate import all_logits
from search.training.label_metrics import best_threshold, probability
from search.training.loss import loss_of


def train(asked: Asked, watcher: Watcher | None = None) -> Result:
    """Train each network that is asked for; one that is trained already is read, one that was
    begun is gone on with.

    Raises:
        ScalingError, StudyError, ConfigError, DataError, WeightsError, TrainingError: see the
            messages; checkpoints stay on disk.
    """
    suggested = suggested_study(asked.config)
    if suggested is not None and asked.images is None:
        results_dir, study = suggested
        asked = replace(asked, config=replace(asked.config, results_dir=results_dir, study=study))
    config = asked.config
    source = find_source(asked)
    targets = find_targets(config, source.folder)
    shown = watcher or Unwatched()
    with joined(resolve_device(config.device)) as world:
        loaded: dict[Size, ImageData] = {}
        trained, comparisons = [], []
        for target in targets:
            size = decoded_for(source, target.arch.image)
            if size not in loaded:
                image = target.arch.image
                loaded = {size: load_images(source, image, config.stream, config.loaders)}
            data = loaded[size]
            fitted = fit_conventions(config, fit_to(target, data))
            work = _Work(config, source, data, fitted, world)
            own = _one(work, shown)
            trained.append(own)
            for name in config.rivals:
                rival = rival_of(fitted, name, data)
                plain = replace(config, weights=None, start=None, teacher=None)
                trained.append(_one(_Work(plain, source, data, rival, world), shown))
            if config.compare is not None:
                plain, what = _without(config)
                alone = replace(fitted, name=f"{fitted.name}-plain")
                other = _one(_Work(plain, source, data, alone, world), shown)
                if world.first:
                    comparisons.append(compare_trained(what, own, other))
    return Result(trained, comparisons, world.first)


def _without(config: TrainConfig) -> tuple[TrainConfig, str]:
    """The settings without what is compared, and what that is in words."""
    if config.compare == "teacher":
        return replace(config, teacher=None, teacher_weights=None), f"taught by {config.teacher}"
    plain = replace(config, weights=None, start=None)
    return plain, f"from the weights of {config.weights or config.start}"


@dataclass(frozen=True)
class _Work:
    """One network to train, and on what."""

    config: TrainConfig
    source: Source
    data: ImageData
    target: Target
    world: World

    @property
    def folder(self) -> StudyFolder:
        """Where what it leaves is kept."""
        return StudyFolder(str(self.source.folder / "trained"), self.target.name)


def fit_to(target: Target, data: ImageData) -> Target:
    """The network with as many input channels as the images have; one that is written for other
    images is refused."""
    channels = data.in_channels
    if target.arch.in_channels != channels:
        say(
            f"{target.name} is made for {target.arch.in_channels} channels; its first convolution "
            f"takes the images' {channels}"
        )
    own, seen = Size(*data.train.images.shape[-2:]), target.arch.image
    if not data.files and 1.5 * own.longer < seen.longer:
        say(
            f"{target.name} sees {seen} px, the images have {own}: they are "
            f"enlarged, which costs time and brings nothing; resolution={own} leaves them"
        )
    return replace(target, arch=replace(target.arch, in_channels=channels))


def _one(work: _Work, watcher: Watcher) -> Trained:
    """Train one network, or go on, or read what there is; threads are as before when it ends."""
    with torch_threads(torch.get_num_threads()):
        return _locked(work, watcher)


def _locked(work: _Work, watcher: Watcher) -> Trained:
    if not work.world.first:
        work.world.wait()
        return _train(work, watcher)
    with StudyLock(work.folder):
        if work.config.fresh:
            _clear(work.folder.path)
        work.world.wait()
        return _train(work, watcher)


def _clear(folder: Path) -> None:
    """Remove what an earlier training left."""
    for path in folder.iterdir():
        if path.name == ".lock":
            continue
        if path.is_dir() and path.name == "tensorboard":
            shutil.rmtree(path)
        elif path.is_file():
            path.unlink()


def _train(work: _Work, watcher: Watcher) -> Trained:
    """Long: every piece is made once, in the order in which the next ones need it."""
    config, data, target, world = work.config, work.data, work.target, work.world
    folder = work.folder.path
    stored = read_last(folder)
    recipe = settle_recipe(config.recipe, target, work.source.flip)
    if world.size > 1:
        check_processes(config)
    if recipe.batch_size % world.size or len(data.train) < recipe.batch_size:
        size = min(recipe.batch_size, len(data.train))
        recipe = replace(recipe, batch_size=max(world.size, size - size % world.size))
    machine = settle_machine(
        config, target, data.num_classes, _settled(stored), alone=world.size == 1
    )
    if changes_one_by_one(recipe):
        transform_of(recipe, target.arch.image, data.in_channels)  # refused before it begins
    batches = prepare(data, target.arch.image)
    network = make_network(target, data.num_classes, recipe, config.seed)
    initial = begin(config, work.source.folder, network, config.seed)
    distillation = None
    if config.teacher is not None:
        teacher = find_teacher(config, work.source.folder, data, batches, machine.device)
        distillation = Distillation(teacher, config.distil, data.several)
    key = _key(work, recipe, machine, initial, distillation)
    if stored is not None:
        check_key(folder, stored, key)
        if stored["progress"]["done"] and (folder / MODEL).is_file():
            return read_trained(folder)
    elif (folder / MODEL).is_file():
        raise StudyError(
            f"{folder} holds a trained network, but no {LAST} that says by which settings; "
            "expected name=… for a folder of its own, or fresh=true to begin anew"
        )
    loaders = 0
    if changes_one_by_one(recipe) or data.train.files is not None:
        loaders = loaders_for(config.loaders, machine.device)
    feed = Feed(batches, data, recipe, target.arch.image, config.seed, loaders, world)
    loss = loss_of(recipe_as_proxy(recipe), data.train.labels, data.num_classes, machine.device)
    projection = None
    if distillation is not None:
        projection = distillation.projection(network, machine.device)
    if initial is not None and stored is None:
        for note in initial.notes:
            say(f"{target.name}: {note}")
    parts = make_parts(
        network, recipe, machine, feed.steps, loss, world, config.sync_norm, projection
    )
    progress = Progress(parts=recipe.accumulate)
    if stored is not None:
        restore(stored, progress, parts)
        say(f"{target.name}: goes on from step {progress.step}, in epoch {progress.epoch + 1}")
    elif world.first:
        check_room(folder, sum(each.numel() for each in network.parameters()))
        say(_about(work, recipe, machine, feed))
    board = Board(folder, progress.epoch) if world.first else None

    def log(history: list[dict[str, float]]) -> None:
        write_log(folder, history)
        assert board is not None
        board.write(history[-1])

    training = Training(
        name=target.name,
        folder=folder,
        key=key,
        feed=feed,
        parts=parts,
        machine=machine,
        quality=work.source.quality,
        by_loss=work.source.by_loss,
        minutes=config.checkpoint_minutes,
        keep=_keeper(parts, folder, data, batches),
        log=log,
        watcher=watcher if world.first else Unwatched(),
        distillation=distillation,
        progress=progress,
    )
    try:
        training.run()
    finally:
        if board is not None:
            board.close()
    if world.first:
        _finish(work, recipe, machine, batches, key, training)
    world.wait()
    return read_trained(folder)


def _settled(stored: dict[str, Any] | None) -> dict[str, Any]:
    """What was measured, and decided, when a training began."""
    found: dict[str, Any] = {} if stored is None else json.loads(stored["key"])
    return found


def _keeper(parts: Parts, folder: Path, data: ImageData, batches: Batches) -> Callable[[], None]:
    return lambda: write_weights(parts.judged, folder, data, batches)


def _key(
    work: _Work,
    recipe: RecipeConfig,
    machine: Machine,
    initial: Initial | None,
    distillation: Distillation | None,
) -> dict[str, Any]:
    """What must be the same for a training to go on."""
    config = work.config
    return {
        "arch": format_arch(work.target.arch),
        "classes": work.data.num_classes,
        "images": work.data.sha256,
        "seed": config.seed,
        "precision": machine.precision,
        "threads": machine.threads,
        "operators": machine.operators,
        "device": machine.device,
        "compile": config.compile,
        "processes": work.world.size,
        "sync_norm": config.sync_norm if work.world.size > 1 else None,
        "pixels": list(work.data.train.images.shape[1:]),
        "reading": reading_to_mapping(work.data.reading),
        "class names": list(work.data.classes),
        "started_from": None if initial is None else initial.name,
        "its weights": None if initial is None else initial.digest,
        "teacher": None if distillation is None else config.teacher,
        "teacher's weights": None if distillation is None else distillation.teacher.digest,
        "distil": None if distillation is None else asdict(config.distil),
        **{f"recipe.{name}": value for name, value in written_recipe(recipe).items()},
    }


def _about(work: _Work, recipe: RecipeConfig, machine: Machine, feed: Feed) -> str:
    arch: ArchSpec = work.target.arch
    threads = ""
    if machine.device == "cpu":
        threads = f", {counted(machine.threads, 'thread')}"
    several = f", {work.world.size} processes" if work.world.size > 1 else ""
    return (
        f"{work.target.name} at {arch.image} px by recipe {recipe.name}: {recipe.epochs} "
        f"epochs of {feed.steps} steps of {counted(feed.batch_size, 'image')}, on "
        f"{machine.device} in "
        f"{machine.precision} by {machine.operators} operators{several}{threads}; "
        f"{about_images(work.data, arch.image)}; {about_feed(feed)}"
    )


def _finish(
    work: _Work,
    recipe: RecipeConfig,
    machine: Machine,
    batches: Batches,
    key: dict[str, Any],
    training: Training,
) -> None:
    """Judge the best weights, on the test images once, and write model.yaml last of all."""
    from blocks.export.safetensors import load_safetensors

    folder, data = work.folder.path, work.data
    network = load_safetensors(folder / "model.safetensors")
    with torch.inference_mode():
        logits = all_logits(network, batches, batches.test, training.at_once)
        judged: Judged
        threshold = None
        if data.several:
            val = all_logits(network, batches, batches.val, training.at_once)
            edge = best_threshold(val.numpy(), batches.val.labels.numpy())
            threshold = probability(edge)
            judged = judge_labels(logits, batches.test.labels, data.classes, edge)
            write_weights(network, folder, data, batches, threshold)
        else:
            judged = judge_classes(logits, batches.test.labels, data.classes)
    title = f"{work.source.folder.study}: {work.target.name}, {len(data.test):,} test images"
    write_judged(folder, judged, data, logits, title)
    progress = training.progress
    best = progress.best or {}
    known: dict[str, Any] = {
        "recipe": written_recipe(recipe),
        "trained": {
            "epochs": progress.epoch,
            "best_epoch": int(best.get("epoch", 0)),
            "steps": progress.step,
            "seconds": round(progress.seconds, 1),
            "device": machine.device,
            "precision": machine.precision,
            "operators": machine.operators,
            "threads": machine.threads,
            "processor": processor(),
        },
        "metrics": {
            "val": {
                name.removeprefix("val_"): value
                for name, value in best.items()
                if name.startswith("val_")
            },
            "test": judged.mapping(),
        },
        "seed": work.config.seed,
    }
    if work.target.rival_of is not None:
        known |= {"rival_of": work.target.rival_of, "made": work.target.made}
    if key["started_from"] is not None:
        known["started_from"] = key["started_from"]
    if key["teacher"] is not None:
        known["teacher"] = {"name": key["teacher"], **key["distil"]}
    content = model_content(work.target.name, network, data, batches, known, threshold)
    write_model(folder, content)
