"""`python -m search data`: what the images are like, before anything is trained."""

import argparse
from collections.abc import Sequence
from typing import NoReturn

from search.commands.which import settings_of
from search.errors import ConfigError


def run(arguments: list[str]) -> None:
    """Look at the images, write the contact sheets and tables, print what matters."""
    options, settings = _options(arguments)
    config = settings_of(settings)
    from search.commands.screens.data import show_look
    from search.look.look import look, write_look

    trained = None
    if options.weights is not None:
        from blocks.loading import load_from
        from blocks.subject import read_subject
        from blocks.weights.find import find_weights

        subject = read_subject(options.arch, options.num_classes)
        trained = subject, load_from(find_weights(options.weights), subject).network
    found = look(config, trained)
    write_look(found)
    show_look(found, settings)


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        raise ConfigError(f"{message}; see --help")


def _options(arguments: Sequence[str]) -> tuple[argparse.Namespace, list[str]]:
    """The options of a trained network, and the settings."""
    parser = _Parser(add_help=False, allow_abbrev=False)
    parser.add_argument("--weights")
    parser.add_argument("--arch")
    parser.add_argument("--num-classes", type=int)
    options, settings = parser.parse_known_args(arguments)
    if (options.weights is None) != (options.arch is None):
        raise ConfigError(
            "a trained network is named by both: expected --arch NAME --weights FILE, as "
            "`python -m blocks load NAME FILE` reads them"
        )
    return options, settings
