"""Where jobs run: a job in, a future of its result out."""
