"""Which dissections can be compared at all."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from service.domain.jobs import Job
from service.errors import Conflict


@dataclass(frozen=True, slots=True)
class _Part:
    """Something that must be the same; `shown` is how an error writes it. value: None where nobody knows."""

    value: Any
    shown: str


def check_comparable(jobs: Sequence[Job]) -> None:
    """Labels mean the same only within one dissector, probe set, concept set and method.

    Resamples and halves must have drawn the same exams, so their numbers and the seed must be the same too; and so must
    the number of exams, for an earlier release looked at exams where patients are drawn now.
    Raises Conflict naming every part in which a job differs from the first, with both values, or that is not known.
    """
    first, *others = ((job, _parts(job)) for job in jobs)
    for job, parts in (first, *others):
        if unknown := [name for name, part in parts.items() if part.value is None]:
            raise Conflict(
                f"The manifest of job {job.id} does not say its {', '.join(unknown)}.",
                field=unknown[0],
                value=job.id,
                remedy="Dissect the network again.",
            )
    for job, parts in others:
        _check_pair(first[0], first[1], job, parts)


def _check_pair(first: Job, ours: Mapping[str, _Part], other: Job, theirs: Mapping[str, _Part]) -> None:
    differing = [name for name in ours if ours[name].value != theirs[name].value]
    if not differing:
        _check_units(first, other)
    if not differing:
        return
    pairs = [f"{name} ({ours[name].shown} against {theirs[name].shown})" for name in differing]
    by_shard = differing == ["probe_set.images"] and first.request.shard_size != other.request.shard_size
    raise Conflict(
        f"Job {other.id} cannot be compared with job {first.id}, because they differ in {', '.join(pairs)}.",
        field=differing[0],
        value=f"{ours[differing[0]].shown} against {theirs[differing[0]].shown}",
        remedy="Dissect both with the same shard_size: digests of images are taken per shard."
        if by_shard
        else "Compare dissections made with the same dissector, probe set, concept set, method and evidence.",
    )


def _check_units(first: Job, other: Job) -> None:
    drawn = [_within(job.manifest or {}, "evidence", "units") for job in (first, other)]
    if None in drawn or drawn[0] == drawn[1]:
        return
    kinds = [_within(job.manifest or {}, "evidence", "drawn_by") for job in (first, other)]
    ours, theirs = (f"{units} {kind}s" for units, kind in zip(drawn, kinds, strict=True))
    raise Conflict(
        f"Job {other.id} cannot be compared with job {first.id}: evidence was drawn from {ours} against {theirs}.",
        field="evidence.units",
        value=f"{ours} against {theirs}",
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
    return {
        **{name: _Part(digest, f"{reference}, digest {digest}") for name, (digest, reference) in digests.items()},
        **{name: _Part(value, str(value)) for name, value in plain.items()},
    }


def _within(manifest: Mapping[str, Any], *keys: str) -> Any:
    value: Any = manifest
    for key in keys:
        value = value.get(key) if isinstance(value, Mapping) else None
    return value
