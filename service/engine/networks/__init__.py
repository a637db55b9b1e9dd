"""Networks as the engine needs them: what a target and a dissector are, their weights files, their layers of code."""
