"""Delete what nobody needs any more: artifacts, which only save work, and results that are on nobody's record."""

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from itertools import islice

from service.db.artifacts import forget_artifact, recorded_keys, unneeded_artifacts
from service.db.retention import delete_old_results
from service.db.search_vectors import forget_search_vectors
from service.db.session import Sessions, transaction
from service.ports import ArtifactStore

_AT_ONCE = 200


@dataclass(frozen=True, slots=True)
class Collected:
    """How many artifacts were deleted, and how many files that nobody had recorded (their writer was killed)."""

    artifacts: int
    orphans: int


def collect_garbage(sessions: Sessions, store: ArtifactStore, *, older_than: timedelta) -> Collected:
    """Delete artifacts unused for that long that no job may still go on from, and files as old without a record.

    What workers read for searches that long ago goes, too: whoever searches by it again has it read again.

    May run beside workers: a record is locked while its file goes, and a worker that wants it then computes it again.
    Raises Unavailable.
    """
    deleted = 0
    while batch := _delete_unneeded(sessions, store, older_than):
        deleted += batch

    with transaction(sessions) as session:
        forget_search_vectors(session, older_than=older_than)
    store.sweep(older_than)
    return Collected(deleted, _delete_orphans(sessions, store, older_than))


def forget_results(sessions: Sessions, *, older_than: timedelta) -> int:
    """Delete dissections that ended that long ago, unless an audit, deployment, comparison or replay refers to them.

    Returns their number. Raises Unavailable.
    """
    deleted = 0
    while True:
        with transaction(sessions) as session:
            batch = delete_old_results(session, older_than=older_than, limit=_AT_ONCE)
        if not batch:
            return deleted
        deleted += len(batch)


def _delete_unneeded(sessions: Sessions, store: ArtifactStore, older_than: timedelta) -> int:
    with transaction(sessions) as session:
        keys = unneeded_artifacts(session, older_than=older_than, limit=_AT_ONCE)
        for key in keys:
            store.delete(key)
            forget_artifact(session, key)
    return len(keys)


def _delete_orphans(sessions: Sessions, store: ArtifactStore, older_than: timedelta) -> int:
    before = datetime.now(UTC) - older_than
    old_keys = (key for key, written in store.listing() if written < before)
    deleted = 0
    while keys := list(islice(old_keys, _AT_ONCE)):
        with transaction(sessions) as session:
            recorded = recorded_keys(session, keys)

        orphans = [key for key in keys if key not in recorded]
        for key in orphans:
            store.delete(key)
        deleted += len(orphans)
    return deleted
