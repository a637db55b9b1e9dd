"""The JSON of policies."""

from typing import Annotated

from pydantic import Field, JsonValue

from api.schemas.base import Body, Name
from api.schemas.resources import VersionOut


class PolicyIn(Body):
    """A policy to register: as JSON, or as a string of YAML."""

    name: Name = Field(examples=["screening"])
    policy: dict[str, JsonValue] | Annotated[str, Field(max_length=200_000)] = Field(
        examples=[
            {
                "rules": [
                    {"rule": "significant-share", "at_least": 0.3},
                    {"rule": "required-concepts", "concepts": ["spiculated mass", "clustered calcification"]},
                    {"rule": "category-loss", "at_most": 0.25},
                    {"rule": "watched-share", "at_most": 0.05, "above_baseline": True},
                ]
            }
        ]
    )


class PolicyOut(VersionOut):
    """One version of a policy; `spec` is the policy. Lists count its rules."""
