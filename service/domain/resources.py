"""Registered things: models, dissectors, probe sets, concept sets and policies, each in immutable versions."""

import re
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from uuid import UUID

from service.domain.json_values import JsonObject
from service.domain.purposes import Terms
from service.errors import InvalidInput

_NAME = re.compile(r"[a-z0-9][a-z0-9._-]{0,63}")
_REFERENCE = re.compile(r"(?P<name>[^@]+)(?:@(?P<version>[1-9][0-9]{0,8}))?")


class ResourceKind(StrEnum):
    """What can be registered."""

    MODEL = "model"
    DISSECTOR = "dissector"
    PROBE_SET = "probe_set"
    CONCEPT_SET = "concept_set"
    POLICY = "policy"

    @property
    def words(self) -> str:
        """The kind as it reads in a sentence."""
        return self.value.replace("_", " ")

    @property
    def collection(self) -> str:
        """Where the API lists the kind."""
        return "/policies" if self is ResourceKind.POLICY else f"/{self.value.replace('_', '-')}s"


class ResourceState(StrEnum):
    """Whether a model or a dissector can be used, as far as a worker has looked."""

    CHECKING = "checking"
    READY = "ready"
    REFUSED = "refused"


@dataclass(frozen=True, slots=True)
class Resource:
    """One immutable version."""

    id: UUID
    kind: ResourceKind
    name: str
    version: int

    digest: str
    """Digest of the content."""

    spec: JsonObject
    """What a worker needs to open it, in the form that `service.domain.specs` (or `policy_from`) gives its kind."""

    created_at: datetime

    terms: Terms = field(default_factory=Terms)
    """What is stated of it; that may change, unlike all else."""

    replaced_terms: Terms | None = None
    """What was stated before, where the registration that gave this object has changed it."""

    @property
    def reference(self) -> str:
        """`name@version`."""
        return f"{self.name}@{self.version}"


def check_name(name: str) -> None:
    """Names are lower-case letters, digits, dot, dash and underscore. Raises InvalidInput."""
    if not _NAME.fullmatch(name):
        raise InvalidInput(
            f"'{name[:64]}' is not a valid name.",
            field="name",
            value=name,
            remedy="Use up to 64 lower-case letters, digits, dots, dashes and underscores, a letter or digit first.",
        )


def parse_reference(reference: str, *, field: str) -> tuple[str, int | None]:
    """`name` or `name@version` -> (name, version or None for the newest). Raises InvalidInput."""
    match = _REFERENCE.fullmatch(reference)
    if match is None:
        raise InvalidInput(
            f"'{reference[:80]}' is not a valid reference.",
            field=field,
            value=reference,
            remedy="Write name or name@version, as in vindr@2.",
        )
    version = match["version"]
    return match["name"], None if version is None else int(version)
