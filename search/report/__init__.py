"""The report of a study: one HTML file, made from what is on disk."""
