"""Architecture and fidelity in, metrics out."""
