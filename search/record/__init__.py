"""What a study leaves on disk: trials as JSON lines, and the study's folder."""
