"""The prompts of a job: its own, or those that its dissector was registered with."""

from dataclasses import replace

from sqlalchemy.orm import Session

from service.db.jobs import JobParts
from service.db.resources import get_resource
from service.domain.methods import Method
from service.domain.prompts import Prompts, check_texts
from service.domain.specs import dissector_place
from service.usecases.resources import concept_set_of


def with_prompts(session: Session, parts: JobParts, method: Method) -> Method:
    """The method with the prompts that the job will have; None where each concept's text is embedded as it stands.

    Raises InvalidConceptSet where two concepts share a text by them, and InvalidInput where there are too many texts.
    """
    prompts = method.prompts
    registered = dissector_place(parts.dissector).get("prompts")
    if prompts is None and registered is not None:
        prompts = Prompts.from_dict(registered)
    if prompts is None or prompts.are_plain:
        return replace(method, prompts=None)

    check_texts(concept_set_of(get_resource(session, parts.concept_set.id)), prompts)
    return replace(method, prompts=prompts)
