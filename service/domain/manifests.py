"""The manifest of a dissection: the digests, parameters and versions that made it (database and wire format).

Earlier releases wrote fewer entries, so a reader asks for them with `get`.
"""

from collections.abc import Mapping
from typing import TypedDict

from service.domain.evidence import EvidenceFields
from service.domain.json_values import JsonObject, StoredJson
from service.domain.methods import MethodFields


class TargetEntry(TypedDict, total=False):
    """The network under examination."""

    architecture: str
    sha256: str

    preprocessing: str
    """Digest of how images reach it."""

    shuffled: int | None
    """See `TargetSpec`."""


class DissectorEntry(TypedDict, total=False):
    """The dissector."""

    digest: str

    preprocessing: str
    """Digest of how images reach it."""


class ProbeSetEntry(TypedDict, total=False):
    """The probe set."""

    digest: str

    images: str
    """Digest of the image files, shard by shard."""

    merged_rows: int
    """See `ProbeSet`."""


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

    drawn: EvidenceFields
    """See `EvidenceOptions`."""

    evidence: StoredJson | None
    """See `JobEvidence`."""

    replay: ReplayEntry
    """Only of a replay."""


def entries_of(manifest: JsonObject | None, name: str) -> JsonObject:
    """The entries of one part of a manifest, as of its target; none where nobody wrote that part."""
    part = (manifest or {}).get(name)
    return part if isinstance(part, Mapping) else {}


def images_shown(manifest: JsonObject | None) -> int | None:
    """How many images a dissection used; None where its manifest does not say it."""
    images = (manifest or {}).get("images_used")
    return images if isinstance(images, int) else None
