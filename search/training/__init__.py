"""Proxy training, the device it runs on, the supernet and untrained scores."""
