"""`python -m search COMMAND`: `HELP` lists them."""

import importlib
import sys
from pathlib import Path
from typing import Final

if __name__ == "__main__" and Path(sys.path[0]) == Path.cwd() != Path(__file__).parents[1]:
    del sys.path[0]  # `python -m` looks into the current folder first, which is the user's own

from blocks import messages
from blocks.console import run_main
from search.config.arguments import read_command

HELP = """\
usage: python -m search COMMAND [SETTING=VALUE ...]

commands
  data     look at the images before anything is trained: classes, sizes, files that cannot be
           read, duplicates across the splits, a linear probe; results/<study>/look/
  plan     predict hours and memory, and what differences the images can tell: times a few real
           training steps, leaves nothing on disk; of images and GPUs that are not here by
           arithmetic from one step: `settings elsewhere` lists what it is told
  fidelity  train random members by the proxy and for longer: how far the proxy's order can be
           trusted, with intervals and a go or no-go; results/<study>/fidelity.*
  run      search, choose a B0, then fit the scaling and emit the family; the same command
           again goes on where it stopped
  status   how far a study is
  front    the Pareto front of a study, as a table
  plot     draw results/<study>/pareto.png and pareto.csv again, and the report's figures for a
           paper into figures/: format=png,svg,pdf columns=1 (or 2, of a page) dark=true
  report   results/<study>/report.html: all of a study as one page that needs no network; `run`
           writes it too (needs the extra: pip install ".[report]")
  dashboard  a study in a browser, also while it runs: a note, a drawing and a learning curve of
           each trial; dashboard study=NAME [host=127.0.0.1] [port=8080] (needs the extra:
           pip install ".[dashboard]")
  compare  several studies side by side, fronts over seeds, what differs in the settings:
           compare study=[one,other] or sweep=NAME; a page, and figures as of `plot`
  scores   zero-cost scores of the trained architectures, beside params and macs: how well each
           ranks them; results/<study>/scores.csv
  ls       the studies of results_dir: state, trials, best, size on disk
  export   a study's trials as CSV: export study=NAME > trials.csv
  archive  a study as one file: archive study=NAME [file=NAME.tar.gz]
  restore  the study of such a file, into results_dir: restore file=NAME.tar.gz
  rm       delete a study: rm study=NAME
  benchmark  samplers x seeds on a table of trained networks (--cfg job lists its settings)

  settings [WORD]  list every setting with its type, default and meaning; with a WORD only those
           whose name or meaning has it; or those whose name matches a pattern such as 'proxy.*'

settings (these are not all: `python -m search settings` lists them)
  study=NAME               results go to results/NAME                        [main]
  dataset=NAME             fashion_mnist (shipped), fashion_mnist_full, cifar10, cifar100,
                           imagefolder, npz; all but the first with dataset.root=PATH;
                           table, with dataset.path=labels.csv     [fashion_mnist]
  dataset.group=NAME       of files: images that no split parts: a column of the table,
                           level:1 (the folder below the class), or a pattern of names
  dataset.resize=NAME      of files: crop, pad, squash                       [crop]
  dataset.cache=PATH       of files: where decoded images are kept; null: nowhere
                                     [compound-nas in $XDG_CACHE_HOME or ~/.cache]
  space=NAME               auto: made for the images' size; tiny (28-40 px); efficientnet
                           (64 px and more)                                   [auto]
  budget.target=N          every candidate costs N within 2%: widths are solved before
                           anything is trained (budget.metric=macs, params, activations,
                           or latency_ms with budget.latency_table=FILE)       [1M macs]
  budget.max_macs=N        instead of a target: no candidate above it is trained
  objective=NAME           pareto; reward: accuracy*(macs/target)^w; accuracy; loss
                                                  [loss at a budget.target, else pareto]
  search.metric=NAME       what networks are judged by: accuracy, balanced_accuracy, macro_f1:
                           classes count alike; loss                         [accuracy]
  proxy.class_weights=NAME    of the loss: balanced, effective; none         [none]
  proxy.balanced_batches=true    as many images of each class in an epoch
  sampler=NAME             surrogate, tpe, gp, nsga2, evolution, random      [surrogate]
  evaluator=NAME           train: each candidate by the proxy; supernet: by weights that all
                           share, trained once a study                       [train]
  proxy.init_from=supernet    proxy trainings begin with the shared weights
  search.trials=N          candidates to train                               [40]
  search.minutes=X         of candidates and the final round, which has two fifths of it
  search.pruner=NAME       asha, hyperband: stop the unpromising early; none
                                                      [asha; none for a pareto front]
  search.finalists=N       the best, which are trained for longer: B0 is one of them
                           or a published network (search.references)         [4]
  search.enqueue=[ARCH]    evaluate these spellings first
  search.warm_start=STUDY  evaluate the best of an earlier study first
  search.zero_cost=N       score N random members untrained first: the best are evaluated
                           first, the surrogate sampler reads predicted scores   [0: off]
  search.scale=false       stop after the search
  search.probe=false       no linear probe beside B0
  proxy.epochs=N           of each training     [12, or as many as make 600 steps]
  proxy.resolution=PX      of a side, or height and width: 48x96             [28]
  proxy.batch_size=N proxy.lr=X ...
  proxy.crop_padding=PX proxy.flip=false proxy.rand_augment=M (up to 10)
  proxy.cutout=PX proxy.mixup=ALPHA proxy.cutmix=ALPHA
                           [flip, a crop of a twelfth of the side, nothing else]
  workers.count=N workers.threads=N      0: what cores and memory allow      [0 and 1]
  workers.device=cuda      cpu; cuda: every visible GPU; cuda:1: that one     [auto]
  workers.ahead=N          trials asked before the earliest is told: slow workers hold up no
                           quick ones                                         [0]
  workers.minutes=X workers.memory=4G    what one training may take          [no limit]
  executor=NAME            where trainings run: processes; ray (ray.address=HOST:PORT);
                           submitit: Slurm (slurm.partition=NAME ...)   [processes]
  storage=URL              of the sampler's memory: journal (a file of the study), or
                           postgresql+psycopg://USER@HOST/NAME, mysql+pymysql://...  [journal]
  fidelity.architectures=N fidelity.epochs=N    of `fidelity`     [24, 3 x proxy.epochs]
  fidelity.supernet=true   also how far a supernet's order can be trusted
  seed=N                   same seed, same trials                            [0]
  --take-over              go on with a study whose driver has died on another machine

examples
  python -m search data study=pets dataset=imagefolder dataset.root=pets
  python -m search run
  python -m search run study=pets dataset=imagefolder dataset.root=pets proxy.resolution=64 \\
      space=efficientnet budget.max_macs=30M search.trials=200
  python -m search run study=fast sampler=surrogate budget.target=2M search.pruner=asha \\
      proxy.epochs=9 search.minutes=10
  python -m search run -m sampler=tpe,nsga2 seed=0,1     every combination, a study each
  python -m search run -m budget.target=1M,2M,4M         a front of budgets
  python -m search status study=pets
  python -m search benchmark evaluator=table table.path=anb_5138.csv.gz \\
      table.adapter=accel_nasbench budget.max=400M seeds=50
"""

