"""`python -m search plan`: hours, memory, and what differences the images can tell."""

from search.commands.which import settings_of


def run(arguments: list[str]) -> None:
    """Time a few real training steps; nothing is left on disk."""
    config = settings_of(arguments)
    from search.assess.plan import plan
    from search.commands.screens.plan import show_plan

    show_plan(plan(config))
