"""Whether a family keeps its promise: what its trained members reach, beside what was expected."""
