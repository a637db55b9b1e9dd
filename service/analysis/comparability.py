"""Which dissections can be compared at all."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from service.domain.jobs import Job
from service.domain.json_values import JsonObject
from service.errors import Conflict


@dataclass(frozen=True, slots=True)
class _Part:
    """Something that must be the same in all dissections."""

    value: Any
    """None where nobody knows."""
    shown: str
    """How an error writes it."""


def check_comparable(jobs: Sequence[Job]) -> None:
    """Labels mean the same only within one dissector, probe set, concept set and method.

    Resamples and halves must have drawn the same exams, so their numbers and the seed must be the same too. So must the
    number of exams, because an earlier release drew exams where patients are drawn now.
    Raises Conflict naming every part in which a job differs from the first, with both values, or that is not known.
    """
    parts_of_jobs = [_parts(job) for job in jobs]
    for job, parts in zip(jobs, parts_of_jobs, strict=True):
        _check_all_known(job, parts)

    first, first_parts = jobs[0], parts_of_jobs[0]
    for other, other_parts in zip(jobs[1:], parts_of_jobs[1:], strict=True):
        _check_same_parts(first, first_parts, other, other_parts)
        _check_same_exams(first, other)


def _check_all_known(job: Job, parts: Mapping[str, _Part]) -> None:
    unknown = [name for name, part in parts.items() if part.value is None]
    if unknown:
        raise Conflict(
            f"The manifest of job {job.id} does not say its {', '.join(unknown)}.",
            field=unknown[0],
            value=job.id,
            remedy="Dissect the network again.",
        )


def _check_same_parts(
    first: Job, first_parts: Mapping[str, _Part], other: Job, other_parts: Mapping[str, _Part]
) -> None:
    differences = {
        name: f"{part.shown} against {other_parts[name].shown}"
        for name, part in first_parts.items()
        if part.value != other_parts[name].value
    }
    if not differences:
        return

    remedy = "Compare dissections made with the same dissector, probe set, concept set, method and evidence."
    other_shards = first.request.shard_size != other.request.shard_size
    if other_shards and list(differences) == ["probe_set.images"]:
        remedy = "Dissect both with the same shard_size: digests of images are taken per shard."

    field, value = next(iter(differences.items()))
    listed = ", ".join(f"{name} ({difference})" for name, difference in differences.items())
    raise Conflict(
        f"Job {other.id} cannot be compared with job {first.id}, because they differ in {listed}.",
        field=field,
        value=value,
        remedy=remedy,
    )


def _check_same_exams(first: Job, other: Job) -> None:
    number, other_number = (_within(job.manifest or {}, "evidence", "units") for job in (first, other))
    if number is None or other_number is None or number == other_number:
        return

    kind, other_kind = (_within(job.manifest or {}, "evidence", "drawn_by") for job in (first, other))
    difference = f"{number} {kind}s against {other_number} {other_kind}s"
    raise Conflict(
        f"Job {other.id} cannot be compared with job {first.id}: evidence was drawn from {difference}.",
        field="evidence.units",
        value=difference,
        remedy="Dissect again whichever is older: an earlier release did not keep patients and copies together.",
    )


def _parts(job: Job) -> dict[str, _Part]:
    manifest = job.manifest or {}
    request = job.request
    evidence = request.options.evidence

    digests = {
        "dissector": (_within(manifest, "dissector", "digest"), request.dissector),
        "probe_set": (_within(manifest, "probe_set", "digest"), request.probe_set),
        "concept_set": (_within(manifest, "concept_set"), request.concept_set),
    }
    plain = {
        "probe_set.images": _within(manifest, "probe_set", "images"),
        **{f"method.{name}": value for name, value in request.options.method.as_dict().items()},
        "evidence.resamples": evidence.resamples,
        "evidence.halves": evidence.halves,
        "seed": _within(manifest, "seed"),
    }

    parts = {name: _Part(digest, f"{reference}, digest {digest}") for name, (digest, reference) in digests.items()}
    parts.update((name, _Part(value, str(value))) for name, value in plain.items())
    return parts


def _within(manifest: JsonObject, *keys: str) -> Any:
    """The value that is that deep in a manifest; None where it is not there."""
    value: Any = manifest
    for key in keys:
        value = value.get(key) if isinstance(value, Mapping) else None
    return value
