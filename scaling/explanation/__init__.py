"""What in an image a network's answer rests on, and how far that can be believed."""
