"""May a job's parts be used for what it is for?"""

from collections.abc import Iterator

from service.db.jobs import JobParts
from service.domain.purposes import DEFAULT_PURPOSE, JobPurpose, Purpose, PurposeOverride, Terms
from service.domain.resources import Resource
from service.errors import InvalidInput, PurposeNotAllowed


def judge_purpose(
    parts: JobParts,
    purpose: Purpose | None,
    *,
    reason: str | None = None,
    earlier: JobPurpose | None = None,
    where: str = "the job",
) -> JobPurpose:
    """What a job on these parts is for, with what is stated of them by now.

    purpose: None for the earlier one, or else the default. reason: why parts are used that do not allow it.
    earlier: what was decided before; its override still holds for the parts that it names. where: what the caller would
    have to change.
    Raises InvalidInput for an empty reason, and PurposeNotAllowed where a part does not allow the purpose and no
    override is about it.
    """
    if reason is not None and not reason.strip():
        raise InvalidInput(
            "The override gives no reason.",
            field="override_purpose.reason",
            value=reason,
            remedy="Say why the purpose may be overridden.",
        )

    if purpose is None and earlier is not None and not earlier.is_default:
        purpose = earlier.purpose
    asked = purpose or DEFAULT_PURPOSE
    kept = None if earlier is None or earlier.purpose is not asked else earlier.override

    refusing = [(part, resource) for part, resource in _named(parts) if asked not in resource.terms.purposes]
    names = tuple(part for part, _ in refusing)

    if reason is not None:
        override: PurposeOverride | None = PurposeOverride(reason, names)
    else:
        covered = () if kept is None else kept.parts
        uncovered = [(part, resource) for part, resource in refusing if part not in covered]
        if uncovered:
            raise _not_allowed(parts, asked, uncovered, is_default=purpose is None, where=where)
        override = None if kept is None or not names else PurposeOverride(kept.reason, names)

    return JobPurpose(asked, is_default=purpose is None, terms=_terms(parts), override=override)


def _named(parts: JobParts) -> Iterator[tuple[str, Resource]]:
    """Each part with its name in a sentence."""
    yield f"target {parts.target.reference}", parts.target
    yield f"dissector {parts.dissector.reference}", parts.dissector
    yield f"probe set {parts.probe_set.reference}", parts.probe_set
    yield f"concept set {parts.concept_set.reference}", parts.concept_set


def _terms(parts: JobParts) -> dict[str, Terms]:
    return {
        "target": parts.target.terms,
        "dissector": parts.dissector.terms,
        "probe_set": parts.probe_set.terms,
        "concept_set": parts.concept_set.terms,
    }


def _not_allowed(
    parts: JobParts, purpose: Purpose, refusing: list[tuple[str, Resource]], *, is_default: bool, where: str
) -> PurposeNotAllowed:
    reasons = [f"{part} is for {_words(resource.terms)}" for part, resource in refusing]
    shared = set(Purpose).intersection(*(terms.purposes for terms in _terms(parts).values()))
    other = [f"give {where} the purpose {allowed}" for allowed in Purpose if allowed in shared]
    choices = [*other, 'give override_purpose with a reason, as in {"reason": "..."}', "use parts that allow it"]

    assumed = " (nobody said another purpose)" if is_default else ""
    remedy = "; or ".join(choices)
    return PurposeNotAllowed(
        f"These may not be used for the purpose {purpose}{assumed}: {'; '.join(reasons)}.",
        field="purpose",
        value=purpose,
        remedy=f"{remedy[0].upper()}{remedy[1:]}.",
    )


def _words(terms: Terms) -> str:
    purposes = " and ".join(terms.purposes)
    licence = "no licence stated" if terms.licence is None else f"licence {terms.licence}"
    return f"{purposes} only ({licence})"
