"""The JSON of registered things, and how it maps to the domain."""

from datetime import datetime
from typing import Literal, Self
from uuid import UUID

from pydantic import BaseModel, Field

from api.schemas.base import Body, Name
from service.domain.json_values import StoredJson
from service.domain.probes import PatchGrid
from service.domain.resources import Resource, ResourceKind
from service.domain.specs import concept_set_spec


class CheckpointIn(Body):
    """A weights file and the architecture it belongs to."""

    checkpoint: str = Field(description="Absolute path or file:// URI.", examples=["/models/b5-model-best.tar"])
    architecture: str = Field(max_length=120, examples=["mammo-clip/b5", "timm/resnet50", "efficientnet-lite0"])
    sha256: str | None = Field(
        default=None, pattern="^[0-9a-fA-F]{64}$", description="The digest that the file must have."
    )


class ModelIn(CheckpointIn):
    """A target to register."""

    name: Name = Field(examples=["screening-b5"])


class DissectorIn(Body):
    """A dissector directory to register."""

    name: Name = Field(examples=["mammo-clip-b5"])
    path: str = Field(description="Absolute path of the directory.", examples=["/dissectors/mammo-clip-b5"])


class PatchesIn(Body):
    """Cut every image into square patches, in pixels of the decoded image."""

    size: int = Field(ge=16, le=16_384)
    stride: int = Field(ge=1, le=16_384)


class ProbeSetIn(Body):
    """A manifest of images to register."""

    name: Name = Field(examples=["vindr-test"])
    manifest: str = Field(
        description="Absolute path of a .csv, .json or .jsonl manifest.", examples=["/probes/vindr.csv"]
    )
    patches: PatchesIn | None = None
    on_unreadable: Literal["fail", "skip"] = Field(
        default="fail", description="What a job does with an image that cannot be decoded: fail, or skip and count it."
    )

    def grid(self) -> PatchGrid | None:
        """The patch grid in the domain's words."""
        return None if self.patches is None else PatchGrid(self.patches.size, self.patches.stride)


class ConceptSetIn(Body):
    """Concepts: plain texts, or objects with text, category, broad_category, mammographic, watched, synonyms."""

    name: Name = Field(examples=["my-concepts"])
    concepts: list[str | StoredJson] = Field(
        min_length=1,
        max_length=20_000,
        examples=[["spiculated mass", {"text": "skin thickening", "category": "associated features"}]],
    )


class ResourceOut(BaseModel):
    """One version of a registered resource."""

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


class LayerInfoOut(BaseModel):
    """A layer that can be dissected. What an inspection by an earlier release has not noted is null."""

    name: str
    units: int
    kind: str
    shape: list[int] | None = Field(default=None, description="What it returns for one image.")
    multiply_adds: int | None = Field(
        default=None,
        description="What one image costs up to this layer: those of matrix products, convolutions and attention.",
    )
    share: float | None = Field(default=None, description="The same as a share of the whole forward pass.")
    is_main: bool | None = Field(default=None, description="Whether `all` means it.")
    ends_stage: bool | None = Field(default=None, description="Whether `stages` means it.")


class ModelOut(ResourceOut):
    """A target; `layers` is null until a worker has opened it, `problem` says why it could not."""

    layers: list[LayerInfoOut] | None = None
    problem: dict[str, str] | None = None


class ProbeSetOut(ResourceOut):
    """A probe set; `spec.images` is null until a worker has measured what is cut into patches.

    `problem` says why it could not, with the image's row. `spec.unmeasured` counts the images that it could not read
    and that the set skips, `spec.unmeasured_rows` names the first hundred.
    """

    problem: dict[str, str] | None = None
