"""Find models, jobs, concepts, categories and neurons by name: what one search box asks."""

from collections.abc import Mapping, Sequence
from urllib.parse import quote

from sqlalchemy.orm import Session

from service.db import named_things as queries
from service.domain.resources import ResourceKind
from service.domain.search import NamedThing
from service.errors import Conflict, InvalidInput, NotFound
from service.usecases.jobs import choose_job
from service.usecases.neurons import find_neuron
from service.usecases.resources import list_resources
from service.usecases.search import parse_neuron


def find_named(session: Session, words: str, *, limit: int) -> Mapping[str, Sequence[NamedThing]]:
    """What has the words in its name, in whatever letters: at most so many of each kind, by kind.

    Raises InvalidInput for nothing but blanks.
    """
    wanted = " ".join(words.lower().split())
    if not wanted:
        raise InvalidInput("q holds nothing but blanks.", field="q", value=words, remedy="Give some of a name.")

    list_resources(session, ResourceKind.CONCEPT_SET, limit=1, after=None)  # which registers the built-in ones
    return {
        "models": [
            NamedThing("model", reference, architecture, f"/models/{quote(reference)}")
            for reference, architecture in queries.find_models(session, wanted, limit)
        ],
        "jobs": [
            NamedThing("job", str(job.id), f"{job.target}, {job.status}", f"/jobs/{job.id}")
            for job in queries.find_jobs(session, wanted, limit)
        ],
        "concepts": [
            NamedThing("concept", concept, concept_set, f"/search/neurons?concept={quote(concept, safe='')}")
            for concept, concept_set in queries.find_concepts(session, wanted, limit)
        ],
        "categories": [
            NamedThing("category", category, concept_set, f"/concept-sets/{quote(concept_set)}")
            for category, concept_set in queries.find_categories(session, wanted, limit)
        ],
        "neurons": _neuron(session, words.strip()),
    }


def _neuron(session: Session, named: str) -> list[NamedThing]:
    """The neuron that JOB/LAYER/UNIT names, if it names one."""
    try:
        place = parse_neuron(named)
        labelled = find_neuron(session, choose_job(session, job_id=place.job_id, model=None), place.layer, place.unit)
    except (InvalidInput, NotFound, Conflict):
        return []
    link = f"/neurons/{quote(place.layer, safe='')}/{place.unit}?job={place.job_id}"
    top = labelled.neuron.concepts[0].text if labelled.neuron.concepts else "dead"
    return [NamedThing("neuron", named, top, link)]
