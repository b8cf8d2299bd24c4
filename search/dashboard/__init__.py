"""A study in optuna-dashboard: a copy of the sampler's memory, with notes, drawings and curves."""
