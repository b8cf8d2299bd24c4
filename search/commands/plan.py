"""`python -m search plan`: hours, memory, and what differences the images can tell."""

from search.commands.which import settings_of
from search.config.elsewhere import PREFIX, Elsewhere


def run(arguments: list[str]) -> None:
    """Time a few real training steps; nothing is left on disk. With `elsewhere.…` count instead."""
    far = [each for each in arguments if each.lstrip("+").startswith(PREFIX)]
    config = settings_of([each for each in arguments if each not in far])
    if far:
        from search.assess.elsewhere import plan_elsewhere
        from search.commands.screens.elsewhere import show_elsewhere
        from search.config.compose import settings_of as read

        own = [each.lstrip("+").removeprefix(PREFIX) for each in far]
        show_elsewhere(plan_elsewhere(config, read(own, Elsewhere)))
        return
    from search.assess.plan import plan
    from search.commands.screens.plan import show_plan

    show_plan(plan(config))
