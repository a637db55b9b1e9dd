"""What a dissection was for, under which licences, and what was overridden, as reports say it."""

from collections.abc import Mapping
from typing import cast

from service.domain.json_values import JsonObject
from service.domain.purposes import StoredTerms

_PARTS = {"target": "target", "dissector": "dissector", "probe_set": "probe set", "concept_set": "concept set"}


def purpose_lines(manifest: JsonObject | None) -> list[tuple[str, str]]:
    """Pairs of name and words from a manifest."""
    entries = manifest or {}
    purpose = entries.get("purpose")
    if purpose is None:
        return [("purpose", "not stated: an earlier release of the software made the result")]

    assumed = ", because nobody said another" if entries.get("purpose_from") == "default" else ""
    lines = [("purpose", f"{purpose}{assumed}")]

    terms = entries.get("terms")
    stated = terms if isinstance(terms, Mapping) else {}
    for part, words in _PARTS.items():
        if part in stated:
            lines.append((f"licence of the {words}", _licence_words(cast("StoredTerms", stated[part]))))

    sentence = override_sentence(manifest)
    if sentence is not None:
        lines.append(("purpose overridden", sentence))
    return lines


def override_sentence(manifest: JsonObject | None) -> str | None:
    """What was used for a purpose that it does not allow, and why; None where nobody gave a reason for that."""
    override = (manifest or {}).get("override_purpose")
    if not isinstance(override, Mapping):
        return None

    parts = ", ".join(map(str, override["parts"]))
    subject = f"What is stated of {parts} does not allow it" if parts else "All parts allow it"
    return f"{subject}. The reason given for using all parts nevertheless: {override['reason']}"


def _licence_words(terms: StoredTerms) -> str:
    licence = terms["licence"] or "none stated"
    purposes = " and ".join(terms["allowed_purposes"])
    assumed = " (no purpose stated)" if terms["allowed_purposes_from"] == "default" else ""
    return f"{licence}; for {purposes}{assumed}"
