"""What registered things may be used for, what a job is for, and what somebody overrode."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Literal, NotRequired, TypedDict

from service.errors import InvalidInput

MAX_LICENCE = 500
"""Characters of a licence: an SPDX expression or a sentence, not its text."""


class Purpose(StrEnum):
    """What a dissection is for."""

    CLINICAL = "clinical"
    RESEARCH = "research"


DEFAULT_PURPOSE = Purpose.RESEARCH
"""What a job is for where nobody says it."""

StatedBy = Literal["statement", "default"]
"""Who decided: whoever registered the thing, or nobody."""

AskedBy = Literal["request", "default"]
"""Who decided what a job is for: whoever asked for it, or nobody."""


class StoredTerms(TypedDict):
    """Terms as manifests and answers have them."""

    licence: str | None

    allowed_purposes: list[str]

    allowed_purposes_from: StatedBy


@dataclass(frozen=True, slots=True)
class Terms:
    """What somebody states of a registered thing. It is no part of the content."""

    licence: str | None = None
    """An SPDX identifier or free text; None where nobody stated one."""

    allowed_purposes: tuple[Purpose, ...] | None = None
    """None where nobody stated any: then every purpose is allowed."""

    @property
    def stated(self) -> bool:
        """Does it say anything?"""
        return self.licence is not None or self.allowed_purposes is not None

    @property
    def purposes(self) -> tuple[Purpose, ...]:
        """The purposes that are allowed."""
        return tuple(Purpose) if self.allowed_purposes is None else self.allowed_purposes

    def changed_by(self, statement: "Terms") -> "Terms":
        """These terms with what the statement says in place of what they said."""
        return Terms(
            self.licence if statement.licence is None else statement.licence,
            self.allowed_purposes if statement.allowed_purposes is None else statement.allowed_purposes,
        )

    def as_dict(self) -> StoredTerms:
        """JSON values."""
        return {
            "licence": self.licence,
            "allowed_purposes": [str(purpose) for purpose in self.purposes],
            "allowed_purposes_from": "default" if self.allowed_purposes is None else "statement",
        }

    @classmethod
    def from_dict(cls, stored: StoredTerms) -> "Terms":
        """The terms of which these are the JSON values."""
        is_default = stored["allowed_purposes_from"] == "default"
        return cls(stored["licence"], None if is_default else purposes_of(stored["allowed_purposes"]))


def state_terms(licence: str | None, allowed_purposes: Sequence[Purpose] | None) -> Terms:
    """What somebody states at a registration; None for what is left as it is. Raises InvalidInput."""
    if licence is not None and not 0 < len(licence.strip()) <= MAX_LICENCE:
        raise InvalidInput(
            "The licence is empty." if not licence.strip() else f"The licence has {len(licence.strip())} characters.",
            field="licence",
            value=licence,
            remedy=f"Give an SPDX identifier such as CC-BY-NC-4.0, or up to {MAX_LICENCE} characters; or leave it out.",
        )
    if allowed_purposes is not None and not allowed_purposes:
        raise InvalidInput(
            "No purpose is allowed, so nothing could be done with it.",
            field="allowed_purposes",
            value=list(allowed_purposes),
            remedy="Name clinical, research or both; or leave it out, which allows both.",
        )

    purposes = None if allowed_purposes is None else purposes_of(allowed_purposes)
    return Terms(None if licence is None else licence.strip(), purposes)


def purposes_of(words: Sequence[str]) -> tuple[Purpose, ...]:
    """The purposes in their own order, each once."""
    return tuple(purpose for purpose in Purpose if purpose in words)


class StoredOverride(TypedDict):
    """An override as jobs, deployments and manifests have it."""

    reason: str

    parts: list[str]


@dataclass(frozen=True, slots=True)
class PurposeOverride:
    """Somebody takes it on themselves to use parts for a purpose that they do not allow."""

    reason: str

    parts: tuple[str, ...]
    """The parts that it is about, as `dissector reader@1`; it is about no others."""

    def as_dict(self) -> StoredOverride:
        """JSON values."""
        return {"reason": self.reason, "parts": list(self.parts)}


class PurposeEntries(TypedDict):
    """The entries of a job's request and manifest that say what it is for."""

    purpose: str

    purpose_from: AskedBy

    terms: dict[str, StoredTerms]

    override_purpose: NotRequired[StoredOverride]
    """Only where something was overridden."""


@dataclass(frozen=True, slots=True)
class JobPurpose:
    """What a job is for, and what was stated of its parts when that was checked."""

    purpose: Purpose = DEFAULT_PURPOSE

    is_default: bool = True
    """Did nobody say it?"""

    terms: Mapping[str, Terms] = field(default_factory=dict)
    """By part: target, dissector, probe_set, concept_set."""

    override: PurposeOverride | None = None

    def as_dict(self) -> PurposeEntries:
        """JSON values that `from_dict` turns into an equal object."""
        entries: PurposeEntries = {
            "purpose": str(self.purpose),
            "purpose_from": "default" if self.is_default else "request",
            "terms": {part: terms.as_dict() for part, terms in self.terms.items()},
        }
        if self.override is not None:
            entries["override_purpose"] = self.override.as_dict()
        return entries

    @classmethod
    def from_dict(cls, entries: PurposeEntries) -> "JobPurpose":
        """The purpose of which these are the JSON values."""
        override = entries.get("override_purpose")
        return cls(
            purpose=Purpose(entries["purpose"]),
            is_default=entries["purpose_from"] == "default",
            terms={part: Terms.from_dict(terms) for part, terms in entries["terms"].items()},
            override=None if override is None else PurposeOverride(override["reason"], tuple(override["parts"])),
        )
