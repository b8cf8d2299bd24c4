"""`python -m search plan|fidelity|run|status|front|plot|scores|benchmark`."""

import argparse
import contextlib
import io
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from hydra._internal.utils import get_args_parser  # what hydra.main itself parses with
from omegaconf import OmegaConf
from rich.markup import escape
from rich.table import Table

from blocks import messages
from blocks.console import console, fail, millions, run_main
from search.commands.run import RESUME, job_study, run_hydra
from search.config.compose import compose_config, expand_sweep, read_command, register_schema
from search.config.schema import RunConfig
from search.errors import ConfigError
from search.pareto import hypervolume
from search.record.folder import StudyFolder
from search.record.trials import FailureRecord, read_records

HELP = """\
usage: python -m search COMMAND [SETTING=VALUE ...]

commands
  plan     predict hours and memory, and what differences the images can tell: times a few real
           training steps, leaves nothing on disk
  fidelity  train random members by the proxy and for longer: how far the proxy's order can be
           trusted, with intervals and a go or no-go; results/<study>/fidelity.*
  run      search, choose a B0, then fit the scaling and emit the family; the same command
           again goes on where it stopped
  status   how far a study is
  front    the Pareto front of a study, as a table
  plot     draw results/<study>/pareto.png and pareto.csv again
  scores   zero-cost proxies of the trained architectures beside params and macs: which rank
           them as training does; results/<study>/scores.csv
  benchmark  samplers x seeds on a table of trained networks (--cfg job lists its settings)

settings (all of them, with their values: python -m search run --cfg job)
  study=NAME               results go to results/NAME                        [main]
  dataset=NAME             fashion_mnist (shipped), fashion_mnist_full, cifar10, cifar100,
                           imagefolder, npz; all but the first with dataset.root=PATH
  dataset.cache=PATH       of imagefolder: where decoded images are kept; null: nowhere
                                     [compound-nas in $XDG_CACHE_HOME or ~/.cache]
  space=NAME               tiny (28-40 px), efficientnet (64 px and more)    [tiny]
  budget.max_macs=N        no candidate above it is trained: 2000000, 2M       [2M]
  budget.target=N          every candidate costs N within 2%: widths are solved before
                           anything is trained (budget.metric=macs, params, activations,
                           or latency_ms with budget.latency_table=FILE)
  objective=NAME           pareto; reward: accuracy*(macs/target)^w; accuracy; loss
                                              [accuracy at a budget.target, else pareto]
  sampler=NAME             surrogate, tpe, gp, nsga2, evolution, random      [tpe]
  evaluator=NAME           train: each candidate by the proxy; supernet: by weights that all
                           share, trained once a study                       [train]
  proxy.init_from=supernet    proxy trainings begin with the shared weights
  search.trials=N          candidates to train                               [40]
  search.minutes=X         begin no further candidate after so long
  search.pruner=NAME       asha, hyperband: stop the unpromising early       [none]
  search.enqueue=[ARCH]    evaluate these spellings first
  search.warm_start=STUDY  evaluate the best of an earlier study first
  search.zero_cost=N       score N random members untrained first: the best are evaluated
                           first, the surrogate sampler reads predicted scores   [0: off]
  search.scale=false       stop after the search
  proxy.epochs=N proxy.resolution=PX proxy.batch_size=N proxy.lr=X ...
  proxy.crop_padding=PX proxy.flip=false proxy.rand_augment=M (up to 10)
  proxy.cutout=PX proxy.mixup=ALPHA proxy.cutmix=ALPHA          [flip, nothing else]
  workers.count=N workers.threads=N      0: what cores and memory allow      [0 and 1]
  fidelity.architectures=N fidelity.epochs=N    of `fidelity`     [24, 3 x proxy.epochs]
  fidelity.supernet=true   also how far a supernet's order can be trusted
  seed=N                   same seed, same trials                            [0]

examples
  python -m search run
  python -m search run study=pets dataset=imagefolder dataset.root=pets proxy.resolution=64 \\
      space=efficientnet budget.max_macs=30M search.trials=200
  python -m search run study=fast sampler=surrogate budget.target=2M search.pruner=asha \
      proxy.epochs=9 search.minutes=10
  python -m search run -m sampler=tpe,nsga2 seed=0,1     every combination, a study each
  python -m search run -m budget.target=1M,2M,4M         a front of budgets
  python -m search status study=pets
  python -m search benchmark evaluator=table table.path=anb_5138.csv.gz \\
      table.adapter=accel_nasbench budget.max=400M seeds=50
"""

SCORES_SETTINGS = (
    "dataset.root",
    "dataset.download",
    "dataset.cache",
    "workers.count",
    "workers.threads",
)
"""What `scores` takes from the command line, and not from the study."""

