"""Configuration files, found by Hydra as `pkg://conf`."""
