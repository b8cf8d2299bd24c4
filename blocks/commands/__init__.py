"""The subcommands of `python -m blocks`: a module each, `configure(parser)`, `run(arguments)`."""