COMMANDS = ("plan", "fidelity", "run", "status", "front", "plot", "scores", "benchmark")


def _run(arguments: list[str]) -> None:
    """Check every job's settings, so that mistakes are one line; then hand over to Hydra."""
    parsed = _parse(arguments)
    jobs, fixed = expand_sweep(parsed.overrides) if parsed.multirun else ([parsed.overrides], [])
    configs = [_compose(job) for job in jobs]
    from search.study.settle import check_settings

    for config in configs:
        check_settings(config)
    sys.argv = [sys.argv[0], *arguments]
    if not parsed.multirun:
        run_hydra()
        return
    # Hydra makes this folder itself, but its complaint about a read-only disk is no one line.
    Path(configs[0].results_dir, "sweeps", configs[0].study).mkdir(parents=True, exist_ok=True)
    excluded = ",".join(sorted({*fixed, "study"}))
    sys.argv.append(f"hydra.job.config.override_dirname.exclude_keys=[{excluded}]")
    run_hydra()
    _sweep_summary(jobs, fixed)


def _parse(arguments: list[str]) -> argparse.Namespace:
    """Hydra's own options and the settings, a wrong option being one line like any mistake."""
    said = io.StringIO()
    try:
        with contextlib.redirect_stderr(said):
            return get_args_parser().parse_args(arguments)
    except SystemExit as stop:
        if stop.code:
            reason = said.getvalue().strip().rpartition("error: ")[2]
            fail(f"{reason}; settings are written name=value, see --help")
        raise


def _compose(job: Sequence[str]) -> RunConfig:
    """The settings of one job, Hydra's own set aside."""
    plain = [override for override in job if not override.lstrip("+~").startswith("hydra")]
    config: RunConfig = compose_config("config", plain, RunConfig)
    return config


def _sweep_summary(jobs: Sequence[Sequence[str]], fixed: Sequence[str]) -> None:
    table = Table(title="All studies of this sweep", title_justify="left")
    headings = ("study", "trials", "best val accuracy", "hypervolume", "B0 val accuracy", "B0 macs")
    for name in headings:
        table.add_column(name, justify="left" if name == "study" else "right", overflow="fold")
    from search.study.front import write_sweep_front
    from search.study.objective import Objective

    folders = []
    for job in jobs:
        config = _compose(job)
        swept = sorted(o for o in job if o.partition("=")[0] not in {*fixed, "study"})
        study = job_study(config.study, "_".join(swept).replace("=", "-"))
        folders.append(StudyFolder(config.results_dir, study))
        records = folders[-1].completed()
        if not records:
            table.add_row(study, "0", "", "", "", "")
            continue
        chosen = Objective.of(config).best(records)
        accuracy = [record.metrics["val_accuracy"] for record in records]
        macs = [record.cost.macs for record in records]
        # The share of the box from accuracy 0 to 1 and from no macs to the budget.
        most = config.budget_macs or max(macs)
        # At a target they all cost the same.
        volume = hypervolume(accuracy, macs, 0.0, most) / most
        share = "" if config.budget.target is not None else f"{volume:.4f}"
        table.add_row(
            study,
            str(len(records)),
            f"{max(accuracy):.4f}",
            share,
            f"{chosen.metrics['val_accuracy']:.4f}",
            millions(chosen.cost.macs),
        )
    console.print(table)
    if any(folder.completed() for folder in folders):
        sweep = StudyFolder(str(Path(config.results_dir, "sweeps")), config.study)
        front = write_sweep_front(folders, sweep)
        console.print(
            f"the front of all: {front['on_front'].sum()} of {len(front)} candidates, in "
            f"{sweep / 'front.csv'} and front.png"
        )


def _status(folder: StudyFolder) -> None:
    stored = folder.read_config()
    records = read_records(folder.trials)
    completed = folder.completed()
    failed = [record for record in records if isinstance(record, FailureRecord)]
    trained = len(records) - len(failed)
    judged = "judged by the supernet" if stored.evaluator == "supernet" else "trained"
    console.print(
        f"{folder.path}: {trained} of {stored.search.trials} trials {judged}, "
        f"{trained - len(completed)} of them stopped early, {len(failed)} failed; sampler "
        f"{stored.sampler}, objective {stored.aim}, budget {stored.cost_budget}"
    )
    for failure in failed[-3:]:
        console.print(f"  trial {failure.number} {failure.kind}: {failure.error}", markup=False)
    if completed:
        from search.study.objective import Objective

        best = Objective.of(stored).best(completed)
        for label, record in (("best", best),):
            console.print(
                f"  {label}: val accuracy {record.metrics['val_accuracy']:.4f}, macs "
                f"{millions(record.cost.macs)}, trial {record.number}: {record.arch}",
                markup=False,
            )
    steps = ("b0.yaml", "scaling/fit.json", "coefficients.yaml", "family/b7.yaml")
    done = [name for name in steps if (folder / name).exists()]
    console.print(f"  written: {', '.join(done) or 'nothing yet'}")


