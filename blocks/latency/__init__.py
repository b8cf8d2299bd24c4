"""How long a network takes: measured, from tables of blocks, predicted."""
