"""`python -m search data`: what the images are like, before anything is trained."""

from search.commands.which import settings_of


def run(arguments: list[str]) -> None:
    """Look at the images, write the contact sheets and tables, print what matters."""
    config = settings_of(arguments)
    from search.commands.screens.data import show_look
    from search.look.look import look, write_look

    found = look(config)
    write_look(found)
    show_look(found, arguments)
