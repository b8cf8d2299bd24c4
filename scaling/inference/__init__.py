"""A trained network at work: what it says of images, and how good that is."""
