"""A trained network handed on: a folder that other programs load, with a card."""
