"""What finds a network: spaces, samplers, proxy training, the trial loop and its records."""
