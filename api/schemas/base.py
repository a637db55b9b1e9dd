"""What schemas of several nouns are made of."""

from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field

Name = Annotated[str, Field(max_length=64, description="Lower-case letters, digits, dots, dashes and underscores.")]
Reference = Annotated[
    str, Field(min_length=1, max_length=80, description="`name` (its newest version) or `name@version`.")
]
LayerName = Annotated[str, Field(min_length=1, max_length=200)]
Person = Annotated[str, Field(min_length=1, max_length=120, description="Name of the person.")]
GivenReason = Annotated[str, Field(min_length=1, max_length=2_000)]


class Body(BaseModel):
    """A request body: unknown fields are refused."""

    model_config = ConfigDict(extra="forbid")


class FromDomain(BaseModel):
    """Part of an answer, read from the domain's own object."""

    model_config = ConfigDict(from_attributes=True)


class OverrideIn(Body):
    """Use parts of a job for a purpose that their terms do not allow."""

    reason: GivenReason
