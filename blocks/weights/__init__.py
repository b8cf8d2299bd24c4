"""Weights files of other libraries: read, mapped onto our networks and back."""
