"""The JSON of whatever is registered: its versions, and what is stated of them."""

from datetime import datetime
from typing import Self
from uuid import UUID

from pydantic import BaseModel, Field

from api.schemas.base import Body
from service.domain.json_values import StoredJson
from service.domain.purposes import MAX_LICENCE, Purpose, StatedBy, Terms, state_terms
from service.domain.resources import Resource, ResourceKind, ResourceState
from service.domain.specs import concept_set_spec


class TermsIn(Body):
    """What you state of what you register. It is not part of the content.

    The same content registered again with other terms: they replace those of that version, and `replaced_terms` shows
    what was stated before.
    """

    licence: str | None = Field(
        default=None,
        min_length=1,
        max_length=MAX_LICENCE,
        description="An SPDX identifier or free text. Left out: what was stated before, if anything.",
        examples=["CC-BY-NC-4.0"],
    )
    allowed_purposes: list[Purpose] | None = Field(
        default=None,
        min_length=1,
        max_length=len(Purpose),
        description="What jobs may use it for. Left out: what was stated before; if nothing, every purpose.",
    )

    def terms(self) -> Terms:
        """The terms in the domain's words. Raises InvalidInput."""
        return state_terms(self.licence, self.allowed_purposes)


class TermsOut(BaseModel):
    """What is stated of a registered thing; `allowed_purposes_from` is `default` where nobody stated any."""

    licence: str | None
    allowed_purposes: list[Purpose]
    allowed_purposes_from: StatedBy

    @classmethod
    def of(cls, terms: Terms) -> Self:
        """The terms on the wire."""
        return cls.model_validate(terms.as_dict())


class VersionOut(BaseModel):
    """One version of what is registered under a name."""

    id: UUID
    name: str
    version: int
    reference: str
    digest: str
    created_at: datetime
    spec: StoredJson

    @classmethod
    def of(cls, resource: Resource, *, brief: bool = False) -> Self:
        """brief: a concept set's concepts are counted, not listed."""
        spec = dict(resource.spec)
        if brief and resource.kind is ResourceKind.CONCEPT_SET:
            spec["concepts"] = len(concept_set_spec(resource)["concepts"])
        return cls(
            id=resource.id,
            name=resource.name,
            version=resource.version,
            reference=resource.reference,
            digest=resource.digest,
            created_at=resource.created_at,
            spec=spec,
        )


class ResourceOut(VersionOut):
    """One version of a model, dissector, probe set or concept set, and what is stated of it.

    `replaced_terms` is what was stated before, in the answer to the registration that changed it, and else null.
    """

    licence: str | None
    allowed_purposes: list[Purpose]
    allowed_purposes_from: StatedBy
    replaced_terms: TermsOut | None = None

    @classmethod
    def of(cls, resource: Resource, *, brief: bool = False) -> Self:
        """brief: a concept set's concepts are counted, not listed."""
        version = VersionOut.of(resource, brief=brief)
        replaced = resource.replaced_terms
        return cls(
            **version.model_dump(),
            **resource.terms.as_dict(),
            replaced_terms=None if replaced is None else TermsOut.of(replaced),
        )


class StatedOut(ResourceOut):
    """A model, a dissector or a probe set with its `state`: whether a worker could open it, or read its images.

    Null where this release has not been asked to: then it may be used, and a job finds out.
    """

    state: ResourceState | None = None
