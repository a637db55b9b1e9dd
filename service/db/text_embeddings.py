"""Queries on the concepts' embeddings, which comparisons need long after the artifacts of a job have been deleted."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from sqlalchemy import exists, select
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.orm import Session

from service.db.text_tables import TextEmbeddingsRow

_STORED = np.dtype("<f4")


def has_texts(session: Session, dissector: str, concept_set: str, device: str) -> bool:
    """Are the embeddings kept? dissector: its digest; concept_set: see `texts_digest`."""
    key = exists().where(
        TextEmbeddingsRow.dissector == dissector,
        TextEmbeddingsRow.concept_set == concept_set,
        TextEmbeddingsRow.device == device,
    )
    return bool(session.scalar(select(key)))


def keep_texts(
    session: Session, dissector: str, concept_set: str, device: str, embeddings: NDArray[np.float32]
) -> None:
    """Keep the embeddings float32 [C, D], unless some are kept."""
    values = {"width": embeddings.shape[1], "data": embeddings.astype(_STORED).tobytes()}
    statement = insert(TextEmbeddingsRow).values(dissector=dissector, concept_set=concept_set, device=device, **values)
    session.execute(statement.on_conflict_do_nothing())


def find_texts_of_any_device(session: Session, dissector: str, concept_set: str) -> NDArray[np.float32] | None:
    """The embeddings float32 [C, D] of the first device, by name, that some are kept of; None without any."""
    devices = (
        select(TextEmbeddingsRow.device)
        .where(TextEmbeddingsRow.dissector == dissector, TextEmbeddingsRow.concept_set == concept_set)
        .order_by(TextEmbeddingsRow.device)
    )
    return find_texts(session, dissector, concept_set, session.scalars(devices).all())


def find_texts(
    session: Session, dissector: str, concept_set: str, devices: Sequence[str]
) -> NDArray[np.float32] | None:
    """The embeddings float32 [C, D], as the first of the devices has them for which some are kept; None without any."""
    for device in dict.fromkeys(devices):
        row = session.get(TextEmbeddingsRow, (dissector, concept_set, device))
        if row is not None:
            return np.frombuffer(row.data, _STORED).reshape(-1, row.width).astype(np.float32, copy=False)
    return None
