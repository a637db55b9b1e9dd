"""The manifest of a dissection: the digests, parameters and versions that made it (database and wire format).

Earlier releases wrote fewer entries, so a reader asks for them with `get`.
"""

from collections.abc import Mapping
from typing import Any, TypedDict

from service.domain.autoencoders import AutoencoderReading
from service.domain.checks import NamedRow
from service.domain.evidence import EvidenceFields
from service.domain.findings import FindingsEntry
from service.domain.input_contract import InputEntries
from service.domain.json_values import JsonObject, StoredJson
from service.domain.localisation import LocalisationEntry
from service.domain.methods import MethodFields
from service.domain.preprocessing import Preprocessing
from service.domain.probes import where_in_words
from service.domain.purposes import AskedBy, StoredOverride, StoredTerms
from service.domain.table_targets import TableEntry
from service.domain.weights_reading import WeightsReading


class SourceEntry(TypedDict, total=False):
    """Where fetched weights came from."""

    named: str
    """The source as it was registered."""

    place: str
    """See `Fetched`."""

    version: str | None
    """See `Fetched`."""


class TargetEntry(TypedDict, total=False):
    """The network under examination."""

    architecture: str
    sha256: str

    preprocessing: str
    """Digest of how images reach it."""

    shuffled: int | None
    """See `TargetSpec`."""

    source: SourceEntry
    """Only where the weights were fetched."""

    input: InputEntries
    """How images reach it: every field with where its value is from."""

    warnings: list[str]
    """What is to be known of that."""

    weights: WeightsReading
    """Which weights of the file they are, and how they were read."""

    autoencoder: AutoencoderReading
    """How the file of its autoencoder was read; only where it has one."""

    origin: dict[str, object]
    """See `Target`. Left out where nothing but weights, architecture and this software decide the network."""

    table: TableEntry
    """Only of a table in place of a network."""


class DissectorEntry(TypedDict, total=False):
    """The dissector."""

    digest: str

    preprocessing: str
    """Digest of how images reach it."""

    notes: list[str]
    """What was concluded or decided when it was opened; only where there was anything."""


class CutText(TypedDict):
    """A text that stands for a concept, longer than what the dissector reads."""

    text: str

    tokens: int
    """How many it has."""

    read: int
    """How many of these the dissector reads."""


class ProbeSetEntry(TypedDict, total=False):
    """The probe set."""

    digest: str

    images: str
    """Digest of the image files, shard by shard."""

    merged_rows: int
    """See `ProbeSet`."""

    table_notes: list[str]
    """See `ProbeSet`; where there are any."""

    independent: str
    """What was chosen to count as independent, where anything was."""

    grouping: dict[str, str]
    """See `ProbeSet`; where there are any."""

    warnings: list[str]
    """See `ProbeSet`; where there are any."""

    windows: dict[str, int]
    """How many images of the checked set have which VOI window, see `counts_of_windows`.

    Only where the window of target or dissector is `voi`.
    """

    whole: str
    """Digest of the probe set that this one is a part of."""

    where: dict[str, list[str]]
    """By which values the images of the part were chosen."""


class Processor(TypedDict):
    """What added the numbers up."""

    instructions: str
    threads: int


class ReplayEntry(TypedDict):
    """Whether a job that computed another one's result again got the same."""

    of: str
    """Id of the original job."""

    identical: bool

    differing_layers: list[str]


class JobManifest(TypedDict, total=False):
    """Everything that made a dissection's result."""

    target: TargetEntry
    dissector: DissectorEntry
    probe_set: ProbeSetEntry

    concept_set: str
    """Its digest."""

    findings: FindingsEntry
    """What the findings of the probe set mean; only where some image's findings are known."""

    concept_notes: list[str]
    """See `ConceptSet`; where there are any."""

    texts_cut: list[CutText]
    """Only where the dissector cuts any."""

    layers: list[str]

    layers_asked: list[str]
    """What they were asked by: names and patterns, `stages` or `all`."""

    method: MethodFields
    """See `Method`."""

    concepts_per_neuron: int
    images_per_neuron: int

    images_used: int
    """Images that were shown."""

    rows_skipped: list[int]
    """Manifest rows of images that cannot be decoded."""

    skipped_why: list[NamedRow]
    """Why, as the check of the probe set has found it. Only where it names any; it names the first rows."""

    batch_size: int
    shard_size: int
    device: str
    processor: Processor
    precision: str
    seed: int

    versions: dict[str, str]
    """Of this software, and of every library that decides a result."""

    results: dict[str, str]
    """Digest of each layer's neurons, in the order of the dissection; q-values are not part of it."""

    activations: str
    """Why only the largest activations of each unit were kept; left out where all were."""

    drawn: EvidenceFields
    """See `EvidenceOptions`."""

    evidence: StoredJson | None
    """See `JobEvidence`."""

    localisation: LocalisationEntry
    """Only where it was asked for."""

    purpose: str
    """See `Purpose`."""

    purpose_from: AskedBy

    terms: dict[str, StoredTerms]
    """What was stated of each part when the job was accepted."""

    override_purpose: StoredOverride
    """Only where a purpose was overridden."""

    replay: ReplayEntry
    """Only of a replay."""


def entries_of(manifest: JsonObject | None, name: str) -> JsonObject:
    """The entries of one part of a manifest, as of its target; none where nobody wrote that part."""
    part = (manifest or {}).get(name)
    return part if isinstance(part, Mapping) else {}


def contract_of(manifest: JsonObject | None) -> Preprocessing | None:
    """How images reached the target of a dissection; None where its manifest does not say it in full."""
    entries: Any = entries_of(manifest, "target").get("input")
    if not entries:
        return None
    values: dict[str, Any] = {
        name: tuple(entry["value"]) if isinstance(entry["value"], list) else entry["value"]
        for name, entry in entries.items()
    }
    return Preprocessing(**values)


def input_lines(manifest: JsonObject | None) -> list[tuple[str, str, str]]:
    """How images reached the target: name, value and origin of each field; none where nobody wrote it down."""
    entries: Any = entries_of(manifest, "target").get("input") or {}
    return [(name, _shown(entry["value"]), str(entry["origin"])) for name, entry in entries.items()]


def input_warnings(manifest: JsonObject | None) -> tuple[str, ...]:
    """What is to be known of how images reached the target."""
    warnings = entries_of(manifest, "target").get("warnings")
    return tuple(map(str, warnings)) if isinstance(warnings, list | tuple) else ()


def _shown(value: object) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    return ", ".join(map(str, value)) if isinstance(value, list | tuple) else str(value)


def images_shown(manifest: JsonObject | None) -> int | None:
    """How many images a dissection used; None where its manifest does not say it."""
    images = (manifest or {}).get("images_used")
    return images if isinstance(images, int) else None


def name_on_part(target: str, manifest: JsonObject | None) -> str:
    """A target's name, with the part of the probe set that it was shown where it was not shown all of it."""
    where = entries_of(manifest, "probe_set").get("where")
    return f"{target} on {where_in_words(where)}" if isinstance(where, Mapping) else target


def probe_set_lines(manifest: JsonObject | None) -> tuple[str, ...]:
    """Which part of a probe set was used, and what is to be known of what counts as independent, a sentence each."""
    entries = entries_of(manifest, "probe_set")
    lines = []
    where = entries.get("where")
    if isinstance(where, Mapping):
        lines.append(f"Only images with {where_in_words(where)} were used: a part of the probe set.")

    warnings = entries.get("warnings")
    if isinstance(warnings, list | tuple):
        lines.extend(map(str, warnings))
    return tuple(lines)
