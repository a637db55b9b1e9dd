"""A job's evidence in its manifest, as JSON values."""

from typing import Any

from pydantic import TypeAdapter

from service.domain.evidence import JobEvidence

_EVIDENCE: TypeAdapter[JobEvidence | None] = TypeAdapter(JobEvidence | None)


def encode_evidence(evidence: JobEvidence | None) -> dict[str, Any] | None:
    """JSON values that `decode_evidence` turns into equal evidence."""
    encoded: dict[str, Any] | None = _EVIDENCE.dump_python(evidence, mode="json")
    return encoded


def decode_evidence(stored: dict[str, Any] | None) -> JobEvidence | None:
    """The evidence that was encoded; None where a job has none."""
    return _EVIDENCE.validate_python(stored)
