"""What readers say of a neuron at its page, and the form in which one more says it."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Self
from uuid import UUID

from sqlalchemy.orm import Session

from api.pages import addresses
from api.pages.checked import checked
from api.pages.forms import Form
from api.schemas.reviews import ReviewIn
from service.domain.neurons import LabelledNeuron
from service.domain.reviews import MOST_NAME, MOST_REASON, Decision, Review, ReviewedNeuron
from service.errors import DissectError, InvalidInput
from service.usecases import reviews
from service.usecases.evidence import concept_set_of_job
from service.usecases.reviews import ReviewSubmission

DECISIONS = {
    Decision.ACCEPT: "Accept: that is right",
    Decision.REJECT: "Reject: that is wrong, and I have no better name",
    Decision.RENAME: "Rename: the images show something else, named below",
    Decision.COMMENT: "Comment: I judge nothing yet",
}
"""Each decision as the form says it."""

_MOST_OFFERED = 1_000
"""Of a larger concept set only so many are offered; any of its concepts may be typed."""

_FIELDS = ("decision", "name", "reason")
_WHOLE_FORM = "form"


@dataclass(frozen=True, slots=True)
class ReviewForm:
    """A review as it is filled in."""

    decision: str = ""
    name: str = ""
    reason: str = ""

    version: str = "0"
    """Of the reader's review that this one replaces: the one that the page showed them."""

    wrong: Mapping[str, str] = field(default_factory=dict)
    """What is wrong, by field; under `form` what is about none of them."""

    @classmethod
    def sent(cls, form: Form) -> Self:
        """The form as somebody has sent it."""
        reason = form.text("reason").replace("\r\n", "\n")  # browsers send a line's end as two characters
        return cls(form.text("decision"), form.text("name"), reason, form.text("version"))

    @classmethod
    def showing(cls, review: Review | None) -> Self:
        """A form that holds the reader's current review; an empty one where they have none."""
        if review is None:
            return cls()
        judgement = review.judgement
        return cls(str(judgement.decision), judgement.name or "", review.reason, str(review.version))

    def submission(self, layer: str, unit: int) -> ReviewSubmission:
        """The review as the use case takes it. Raises InvalidInput for a field that the API would refuse."""
        if self.decision not in list(Decision):
            raise InvalidInput(
                "Nothing is decided.",
                field="decision",
                value=self.decision,
                remedy=f"Choose one of {', '.join(Decision)}.",
            )
        if not self.reason:
            raise InvalidInput("A review needs its reason.", field="reason", remedy="Say in a few words why.")
        fields = {
            "layer": layer,
            "unit": unit,
            "decision": self.decision,
            "name": self.name or None,
            "reason": self.reason,
            "version": self.version or None,
        }
        body = checked(ReviewIn, fields)
        return body.submission(body.version)

    def refused(self, error: DissectError, current: Review | None) -> Self:
        """The form with what was typed, and what is wrong with it. current: the reader's review, as it is now."""
        if error.field == "version":
            version = "0" if current is None else str(current.version)
            return replace(self, version=version, wrong={_WHOLE_FORM: _overtaken(error, current)})

        name = error.field if error.field in _FIELDS else _WHOLE_FORM
        return replace(self, wrong={name: f"{error.detail} {error.remedy or ''}".strip()})


@dataclass(frozen=True, slots=True)
class ReviewBlock:
    """What the page of a neuron shows of reviews."""

    own: Review | None
    others: tuple[Review, ...]
    together: ReviewedNeuron

    form: ReviewForm | None
    """None for a dead neuron, which has no label to review."""

    action: str
    """Where the form goes."""

    concepts: tuple[str, ...]
    """What a neuron may be renamed to, among other words."""

    follows: str | None
    """The page after the review; None to stay at the neuron."""

    decisions: Mapping[Decision, str]
    most_name: int
    most_reason: int

    @property
    def skip(self) -> str | None:
        """The next of the work list without a review; None where the reader goes through none."""
        if self.follows is None:
            return None
        return f"{self.follows}{'&' if '?' in self.follows else '?'}skip=1"

    @property
    def has_judged(self) -> bool:
        """Whether the reader's current review judges the neuron, so that others' are shown."""
        return self.own is not None and self.own.judgement.stance is not None


def review_block(
    session: Session,
    job_id: UUID,
    labelled: LabelledNeuron,
    *,
    caller: str,
    follows: str | None,
    form: ReviewForm | None,
) -> ReviewBlock:
    """What a reader may see of the reviews of a neuron, and their form: `form`, or else what they have said."""
    layer, neuron = labelled.layer, labelled.neuron
    said = reviews.reviews_of(session, job_id, layer, neuron.unit, caller=caller)
    return ReviewBlock(
        own=said.own,
        others=said.others,
        together=said.of_neuron(layer, neuron.unit, neuron.measured_name),
        form=None if neuron.dead else form or ReviewForm.showing(said.own),
        action=addresses.review_of_neuron(job_id, layer, neuron.unit),
        concepts=() if neuron.dead else tuple(concept_set_of_job(session, job_id).texts[:_MOST_OFFERED]),
        follows=follows,
        decisions=DECISIONS,
        most_name=MOST_NAME,
        most_reason=MOST_REASON,
    )


def next_after_review(job_id: UUID, asked: str) -> str | None:
    """The page after a review, where it is one of the job's work lists; None for any other address."""
    path = asked.partition("?")[0]
    is_printable = asked.isascii() and asked.isprintable() and "\\" not in asked and " " not in asked
    lists = {addresses.reviews(job_id), addresses.next_review(job_id)}
    return asked if is_printable and path in lists else None


def _overtaken(error: DissectError, current: Review | None) -> str:
    """What a reader is told whose review another window has replaced."""
    if current is None:
        return f"{error.detail} Send the form again to give a first one."
    return f"{error.detail} What you typed is below: send it again to replace version {current.version}."
