"""Labelled images, as a network wants them: to check an export on, to calibrate int8 with."""
