"""Samplers against each other, on tables of trained networks."""
