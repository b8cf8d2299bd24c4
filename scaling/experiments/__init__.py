"""Experiments of the EfficientNet story: the same network trained in several ways, with seeds."""
