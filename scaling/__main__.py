"""`python -m scaling fit|emit`."""

import os
import sys

from blocks.console import run_main
from search.cli import compose_config, read_command, register_schema
from search.process import PARENT_VARIABLE, die_with

HELP = """\
usage: python -m scaling COMMAND [SETTING=VALUE ...]

commands
  fit      train the paper's grid around a study's B0 (alpha, beta, gamma >= 1,
           alpha*beta^2*gamma^2 near 2) by the study's own proxy; writes scaling_grid.csv and
           coefficients.yaml; goes on where it stopped
  emit     write family/b0.yaml ... b7.yaml, each built, counted, and confirmed by fvcore

settings
  study=NAME                 a study of python -m search run                 [main]
  results_dir=PATH                                                           [results]
  grid.step=X                spacing of the grid                             [0.1]
  grid.tolerance=X           allowed |alpha*beta^2*gamma^2 - grid.cost|      [0.05]
  grid.cost=X                                                                [2]
  grid.epochs=N              epochs per grid point           [the study's proxy.epochs]
  baseline=ARCH              emit from a published network or a spelling, not a study's B0
  num_classes=N              of such a baseline                              [1000]
  coefficients=WHICH         fitted, published (the literal B0-B7 table), or
                             [alpha,beta,gamma]                              [fitted]
  members=N                  b0 ... b(N-1)                                   [8]
  rounding=POLICY            of scaled channels: paper (multiples of 8, 90% rule), floor,
                             floor8                                [the study's, else paper]

examples
  python -m scaling fit study=main grid.step=0.05
  python -m scaling emit study=main
  python -m scaling emit study=main coefficients=[1.2,1.1,1.15]
  python -m scaling emit baseline=efficientnet_b0 coefficients=published
"""

COMMANDS = ("fit", "emit")


def main(arguments: list[str]) -> None:
    """Run one subcommand; exits with 2 after a user's mistake, 130 after Ctrl-C."""
    command, rest = read_command(arguments, COMMANDS, HELP)

    if PARENT_VARIABLE in os.environ:  # a step of `search run`
        die_with(int(os.environ[PARENT_VARIABLE]))

    def job() -> None:
        from scaling.config import ScalingConfig, validate

        register_schema("scaling_schema", ScalingConfig)
        config = compose_config("scaling", rest, ScalingConfig)
        validate(config)
        if command == "fit":
            from scaling.fit import fit  # torch: seconds that --help need not pay

            fit(config)
        else:
            from scaling.family import emit

            emit(config)

    run_main(job, "the points trained so far are on disk, and the same command goes on from them")


if __name__ == "__main__":
    main(sys.argv[1:])
