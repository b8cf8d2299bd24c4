"""B0 to B7: solved, built, counted, written."""
