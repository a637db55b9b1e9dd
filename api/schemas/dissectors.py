"""The JSON of dissectors and of their prompts."""

from pydantic import Field

from api.schemas.base import Body, Name
from api.schemas.resources import StatedOut, TermsIn
from service.domain.prompts import PLACEHOLDER, Prompts


class PromptsIn(Body):
    """How the names of concepts become the texts that the dissector reads. Their embeddings are averaged."""

    templates: list[str] = Field(
        default=[PLACEHOLDER],
        description="Each with one {} for a concept's name.",
        examples=[["a mammogram showing {}", "{} in the breast"]],
    )
    synonyms: bool = Field(default=False, description="Whether a concept's synonyms count as its text does.")
    subtract_empty: bool = Field(
        default=False, description="Subtract the similarity to the templates without a name (adaptive cosine)."
    )

    def prompts(self, field: str) -> Prompts:
        """The prompts in the domain's words. field: what the caller calls them. Raises InvalidInput."""
        return Prompts.of(self.templates, synonyms=self.synonyms, subtract_empty=self.subtract_empty, field=field)


class DissectorIn(TermsIn):
    """A dissector directory to register."""

    name: Name = Field(examples=["mammo-clip-b5"])
    path: str = Field(description="Absolute path of the directory.", examples=["/dissectors/mammo-clip-b5"])
    prompts: PromptsIn | None = Field(
        default=None, description="The prompts of jobs that give none. They are part of the content."
    )


class DissectorOut(StatedOut):
    """A dissector; `problem` says why a worker refused it, `notes` what one that opened it concluded or decided."""

    problem: dict[str, str] | None = None
    notes: list[str] | None = None
