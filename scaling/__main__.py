"""`python -m scaling fit|emit|verify|compare|resolution|train|predict|evaluate|…`."""

import importlib
import os
import sys
from pathlib import Path
from typing import Final

if __name__ == "__main__" and Path(sys.path[0]) == Path.cwd() != Path(__file__).parents[1]:
    del sys.path[0]  # `python -m` looks into the current folder first, which is the user's own

from blocks.console import run_main
from blocks.errors import CompoundNasError
from blocks.names import did_you_mean

HELP = """\
usage: python -m scaling COMMAND [SETTING=VALUE ...]

commands
  fit      train networks around a study's B0 by its proxy, at their full resolution, fit
           accuracy over depth, width and resolution, and find the best alpha, beta, gamma at
           equal counted cost, with intervals; or method=grid, the paper's
           (alpha*beta^2*gamma^2 near 2, the most accurate wins); writes scaling/fit.json and
           coefficients.yaml; goes on where it stopped
  emit     write family/b0.yaml ... b7.yaml, each of 2^phi times the cost of B0 within 2%,
           counted on the rounded network, built, and confirmed by fvcore
  verify   rebuild and recount every member of a family from its YAML, compare what was fitted,
           the images and the versions with what is recorded; exits with 1 where they differ
  compare  train what the fitted coefficients, the paper's, the published table, dwr, uniform,
           each axis alone and random directions make of the study's B0 at equal counted macs,
           with several seeds; writes scaling/compare.csv, .json, .png; goes on where it stopped;
           with paper=table7 or paper=table3: the paper's own comparison, rebuilt and counted
  resolution [NETWORK]
           accuracy and cost of a trained network (the study's B0) at 20 to 150% of its
           resolution, and the best one under a budget; writes scaling/resolution.csv, .json,
           .png; of a NETWORK (a name, a spelling, a YAML file) without weights the costs alone
  train [NETWORK]
           train a member of the family, or a NETWORK, for good, by a recipe (small, finetune,
           paper, timm, v2), on the study's images or dataset=...; writes trained/NAME/; goes on
           where it stopped; python -m scaling train --help lists its settings
  promise  what the trained members of a study reach, beside what the fit expected of them and
           beside their rivals; writes trained/promise.csv and .png
  experiment NAME
           the experiments of the EfficientNet story: a network trained in several ways with
           several seeds, an ensemble against one network, a light device against a server, ...;
           python -m scaling experiment --help lists them and their settings
  predict MODEL FILE|FOLDER|-
           what a trained network says of images, as JSON lines or CSV
  evaluate MODEL IMAGES
           how good it is: accuracy, calibration, by class, with intervals and pictures
  explain MODEL FILE|FOLDER
           where it looks, and whether its answers rest on that; needs captum
  publish MODEL
           a folder for this package, timm and ONNX Runtime, with a model card
  ensemble MODEL [MODEL ...] IMAGES
           networks asked together, and several looks at an image, at summed macs

The last five take study=NAME for MODEL; python -m scaling predict --help lists their settings.

settings
  study=NAME                 a study of python -m search run                 [main]
  results_dir=PATH                                                           [results]
  executor=NAME              where fit and compare train: processes, ray, submitit
                                                     [where the study's trials did]
  method=METHOD              of fit: surface | grid                          [surface]
  fit.points=N               different networks                              [24]
  fit.minutes=X              most of all trainings, by prediction; may leave fewer networks
  fit.repeated=N fit.seeds=N     networks with several seeds, and how many   [4 and 3]
  fit.cost=X fit.metric=METRIC   times B0's macs | params | activations | latency_ms
                             (fit.latency_table=FILE)                        [2 and macs]
  fit.epochs=[4,8] fit.train_fraction=[0.5,1]      one value, or dimensions of the design
  fit.tolerance=X            share by which the named network may miss the cost  [0.03]
  fit.draws=N                surfaces that the trainings leave possible      [1000]
  fit.trained=BOOL           take in what the trained members have reached   [false]
  fit.candidates=BOOL        take in what the search has trained             [false]
  grid.step=X                spacing of the grid                             [0.1]
  grid.tolerance=X           how far a point may be from grid.cost           [0.05]
  grid.cost=X                times B0's macs                                 [2]
  grid.constraint=WHICH      of what the distance is: nominal, alpha*beta^2*gamma^2, or
                             counted, macs over B0's                         [nominal]
  grid.epochs=N              epochs per grid point           [the study's proxy.epochs]
  baseline=ARCH              emit from a published network or a spelling, not a study's B0
  num_classes=N              of such a baseline                              [1000]
  coefficients=WHICH         fitted, published (the literal B0-B7 table), or
                             [alpha,beta,gamma]                              [fitted]
  members=N                  b0 ... b(N-1)                                   [8]
  rule=RULE                  how members grow: compound (the coefficients), published, dwr,
                             uniform, width, depth, resolution, tinynet, efficientnetv2, lacs,
                             fast:ALPHA, free:DEPTH:WIDTH:RESOLUTION (exponents)    [compound]
  exact=BOOL                 solve for the targets; false: round the rule's own multipliers as
                             the paper does             [true, but for the published table]
  phis=[X,...]               members of 2^X times the cost of B0, as [0.5,1,1.5]; with
                             exact=false and coefficients of alpha^X, beta^X, gamma^X
  budgets=[X,...]            members of these costs, as [100M,200M,1.5G]
  metric=METRIC              of 2^phi and budgets: macs, params or activations       [macs]
  tolerance=X                of these costs                                          [0.02]
  latency_ms=[X,...]         members of these medians, measured, within 10%
  device= batch= threads= runtime=   of latency_ms                  [here, 1, 1, eager]
  rounding=POLICY            of scaled channels: paper (multiples of 8, 90% rule), floor,
                             floor8                                [the study's, else paper]
  compare.ratios=[X,...]     costs that are compared, over B0's macs         [[2,4]]
  compare.seeds=N            trainings of each network                       [3]
  compare.rules=[RULE,...]   paper (the triple 1.2, 1.1, 1.15), or any rule of emit
                                        [paper,published,dwr,uniform,width,depth,resolution]
  compare.random=N           random directions                               [2]
  compare.tolerance=X        allowed difference of the macs                  [0.03]
  compare.epochs=N           of each training                [the study's proxy.epochs]
  compare.split=SPLIT        whose accuracies are compared: test or val      [test]
  paper=TABLE                of compare: table3 or table7; nothing is trained
  resolution.percents=[N,...]  of the network's resolution  [20,30,...,100,115,130,150]
  resolution.max_macs=N      budget, a number or 600k, 25M, 0.4G
  resolution.weights=FILE    weights of the network                  [b0.pt of the study]
  resolution.train=BOOL      also train it at each resolution          [false]
  resolution.epochs=N, resolution.seeds=N   of these trainings    [proxy.epochs, 1]

examples
  python -m scaling fit study=main
  python -m scaling fit study=main method=grid grid.step=0.05
  python -m scaling emit study=main
  python -m scaling emit study=main coefficients=[1.2,1.1,1.15]
  python -m scaling emit baseline=efficientnet_b0 coefficients=published
  python -m scaling emit baseline=efficientnet_b0 coefficients=[1.2,1.1,1.15] budgets=[500M,1G]
  python -m scaling emit study=main rule=dwr phis=[0.5,1,1.5]
  python -m scaling emit study=main latency_ms=[5,10,20] device=here batch=1
  python -m scaling verify study=main
  python -m scaling compare study=main compare.ratios=[2,4,8]
  python -m scaling compare paper=table7
  python -m scaling resolution study=main resolution.max_macs=1M
  python -m scaling resolution efficientnet_b0
  python -m scaling predict study=main photos
  python -m scaling evaluate study=main
  python -m scaling train study=main member=b0
  python -m scaling promise study=main
  python -m scaling experiment mixup
"""

