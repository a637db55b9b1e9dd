"""The JSON of probe sets: manifests, and what their findings mean."""

from typing import Literal

from pydantic import BaseModel, Field

from api.schemas.base import Body, Name
from api.schemas.checks import CheckOut
from api.schemas.resources import StatedOut, TermsIn
from service.domain.findings import MatchedBy, WhyUnmatched
from service.domain.probes import Frames, PatchGrid
from service.errors import InvalidInput
from service.layouts.catalogue import LAYOUTS


class PatchesIn(Body):
    """Cut every image into square patches, in pixels of the decoded image."""

    size: int = Field(ge=16, le=16_384)
    stride: int = Field(ge=1, le=16_384)


class PseudonymsIn(Body):
    """Replace identifiers of patients, exams and images by keyed hashes (HMAC-SHA256)."""

    key_file: str = Field(
        description="Absolute path of a file with the key, at least 16 bytes.", examples=["/probes/pseudonyms.key"]
    )


class ProbeSetIn(TermsIn):
    """A manifest of images to register, or a published data set as it was unpacked."""

    name: Name = Field(examples=["vindr-test"])
    manifest: str = Field(
        description="Absolute path of a manifest, a table in any format; with `layout`, of the data set's folder or "
        "table.",
        examples=["/probes/vindr.csv"],
    )
    layout: str | None = Field(
        default=None, description=f"What lies there: {', '.join(LAYOUTS)}. Left out: a manifest.", examples=["vindr"]
    )
    root: str | None = Field(
        default=None,
        description="Absolute path of the folder that the images are in, where it is not the manifest's. As much of "
        "the end of each path as leads to a file in it is taken.",
    )
    pseudonymise: PseudonymsIn | bool | None = Field(
        default=None,
        description="How identifiers are replaced; left out, null or false: they stay. `dicom-folder` needs it.",
    )
    patches: PatchesIn | None = None
    frames: Frames | None = Field(
        default=None,
        description="What is taken of an image with several frames, for example a tomosynthesis: the middle one, all, "
        "each as an image of its own, or their maximum intensity projection. Left out, such an image is unreadable.",
    )
    on_unreadable: Literal["fail", "skip"] = Field(
        default="fail", description="What a job does with an image that cannot be decoded: fail, or skip and count it."
    )
    independent: str | None = Field(
        default=None,
        min_length=1,
        max_length=500,
        description="What counts as independent: `patient`, `exam`, `image`, or a column of the manifest, whose values "
        "are then the groups. Left out: the coarsest that the manifest knows. Equal bytes stay together.",
        examples=["patient"],
    )
    findings_map: str | None = Field(
        default=None,
        min_length=1,
        max_length=4_096,
        description="Which concepts the findings mean: absolute path of a .csv, .json or .yaml file with `finding` and "
        "`concept`, or `builtin:` and the name of a data set. Left out, that of the layout, if it has one. It is part "
        "of the content.",
        examples=["builtin:vindr"],
    )
    concept_set: str | None = Field(
        default=None,
        max_length=80,
        description="A registered concept set: the answer says which of its concepts the findings mean, and a map that "
        "names others is refused. Not part of the content.",
        examples=["bi-rads"],
    )

    def key_file(self) -> str | None:
        """The key of the pseudonyms, if identifiers are to be replaced. Raises InvalidInput where none is named."""
        if self.pseudonymise is True:
            raise InvalidInput(
                "Identifiers are to be replaced, but no key is named.",
                field="pseudonymise",
                value=True,
                remedy='Write {"key_file": PATH}, with a key such as `openssl rand -hex 32 > PATH` makes.',
            )
        return self.pseudonymise.key_file if isinstance(self.pseudonymise, PseudonymsIn) else None

    def grid(self) -> PatchGrid | None:
        """The patch grid in the domain's words."""
        return None if self.patches is None else PatchGrid(self.patches.size, self.patches.stride)


class MatchedFindingOut(BaseModel):
    """A finding that means concepts of the set."""

    finding: str
    images: int
    concepts: list[str]
    matched_by: MatchedBy


class UnmatchedFindingOut(BaseModel):
    """A finding of which nobody knows what it means."""

    finding: str
    images: int
    why: WhyUnmatched
    concepts: list[str] = Field(description="Those that it could be, or that it is mapped to.")


class CountedFindingOut(BaseModel):
    """A finding that is known to mean no concept."""

    finding: str
    images: int


class MappedFindingOut(BaseModel):
    """An entry of the map whose concept the set has not."""

    finding: str
    concept: str


class FindingsMapOut(BaseModel):
    """The map of findings that the probe set was registered with."""

    source: str
    digest: str
    notes: list[str] = Field(description="What was decided when its file was read, as the separator.")


class FindingsOut(BaseModel):
    """What the findings of a probe set mean in a concept set; of each kind the 200 commonest are named."""

    concept_set: str
    map: FindingsMapOut | None
    names: int = Field(description="How many findings there are; the 1,000 commonest are looked at.")
    matched: list[MatchedFindingOut]
    matched_names: int
    unmatched: list[UnmatchedFindingOut]
    unmatched_names: int
    no_concept: list[CountedFindingOut]
    no_concept_names: int
    not_in_set: list[MappedFindingOut]
    not_in_set_entries: int


class ProbeSetOut(StatedOut):
    """A probe set; `spec.images` is null until a worker has listed what only headers say (`spec.listing` is null until
    then, too), and measured what is cut into frames or patches.

    `state` says whether its images are being checked, `check` what that has found so far; both are null for a set that
    nobody has asked to check. `problem` says why it was refused, with the images' rows. `spec.unmeasured` counts the
    images that could not be measured and that the set skips, `spec.unmeasured_rows` names the first hundred.
    `findings` says which of its findings name which concepts, and which name none; null where the manifest knows none.

    `spec.independence`: what counts as independent by the manifest, how many units there are and how large, and which
    evidence they are too few for. `spec.grouping`: columns that were taken for `patient_id` and `exam_id`.
    """

    findings: FindingsOut | None = None

    problem: dict[str, str] | None = None
    check: CheckOut | None = Field(
        default=None, description="In brief: the first few rows and values. The whole is at /probe-sets/{name}/check."
    )
