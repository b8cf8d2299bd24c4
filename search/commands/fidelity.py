"""`python -m search fidelity`: how far the proxy's order can be trusted."""

from search.commands.which import settings_of


def run(arguments: list[str]) -> None:
    """Train random members by the proxy and for longer; write fidelity.*."""
    config = settings_of(arguments)
    from search.assess.fidelity import fidelity
    from search.commands.progress import TrialProgress
    from search.commands.screens.fidelity import show_fidelity

    show_fidelity(fidelity(config, TrialProgress))
