"""The end of a dissection: all layers, the manifest and the final status in one transaction."""

from collections.abc import Sequence
from uuid import UUID

import safetensors.numpy
import structlog
from sqlalchemy.exc import IntegrityError, SQLAlchemyError
from sqlalchemy.orm import Session

from service.analysis.conclusions import conclude
from service.analysis.evidence_codec import decode_evidence, encode_evidence
from service.analysis.layer_codec import decode_layer
from service.analysis.layers import summarise_layer
from service.analysis.outlines import with_localisations, with_places, with_regions
from service.db.directions import LayerDirections, add_directions
from service.db.jobs import parts_of
from service.db.neurons import add_layer
from service.db.pictures import add_pictures
from service.db.session import Sessions, expect_pause, transaction
from service.db.text_embeddings import has_texts, keep_texts
from service.domain.concepts import ConceptSet
from service.domain.evidence import JobEvidence, allowed_error_of
from service.domain.manifests import JobManifest
from service.domain.neurons import LayerDissection
from service.domain.probes import ImagePlace
from service.domain.prompts import texts_digest
from service.domain.work import DissectionResult, Lease, StoredLayer
from service.errors import DissectError, LeaseLost
from service.pipelines.picture_codec import decode_pictures
from service.ports import ArtifactStore
from service.usecases.resources import concept_set_of
from service.usecases.strata import compare_strata
from service.usecases.work import complete_job

log = structlog.get_logger()

TEXTS = "texts"
"""The tensor's name in an artifact of the concepts' embeddings."""


def finish_dissection(sessions: Sessions, store: ArtifactStore, lease: Lease, result: DissectionResult) -> None:
    """Store the layers that a store item names: a result is there in whole or not at all.

    The job's row is locked last, so that nobody waits for the neurons. The concepts' embeddings, which belong to no
    job, are kept before. The last job of a request for several strata has them compared. Raises LeaseLost,
    ArtifactLost, Unavailable.
    """
    _keep_texts(sessions, store, result)
    # Outside the transaction: the store may be far away, and slow; and layers are long to decode and to judge.
    layers = [_fetch_layer(store, stored) for stored in result["layers"]]
    with transaction(sessions) as session:
        concept_set = concept_set_of(parts_of(session, lease.job_id).concept_set)
    judged, evidence = _judged(layers, concept_set, result)
    pictures = _fetch_pictures(store, result)
    directions = [_fetch_directions(store, stored) for stored in result.get("directions", [])]

    try:
        with transaction(sessions) as session:
            _add_layers(session, lease.job_id, judged, concept_set)
            for layer_directions in directions:
                dissector = result["manifest"]["dissector"]["digest"]
                add_directions(session, lease.job_id, layer_directions, dissector=dissector)
            add_pictures(session, lease.job_id, pictures)
            manifest: JobManifest = {**result["manifest"], "evidence": encode_evidence(evidence)}
            complete_job(session, lease, manifest, {"layers": result["layers"]})
    except IntegrityError as error:  # another holder of the item was quicker
        raise LeaseLost("Another worker has already stored the job's result.") from error
    log.info("job succeeded")
    _compare_strata(sessions, lease.job_id)


def _compare_strata(sessions: Sessions, job_id: UUID) -> None:
    """The job has succeeded whatever comes of this; POST /comparisons says what kept its strata from being compared."""
    try:
        with transaction(sessions) as session:
            compare_strata(session, job_id)
    except (DissectError, SQLAlchemyError) as error:
        log.warning("strata not compared", exc_info=error)


def _keep_texts(sessions: Sessions, store: ArtifactStore, result: DissectionResult) -> None:
    manifest = result["manifest"]
    stored = result["texts"]
    texts = texts_digest(manifest["concept_set"], manifest["method"].get("prompts"))
    key = (manifest["dissector"]["digest"], texts, manifest["device"])
    with transaction(sessions) as session:
        known = has_texts(session, *key)
    if known:
        return

    path = store.fetch(stored["key"], stored["sha256"])
    embeddings = safetensors.numpy.load_file(path)[TEXTS]
    with transaction(sessions) as session:
        keep_texts(session, *key, embeddings)


def _fetch_layer(store: ArtifactStore, stored: StoredLayer) -> LayerDissection:
    return decode_layer(store.fetch(stored["key"], stored["sha256"]).read_bytes())


def _fetch_directions(store: ArtifactStore, stored: StoredLayer) -> LayerDirections:
    tensors = safetensors.numpy.load_file(store.fetch(stored["key"], stored["sha256"]))
    return LayerDirections(stored["layer"], tensors["directions"], tensors["lengths"])


def _fetch_pictures(store: ArtifactStore, result: DissectionResult) -> dict[ImagePlace, bytes | None]:
    stored = result["pictures"]
    return decode_pictures(store.fetch(stored["key"], stored["sha256"]).read_bytes())


def _judged(
    layers: Sequence[LayerDissection], concept_set: ConceptSet, result: DissectionResult
) -> tuple[Sequence[LayerDissection], JobEvidence | None]:
    judged, evidence = conclude(
        layers,
        decode_evidence(result["manifest"]["evidence"]),
        concept_set,
        allowed_error_of(result["manifest"]["drawn"]),
    )
    outlined = with_places(with_regions(judged, result["regions"]), result.get("places", {}))
    return with_localisations(outlined, result.get("localisations", {})), evidence


def _add_layers(session: Session, job_id: UUID, layers: Sequence[LayerDissection], concept_set: ConceptSet) -> None:
    expect_pause(session)  # layers are long to work through
    for position, layer in enumerate(layers):
        add_layer(
            session,
            job_id,
            position=position,
            summary=summarise_layer(layer, concept_set),
            neurons=layer.neurons,
            concepts=concept_set.concepts,
        )
