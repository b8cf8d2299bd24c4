"""Coefficients from trained networks: design, surface, optimum, and the paper's grid."""
