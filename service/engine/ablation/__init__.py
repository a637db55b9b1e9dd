"""Units held at one value, and what becomes of the network's own outputs."""