def _front(folder: StudyFolder) -> None:
    from search.study.front import write_front

    front = write_front(folder.read_config(), folder)
    table = Table(title=f"Pareto front of {folder.study}", title_justify="left")
    for name in ("trial", "val accuracy", "macs", "params", "architecture"):
        table.add_column(name, justify="left" if name == "architecture" else "right",
                         overflow="fold")  # fmt: skip
    for row in front[front["on_front"]].to_dict("records"):
        table.add_row(
            str(row["trial"]),
            f"{row['val_accuracy']:.4f}",
            millions(row["macs"]),
            f"{row['params']:,}",
            escape(row["arch"]),
        )
    console.print(table)


def _plot(folder: StudyFolder) -> None:
    from search.study.front import write_front

    write_front(folder.read_config(), folder)
    console.print(f"wrote {folder / 'pareto.png'} and {folder / 'pareto.csv'}")


def _scores(folder: StudyFolder, config: RunConfig, given: set[str]) -> None:
    from search.assess.scores import scores
    from search.commands.screens.scores import show_scores
    from search.evaluators.workers import PROCESS_BYTES, workers_for

    stored = folder.read_config()
    for name in given & set(SCORES_SETTINGS):
        group, _, setting = name.partition(".")
        value = getattr(getattr(config, group), setting)
        stored = replace(stored, **{group: replace(getattr(stored, group), **{setting: value})})
    if stored.workers.count == 0:
        count = workers_for(stored.workers.threads, PROCESS_BYTES)
        stored = replace(stored, workers=replace(stored.workers, count=count))
    show_scores(scores(stored.results_dir, folder.study, stored))


def _benchmark(arguments: list[str]) -> None:
    from search.benchmark.compare import BenchmarkConfig, benchmark

    register_schema("benchmark_schema", BenchmarkConfig)
    if arguments[:2] == ["--cfg", "job"]:
        config = compose_config("benchmark", arguments[2:], BenchmarkConfig)
        console.print(OmegaConf.to_yaml(OmegaConf.structured(config)), markup=False, end="")
        return
    benchmark(compose_config("benchmark", arguments, BenchmarkConfig))


def _plan(arguments: list[str]) -> None:
    config = _checked(arguments)
    from search.assess.plan import plan
    from search.commands.screens.plan import show_plan

    show_plan(plan(config))


def _fidelity(arguments: list[str]) -> None:
    config = _checked(arguments)
    from search.assess.fidelity import fidelity
    from search.commands.progress import TrialProgress
    from search.commands.screens.fidelity import show_fidelity

    show_fidelity(fidelity(config, TrialProgress))


def _checked(arguments: list[str]) -> RunConfig:
    """The settings of a search, every value of them checked."""
    config: RunConfig = compose_config("config", arguments, RunConfig)
    from search.study.settle import check_settings

    check_settings(config)
    return config


def main(arguments: list[str]) -> None:
    """Run one subcommand; exits with 2 after a user's mistake, 130 after Ctrl-C."""
    messages.show()
    command, rest = read_command(arguments, COMMANDS, HELP)
    if command == "benchmark":
        run_main(lambda: _benchmark(rest), "the runs so far are on disk")
        return
    if command == "run":
        run_main(lambda: _run(rest), RESUME)
        return
    if command == "plan":
        run_main(lambda: _plan(rest), "nothing was changed")
        return
    if command == "fidelity":
        run_main(lambda: _fidelity(rest), "the trainings so far are on disk")
        return

    def show() -> None:
        config = compose_config("config", rest, RunConfig)
        given = {override.lstrip("+~").partition("=")[0] for override in rest}
        read = ("study", "results_dir", *(SCORES_SETTINGS if command == "scores" else ()))
        for name in sorted(given - set(read)):
            raise ConfigError(
                f"{name} is a setting of the study, which `{command}` takes as it was; expected "
                f"{', '.join(read)}"
            )
        folder = StudyFolder(config.results_dir, config.study).require()
        if command == "scores":
            _scores(folder, config, given)
        else:
            {"status": _status, "front": _front, "plot": _plot}[command](folder)

    done = "the scores so far are on disk" if command == "scores" else "nothing was changed"
    run_main(show, done)


if __name__ == "__main__":
    main(sys.argv[1:])
