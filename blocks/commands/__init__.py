"""The subcommands of `python -m blocks`, a module each: `configure(parser)` and `run(arguments)`."""