COMMANDS: Final = {
    "data": "search.commands.data",
    "plan": "search.commands.plan",
    "fidelity": "search.commands.fidelity",
    "run": "search.commands.run",
    "status": "search.commands.status",
    "front": "search.commands.front",
    "plot": "search.commands.plot",
    "report": "search.commands.report",
    "dashboard": "search.commands.dashboard",
    "compare": "search.commands.compare",
    "scores": "search.commands.scores",
    "ls": "search.commands.ls",
    "export": "search.commands.export",
    "archive": "search.commands.archive",
    "restore": "search.commands.restore",
    "rm": "search.commands.rm",
    "benchmark": "search.commands.benchmark",
    "settings": "search.commands.settings",
}
"""Name → module with `run(arguments)`; imported when it is called."""

INTERRUPTED: Final = {
    "dashboard": "the study is as it was",
    "fidelity": "the trainings so far are on disk",
    "run": "the trials so far are on disk, and the same command continues from them",
    "scores": "the scores so far are on disk",
    "benchmark": "the runs so far are on disk",
}
"""What Ctrl-C leaves; of the others, everything as it was."""


def main(arguments: list[str]) -> None:
    """Run one subcommand; exits with 2 after a user's mistake, 130 after Ctrl-C."""
    command, rest = read_command(arguments, list(COMMANDS), HELP)

    def job() -> None:
        with messages.on_screen():
            importlib.import_module(COMMANDS[command]).run(rest)

    run_main(job, INTERRUPTED.get(command, "nothing was changed"))


if __name__ == "__main__":
    main(sys.argv[1:])
