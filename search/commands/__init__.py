"""The verbs of `python -m search`."""
