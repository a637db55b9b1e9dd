"""A job's evidence in its manifest, as JSON values."""

from pydantic import TypeAdapter

from service.domain.evidence import JobEvidence
from service.domain.json_values import StoredJson

_EVIDENCE: TypeAdapter[JobEvidence | None] = TypeAdapter(JobEvidence | None)

_LATER = ("watched", "verdicts")


def encode_evidence(evidence: JobEvidence | None) -> StoredJson | None:
    """JSON values that `decode_evidence` turns into equal evidence."""
    encoded: StoredJson | None = _EVIDENCE.dump_python(evidence, mode="json")
    # Earlier releases stored nothing in their place.
    if encoded is not None:
        encoded = {name: value for name, value in encoded.items() if value is not None or name not in _LATER}
    return encoded


def decode_evidence(stored: StoredJson | None) -> JobEvidence | None:
    """The evidence that was encoded; None where a job has none."""
    return _EVIDENCE.validate_python(stored)
