"""One search: its images, its objective, its loop and what it writes."""