COMMANDS: Final = {
    "fit": "scaling.commands.fit",
    "emit": "scaling.commands.emit",
    "verify": "scaling.commands.verify",
    "compare": "scaling.commands.compare",
    "resolution": "scaling.commands.resolution",
    "predict": "scaling.commands.predict",
    "evaluate": "scaling.commands.evaluate",
    "explain": "scaling.commands.explain",
    "publish": "scaling.commands.publish",
    "ensemble": "scaling.commands.ensemble",
    "train": "scaling.commands.train",
    "promise": "scaling.commands.promise",
    "experiment": "scaling.commands.experiment",
}
"""Name → module with `run(arguments)`; imported when it is called."""

_CONTINUES: Final = "the trainings so far are on disk, and the same command continues from them"
_CHECKPOINT: Final = "the last checkpoint is on disk, and the same command goes on from it"
INTERRUPTED: Final = {
    "fit": _CONTINUES,
    "compare": _CONTINUES,
    "resolution": _CONTINUES,
    "train": _CHECKPOINT,
    "experiment": _CHECKPOINT,
    "emit": "the family may be incomplete; run the command again",
}
"""What Ctrl-C leaves; of `verify`, everything as it was."""


def main(arguments: list[str]) -> None:
    """Run one subcommand; exits with 2 after a user's mistake, 130 after Ctrl-C."""
    if arguments and {"-h", "--help"} & set(arguments[1:]) and (own := _own_help(arguments[0])):
        print(own, end="")
        sys.exit(0)
    if not arguments or arguments[0] in ("-h", "--help", "help") or "--help" in arguments:
        print(HELP, end="")
        sys.exit(0 if arguments else 2)
    run_main(
        lambda: _run(arguments[0], arguments[1:]),
        INTERRUPTED.get(arguments[0], "nothing was changed"),
    )


def _own_help(name: str) -> str | None:
    """Of a command that has its own."""
    if name == "train":
        from scaling.commands.train import help_text

        return help_text()
    if name == "experiment":
        from scaling.commands.experiment import help_text as of_experiments

        return of_experiments()
    from scaling.inference.usage import HELP as OF_USE

    return OF_USE.get(name)


def _run(name: str, rest: list[str]) -> None:
    if name not in COMMANDS:
        raise CompoundNasError(
            f"unknown command {name!r}; expected {', '.join(COMMANDS)}"
            f"{did_you_mean(name, COMMANDS)}"
        )
    from blocks import messages
    from search.config.take_over import read_take_over
    from search.evaluators.process import PARENT_VARIABLE, die_with

    rest = read_take_over(rest)
    if PARENT_VARIABLE in os.environ:  # a step of `search run`
        die_with(int(os.environ[PARENT_VARIABLE]))
    with messages.on_screen():
        importlib.import_module(COMMANDS[name]).run(rest)


if __name__ == "__main__":
    main(sys.argv[1:])
