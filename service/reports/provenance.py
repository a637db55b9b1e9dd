"""How the figures of a report were made, as the report says it."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import cast

from service.domain.autoencoders import autoencoder_words
from service.domain.json_values import JsonObject
from service.domain.manifests import entries_of
from service.domain.methods import CONTRASTS, PRIOR_METHODS, Method
from service.domain.table_targets import TableEntry, table_in_words
from service.domain.weights_reading import WeightsReading, reading_in_words

_SHOWN_APART = {
    "target.input",
    "target.warnings",
    "target.table",
    "target.autoencoder.warnings",
    *(f"findings.{entry}" for entry in ("matched", "unmatched", "no_concept", "not_in_set")),
}


@dataclass(frozen=True, slots=True)
class Provenance:
    """What was dissected with what. References are `name@version`, or plain names where nothing was registered."""

    job: str | None
    """The job's id; None for a dissection without a server."""
    target: str
    probe_set: str
    concept_set: str
    dissector: str
    method: Method
    manifest: JsonObject
    """The digests and versions that made the result, without the evidence: a report shows that by itself."""
    finished_at: datetime | None = None


def method_words(method: Method) -> str:
    """The scoring of neurons in one sentence, with the parameters that it has; one more on the prompts, if any."""
    name = method.similarity.replace("_", " ")
    pooling = "average" if method.pooling == "avg" else "maximum"
    where = f"after {pooling} pooling"
    prompts = "" if method.prompts is None else f" {method.prompts.words}"
    if method.similarity not in PRIOR_METHODS:
        return f"Neurons are scored by {name} over all images, {where}.{prompts}"

    temperature = "" if method.similarity in CONTRASTS else f"temperature {method.temperature:g}, "
    published = ", the method of Mammo-CLIP Dissect (arXiv 2509.21102)" if method.similarity == "soft_wpmi" else ""
    return (
        f"Neurons are scored by {name} over their {method.top_k} most activating images "
        f"({temperature}lambda {method.lam:g}), {where}{published}.{prompts}"
    )


def weights_words(manifest: JsonObject | None) -> list[str]:
    """Which weights the target has, or which table it is, in sentences; none where the manifest does not say it."""
    target = entries_of(manifest, "target")
    table = target.get("table")
    if isinstance(table, Mapping):
        entry = cast("TableEntry", table)
        return table_in_words(entry, entry.get("use"))

    reading = target.get("weights")
    words = reading_in_words(cast("WeightsReading", reading)) if isinstance(reading, Mapping) else []
    return [*words, *autoencoder_words(target.get("autoencoder"))]


def manifest_lines(manifest: JsonObject, prefix: str = "") -> list[tuple[str, str]]:
    """A manifest as pairs of dotted name and value, without what reports show apart."""
    lines: list[tuple[str, str]] = []

    for name, value in manifest.items():
        if prefix + name in _SHOWN_APART:
            continue
        if isinstance(value, Mapping):
            lines += manifest_lines(value, f"{prefix}{name}.")
        elif isinstance(value, list | tuple):
            lines.append((prefix + name, ", ".join(map(_in_words, value)) or "none"))
        else:
            lines.append((prefix + name, str(value)))

    return lines


def _in_words(value: object) -> str:
    if isinstance(value, Mapping):
        return "; ".join(f"{name} {entry}" for name, entry in value.items())
    return str(value)
