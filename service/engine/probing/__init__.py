"""Show: the probe images go through both networks, and what each layer did is kept."""
