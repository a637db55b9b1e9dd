"""The dissector that ships with the software: fitted on synthetic mammograms, for the demo and for trying things out.

It knows phantoms, not patients. docs/dissectors.md has its figures and the command that fits it again.
"""

from pathlib import Path

PHANTOM_DISSECTOR = Path(__file__).parent / "data" / "phantom-dissector"
"""Its directory: `dissector.json` and `heads.safetensors`."""
