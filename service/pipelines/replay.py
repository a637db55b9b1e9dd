"""Does a replay give the result of its original, bit by bit?"""

from collections.abc import Mapping
from uuid import UUID

from service.db.session import Sessions, transaction
from service.domain.manifests import ReplayEntry
from service.usecases.jobs import find_job


def compare_with_original(sessions: Sessions, original: UUID, results: Mapping[str, str]) -> ReplayEntry:
    """results: each layer's digest. Returns the original's id, whether all are equal, and the layers that are not."""
    with transaction(sessions) as session:
        manifest = find_job(session, original).manifest or {}

    expected = manifest.get("results", {})
    differing = [layer for layer in {**expected, **results} if expected.get(layer) != results.get(layer)]
    return {"of": str(original), "identical": not differing, "differing_layers": differing}
