"""The form of a new job: what was filled in, the request that it amounts to, and the same request by other means."""

import json
import shlex
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Literal, Self, cast

from pydantic import ValidationError
from pydantic_core import ErrorDetails

from api.pages.forms import Form
from api.request_errors import wrong_fields
from api.schemas.jobs import JobIn
from service.domain.json_values import StoredJson
from service.errors import DissectError

Which = Literal["stages", "all", "names"]
WHICH: Mapping[Which, str] = {
    "stages": "the ends of the network's stages",
    "all": "all blocks of the network",
    "names": "those that are ticked or written below",
}

FORM_FIELDS = {
    "target": "model",
    "dissector": "dissector",
    "probe_set": "probe_set",
    "concept_set": "concept_set",
    "layers": "layers",
    "method": "similarity",
    "method.similarity": "similarity",
    "method.pooling": "pooling",
    "method.top_k": "top_k",
    "evidence.draws": "draws",
    "evidence.error_level": "error_level",
    "localisation": "localise",
    "purpose": "purpose",
    "override_purpose": "override_reason",
    "override_purpose.reason": "override_reason",
    "priority": "priority",
}
"""Where the form asks for what the API calls by another name."""

_OPTIONS = {
    "target": "--target",
    "dissector": "--dissector",
    "probe_set": "--probe-set",
    "concept_set": "--concept-set",
    "similarity": "--similarity",
    "pooling": "--pooling",
    "top_k": "--top-k",
    "draws": "--draws",
    "error_level": "--error-level",
    "purpose": "--purpose",
    "priority": "--priority",
}


class WrongForm(Exception):
    """Fields of the form are wrong; errors: the sentences by field."""

    def __init__(self, errors: Mapping[str, str]) -> None:
        super().__init__("; ".join(errors.values()))
        self.errors = errors


@dataclass(frozen=True, slots=True)
class JobForm:
    """What somebody has filled in, as text."""

    model: str
    dissector: str
    probe_set: str
    concept_set: str

    which: str
    """Which layers are meant: see WHICH."""
    layers: tuple[str, ...]
    """Those that are ticked."""
    patterns: str
    """Names and patterns, with commas or blanks between them."""

    similarity: str
    pooling: str
    top_k: str
    draws: str
    error_level: str
    localise: bool
    purpose: str
    override_reason: str
    priority: str

    @classmethod
    def of(cls, form: Form) -> Self:
        """The form as it was sent."""
        layers = tuple(dict.fromkeys(form.texts("layers")))
        patterns = form.text("patterns")
        which = form.text("which") or ("names" if layers or patterns else "stages")
        return cls(
            model=form.text("model"),
            dissector=form.text("dissector"),
            probe_set=form.text("probe_set"),
            concept_set=form.text("concept_set"),
            which=which,
            layers=layers,
            patterns=patterns,
            similarity=form.text("similarity"),
            pooling=form.text("pooling"),
            top_k=form.text("top_k"),
            draws=form.text("draws"),
            error_level=form.text("error_level"),
            localise=form.has("localise"),
            purpose=form.text("purpose"),
            override_reason=form.text("override_reason"),
            priority=form.text("priority"),
        )

    def request(self) -> JobIn:
        """The request for that job. Raises WrongForm for fields that cannot be."""
        given = self._given()
        try:
            return JobIn.model_validate(given)
        except ValidationError as error:
            placed = [{**found, "loc": ("body", *found["loc"])} for found in error.errors(include_url=False)]
            listed, _ = wrong_fields(cast("list[ErrorDetails]", placed), given)
            sentences = [(field.field, field.detail, field.remedy) for field in listed]

        raise WrongForm(_by_form_field(sentences))

    def hidden_fields(self) -> list[tuple[str, str]]:
        """All of it as pairs of field and value, for the form that sends it."""
        names = ("model", "dissector", "probe_set", "concept_set", "which", "patterns", "similarity", "pooling")
        others = ("top_k", "draws", "error_level", "purpose", "override_reason", "priority")
        pairs = [(name, str(getattr(self, name))) for name in (*names, *others)]
        pairs += [("layers", layer) for layer in self.layers]
        return [*pairs, ("localise", "on")] if self.localise else pairs

    def _given(self) -> StoredJson:
        """The request's fields that were filled in; numbers are still text, which pydantic reads."""
        method = _filled(similarity=self.similarity, pooling=self.pooling, top_k=self.top_k)
        evidence = _filled(draws=self.draws, error_level=self.error_level)
        given: StoredJson = _filled(
            target=self.model,
            dissector=self.dissector,
            probe_set=self.probe_set,
            concept_set=self.concept_set,
            purpose=self.purpose,
            priority=self.priority,
        )
        given["layers"] = self._layers()
        if method:
            given["method"] = method
        if evidence:
            given["evidence"] = evidence
        if self.localise:
            given["localisation"] = {}
        if self.override_reason:
            given["override_purpose"] = {"reason": self.override_reason}
        return given

    def _layers(self) -> str | list[str]:
        if self.which != "names":
            return self.which
        return [*self.layers, *self.patterns.replace(",", " ").split()]


def wrong_of(error: DissectError) -> dict[str, str]:
    """The sentence of an error, by the field of the form that it is about."""
    return _by_form_field([(error.field or "", error.detail, error.remedy or "")])


def as_curl(job: JobIn, address: str) -> str:
    """The same request as a call of curl."""
    document = json.dumps(_document(job), indent=1)
    return (
        f'curl -X POST {shlex.quote(address + "/jobs")} -H "Authorization: Bearer $(cat API_KEY_FILE)" \\\n'
        f"  -H 'Content-Type: application/json' -d {shlex.quote(document)}"
    )


def as_command(job: JobIn) -> str:
    """The same request as a command."""
    words = ["mammodissect", "jobs", "submit", "--wait"]
    words += ["--layers", job.layers if isinstance(job.layers, str) else ",".join(job.layers)]

    flat: StoredJson = {}
    for part in (job, job.method, job.evidence):
        flat |= part.model_dump(mode="json", exclude_unset=True)
    for field, option in _OPTIONS.items():
        if field in flat:
            words += [option, str(flat[field])]

    if job.localisation is not None:
        words.append("--localise")
    if job.override_purpose is not None:
        words += ["--override-reason", job.override_purpose.reason]
    return shlex.join(words)


def _document(job: JobIn) -> StoredJson:
    document: StoredJson = job.model_dump(mode="json", exclude_unset=True)
    return document


def _filled(**fields: str) -> StoredJson:
    return {name: value for name, value in fields.items() if value}


def _by_form_field(sentences: Iterable[tuple[str, str, str]]) -> dict[str, str]:
    """Sentences by the field of the form, or by its nearest ancestor's; `form` for what none asks for."""
    errors: dict[str, str] = {}
    for field, detail, remedy in sentences:
        name = field
        while name and name not in FORM_FIELDS:
            name = name.rpartition(".")[0]
        errors.setdefault(FORM_FIELDS.get(name, "form"), f"{detail} {remedy}".strip())
    return errors
