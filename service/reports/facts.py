"""What a report says about how its figures were made."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from service.domain.methods import Method


@dataclass(frozen=True, slots=True)
class Facts:
    """What was dissected with what. References are `name@version`, or plain names where nothing was registered.

    job: its id; None for a dissection without a server. manifest: the digests and versions that made the result; not
    the evidence, which a report shows by itself.
    """

    job: str | None
    target: str
    probe_set: str
    concept_set: str
    dissector: str
    method: Method
    manifest: Mapping[str, Any]
    finished_at: datetime | None = None


def manifest_lines(manifest: Mapping[str, Any], prefix: str = "") -> list[tuple[str, str]]:
    """A manifest as pairs of dotted name and value."""
    lines: list[tuple[str, str]] = []
    for name, value in manifest.items():
        if isinstance(value, Mapping):
            lines += manifest_lines(value, f"{prefix}{name}.")
        elif isinstance(value, list | tuple):
            lines.append((prefix + name, ", ".join(map(str, value)) or "none"))
        else:
            lines.append((prefix + name, str(value)))
    return lines
