"""What the findings of a probe set mean, as reports and the command line say it."""

from collections.abc import Iterator, Mapping
from typing import cast

from service.domain.evidence import JobEvidence
from service.domain.findings import FindingsEntry, MatchedEntry
from service.domain.json_values import JsonObject

_NAMED = 6


def findings_in(manifest: JsonObject | None) -> FindingsEntry | None:
    """What a dissection's manifest says of findings; None where none were known, or an earlier release wrote it."""
    entry = (manifest or {}).get("findings")
    return cast("FindingsEntry", entry) if isinstance(entry, Mapping) else None


def spelled_otherwise(manifest: JsonObject | None) -> list[MatchedEntry]:
    """The findings that were taken for concepts though they are not their names, as far as the manifest lists them."""
    entry = findings_in(manifest)
    return [] if entry is None else [match for match in entry["matched"] if match["matched_by"] != "same"]


def finding_sentences(manifest: JsonObject | None, evidence: JobEvidence | None = None) -> Iterator[str]:
    """Which findings mean no concept as far as anybody knows, and what was decided for the others.

    evidence: what is left to go by where an earlier release wrote the manifest.
    """
    entry = findings_in(manifest)
    if entry is None:
        if evidence is not None and evidence.unmatched:
            yield _unmatched_sentence(len(evidence.unmatched), list(evidence.unmatched))
        return

    if entry["unmatched_names"]:
        names = [f"{finding['finding']} ({finding['images']})" for finding in entry["unmatched"]]
        yield _unmatched_sentence(entry["unmatched_names"], names)
    yield from _decided_sentences(entry, spelled_otherwise(manifest))


def _unmatched_sentence(count: int, names: list[str]) -> str:
    verb, subject = ("names", "it") if count == 1 else ("name", "one of them")
    return (
        f"{_findings(count)} of the probe set {verb} no concept: {_listed(names, count)}. A concept that {subject} may "
        "mean is not called absent, but images with the finding count as images without that concept until a map of "
        "findings says what it means."
    )


def _decided_sentences(entry: FindingsEntry, otherwise: list[MatchedEntry]) -> Iterator[str]:
    at_least = "" if entry["matched_names"] == len(entry["matched"]) else "at least "

    folded = [match for match in otherwise if match["matched_by"] != "map"]
    if folded:
        verb = "was" if len(folded) == 1 else "were"
        names = [f"{match['finding']} ({match['matched_by']})" for match in folded]
        counted = f"{at_least.capitalize()}{_findings(len(folded))}"
        yield f"{counted} {verb} taken for concepts of another spelling: {_listed(names, len(folded))}."

    if entry["map"] is not None:
        mapped = sum(match["matched_by"] == "map" for match in otherwise)
        verb = "means" if mapped == 1 else "mean"
        source = _source(entry["map"]["source"])
        sentence = f"The map of findings ({source}) says what {at_least}{_findings(mapped)} {verb}"
        if entry["no_concept_names"]:
            verb = "means" if entry["no_concept_names"] == 1 else "mean"
            names = [finding["finding"] for finding in entry["no_concept"]]
            sentence += f", and that {_listed(names, entry['no_concept_names'])} {verb} no concept"
        yield f"{sentence}."

    if entry["not_in_set_entries"]:
        names = [f"{lacking['concept']} (for {lacking['finding']})" for lacking in entry["not_in_set"]]
        yield f"The concept set lacks what the map names: {_listed(names, entry['not_in_set_entries'])}."


def _findings(count: int) -> str:
    return "1 finding" if count == 1 else f"{count:,} findings"


def _listed(names: list[str], count: int) -> str:
    shown = ", ".join(names[:_NAMED])
    more = count - min(len(names), _NAMED)
    return f"{shown} and {more:,} more" if more > 0 else shown


def _source(source: str) -> str:
    """The map by its file's name: reports leave the machine, and need not tell of its folders."""
    return source.rsplit("/", 1)[-1]
