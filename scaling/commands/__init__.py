"""The subcommands of `python -m scaling`: settings in, tables and lines out."""
