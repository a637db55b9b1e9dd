"""The JSON of concept sets, of what is weak about them, and of their differences."""

from collections import Counter
from typing import Annotated, Any, Self

from pydantic import BaseModel, Field

from api.schemas.base import FromDomain, Name, Reference
from api.schemas.resources import ResourceOut, TermsIn
from service.concepts.diff import ConceptSetDiff
from service.concepts.lint import Weakness
from service.concepts.parse import MAX_CONCEPTS
from service.concepts.text import MAX_LENGTH
from service.domain.json_values import StoredJson
from service.domain.resources import Resource, ResourceState
from service.usecases.concept_sets import Review

_REMARKS_LISTED = 1_000


class ConceptSetIn(TermsIn):
    """Concepts, listed here or in a file, and a table of their categories where that lies in a file of its own.

    A concept is a plain text, or an object with text, category, broad_category, mammographic, watched, synonyms, codes
    (by vocabulary, as `{"radlex": "RID34261"}`) and names (by language, as `{"de": "Verkalkung"}`).
    """

    name: Name = Field(examples=["my-concepts"])
    concepts: list[str | StoredJson] | None = Field(
        default=None,
        min_length=1,
        max_length=MAX_CONCEPTS,
        examples=[["spiculated mass", {"text": "skin thickening", "category": "associated features"}]],
    )
    path: str | None = Field(
        default=None,
        description="Instead of concepts: absolute path or file:// URI of a .txt, .csv, .tsv, .json, .jsonl, .yaml, "
        ".parquet or .xlsx file.",
        examples=["/concepts/concepts.txt"],
    )
    categories: str | None = Field(
        default=None,
        description="Absolute path or file:// URI of a table with the columns text, category and broad_category, or of "
        "a workbook with a sheet for each broad category and a column for each category.",
        examples=["/concepts/categories.xlsx"],
    )
    control: list[Annotated[str, Field(max_length=MAX_LENGTH)]] = Field(
        default_factory=list, max_length=100, description="Broad categories of everyday things in that table."
    )
    dissector: Reference | None = Field(
        default=None,
        description="One whose reading of the texts counts in the remarks. "
        "Where no job has, a worker has it read them.",
    )


class RemarkOut(FromDomain):
    """A weakness of one concept, or of several together, and the words or characters that it rests on."""

    weakness: Weakness
    concepts: list[str]
    because: list[str]
    detail: str


class ConceptSetOut(ResourceOut):
    """A concept set, and what is weak about it. Remarks are not errors; the first 1,000 are listed, all are counted.

    `dissector_note` says how the dissector that was named has read the texts, or why it has not; `state` is `checking`
    until it has, `ready` then, `refused` where it cannot, and null where none was named.
    """

    remarks: list[RemarkOut]
    remarks_by_weakness: dict[str, int]
    dissector_note: str | None = None
    state: ResourceState | None = None

    @classmethod
    def reviewed(cls, resource: Resource, review: Review, *, brief: bool = False) -> Self:
        """The concept set on the wire. brief: its concepts are counted, not listed."""
        counts = Counter(remark.weakness for remark in review.remarks)
        return cls(
            **ResourceOut.of(resource, brief=brief).model_dump(),
            remarks=[RemarkOut.model_validate(remark) for remark in review.remarks[:_REMARKS_LISTED]],
            remarks_by_weakness=dict(counts),
            dissector_note=review.dissector_note,
            state=review.state,
        )


class ChangeOut(FromDomain):
    """A field of a concept of both sets that differs."""

    text: str
    field: str
    before: Any
    after: Any


class RenamingOut(FromDomain):
    """A concept that went and one that came, which may be the same: by a synonym, or by a way of spelling."""

    before: str
    after: str
    alike: str


class ConceptSetDiffOut(BaseModel):
    """What happened from one concept set to another. What may be renamed is in `added` and `removed`, too."""

    before: str
    after: str
    added: list[str]
    removed: list[str]
    renamed: list[RenamingOut]
    changed: list[ChangeOut]
    moved: int = Field(description="Concepts of both that have another place among these.")
    same: int = Field(description="Concepts of both that are equal in every field.")

    @classmethod
    def of(cls, before: Resource, after: Resource, diff: ConceptSetDiff) -> Self:
        """The differences on the wire."""
        return cls(
            before=before.reference,
            after=after.reference,
            added=list(diff.added),
            removed=list(diff.removed),
            renamed=[RenamingOut.model_validate(renaming) for renaming in diff.renamed],
            changed=[ChangeOut.model_validate(change) for change in diff.changed],
            moved=diff.moved,
            same=diff.same,
        )
