"""Synthetic mammograms with exact ground truth: the demo's training pairs and probe set."""

from service.probes.phantoms.phantom import DEFAULT_SIZE, Phantom, generate, generate_range
from service.probes.phantoms.plan import FINDINGS
from service.probes.phantoms.writing import write_phantoms

__all__ = ["DEFAULT_SIZE", "FINDINGS", "Phantom", "generate", "generate_range", "write_phantoms"]
