"""What grows a network into a family."""
