"""Which dissections can be compared at all."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from service.domain.jobs import Job
from service.domain.json_values import JsonObject
from service.domain.probes import where_in_words
from service.errors import Conflict


@dataclass(frozen=True, slots=True)
class _Part:
    """Something that must be the same in all dissections."""

    value: object
    """None where nobody knows."""
    shown: str
    """How an error writes it."""


def check_comparable(jobs: Sequence[Job]) -> None:
    """Labels mean the same only within one dissector, probe set, concept set and method.

    Resamples and halves must have drawn the same exams, so their numbers and the seed must be the same too. So must the
    number of exams, because an earlier release drew exams where patients are drawn now. Dissections on different parts
    of one probe set may be compared, too: see `on_different_parts`.
    Raises Conflict naming every part in which a job differs from the first, with both values, or that is not known.
    """
    different_parts = on_different_parts(jobs)
    parts_of_jobs = [_parts(job, but_for_images=different_parts) for job in jobs]
    for job, parts in zip(jobs, parts_of_jobs, strict=True):
        _check_all_known(job, parts)

    reference, reference_parts = jobs[0], parts_of_jobs[0]
    for job, parts in zip(jobs[1:], parts_of_jobs[1:], strict=True):
        _check_same_parts(reference, reference_parts, job, parts)
        if not different_parts:
            _check_same_exams(reference, job)


def on_different_parts(jobs: Sequence[Job]) -> bool:
    """Were the dissections made on different parts of one probe set, or some on a part and some on all of it?

    Their exams are then not the same, so that nothing can be paired by them.
    """
    probe_sets = {_within(job.manifest or {}, "probe_set", "digest") for job in jobs}
    wholes = {_whole(job) for job in jobs}
    return len(probe_sets) > 1 and len(wholes) == 1


def part_in_words(job: Job) -> str | None:
    """By which values the images of a dissection were chosen; None where it used a whole probe set."""
    where = _within(job.manifest or {}, "probe_set", "where")
    return where_in_words(where) if isinstance(where, Mapping) else None


def _whole(job: Job) -> object:
    """Digest of the whole probe set that a dissection used, or used a part of."""
    manifest = job.manifest or {}
    return _within(manifest, "probe_set", "whole") or _within(manifest, "probe_set", "digest")


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
    reference: Job, reference_parts: Mapping[str, _Part], job: Job, parts: Mapping[str, _Part]
) -> None:
    differences = {
        name: f"{part.shown} against {parts[name].shown}"
        for name, part in reference_parts.items()
        if part.value != parts[name].value
    }
    if not differences:
        return

    remedy = "Compare dissections made with the same dissector, probe set, concept set, method and evidence."
    other_shards = reference.request.shard_size != job.request.shard_size
    if other_shards and list(differences) == ["probe_set.images"]:
        remedy = "Dissect both with the same shard_size: digests of images are taken per shard."

    field, value = next(iter(differences.items()))
    listed = ", ".join(f"{name} ({difference})" for name, difference in differences.items())
    raise Conflict(
        f"Job {job.id} cannot be compared with job {reference.id}, because they differ in {listed}.",
        field=field,
        value=value,
        remedy=remedy,
    )


def _check_same_exams(reference: Job, job: Job) -> None:
    reference_manifest = reference.manifest or {}
    manifest = job.manifest or {}

    reference_number = _within(reference_manifest, "evidence", "units")
    number = _within(manifest, "evidence", "units")
    if reference_number is None or number is None or reference_number == number:
        return

    reference_kind = _within(reference_manifest, "evidence", "drawn_by")
    kind = _within(manifest, "evidence", "drawn_by")
    difference = f"{reference_number} {reference_kind}s against {number} {kind}s"
    raise Conflict(
        f"Job {job.id} cannot be compared with job {reference.id}: evidence was drawn from {difference}.",
        field="evidence.units",
        value=difference,
        remedy="Dissect again whichever is older: an earlier release did not keep patients and copies together.",
    )


def _parts(job: Job, *, but_for_images: bool) -> dict[str, _Part]:
    """but_for_images: whether the jobs used different parts of one probe set, and so different images."""
    manifest = job.manifest or {}
    request = job.request
    evidence = request.options.evidence

    method = request.options.method
    numbers = {name: value for name, value in method.as_dict().items() if name != "prompts"}

    digests = {
        "dissector": (_within(manifest, "dissector", "digest"), request.dissector),
        "probe_set": (_within(manifest, "probe_set", "digest"), request.probe_set),
        "concept_set": (_within(manifest, "concept_set"), request.concept_set),
    }
    plain = {
        "probe_set.images": _within(manifest, "probe_set", "images"),
        **{f"method.{name}": value for name, value in numbers.items()},
        "method.prompts": "none" if method.prompts is None else method.prompts.words,
        "evidence.resamples": evidence.resamples,
        "evidence.halves": evidence.halves,
        "evidence.error_level": evidence.allowed_error,
        "seed": _within(manifest, "seed"),
    }

    if but_for_images:
        del digests["probe_set"], plain["probe_set.images"]

    parts = {name: _Part(digest, f"{reference}, digest {digest}") for name, (digest, reference) in digests.items()}
    parts.update((name, _Part(value, str(value))) for name, value in plain.items())
    return parts


def _within(manifest: JsonObject, *keys: str) -> object:
    """The value that is that deep in a manifest; None where it is not there."""
    value: object = manifest
    for key in keys:
        value = value.get(key) if isinstance(value, Mapping) else None
    return value
