"""The settings of a search: their schema, their checks, and how Hydra composes them."""
