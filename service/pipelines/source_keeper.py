"""The host's part in fetching: have a model's source in the cache before its item is computed, and hold it there."""

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from service.config import Settings
from service.db.session import Sessions, transaction
from service.domain.jobs import Stage
from service.domain.resources import ResourceKind
from service.domain.specs import ModelSpec, model_spec
from service.domain.work import CHECK_STAGES, AnyLease, Preparation
from service.errors import DissectError, ProblemFields
from service.files import out_of_reach
from service.pipelines import messages
from service.pipelines.leased_model import resource_of
from service.sources.cache import SourceCache, open_cache
from service.sources.uris import is_remote

Ask = Callable[[], messages.Answer]
_WITHOUT_TARGET = {
    Stage.SCORE,
    Preparation.LIST,
    Preparation.READ,
    Preparation.EMBED,
    Preparation.MEASURE,
    *CHECK_STAGES,
}

_GONE: ProblemFields = {
    "code": "unavailable",
    "title": "Unavailable",
    "detail": "A fetched file was removed before it could be opened.",
    "remedy": "Raise SOURCE_CACHE_GB, where many models are in use.",
}


class SourceKeeper:
    """Holds the fetched files that the worker's computation opens."""

    def __init__(self, sessions: Sessions, settings: Settings) -> None:
        self._sessions = sessions
        self._settings = settings
        self._cache: SourceCache | None = None

    @contextmanager
    def at_hand(self, lease: AnyLease, fetch: Ask) -> Iterator[messages.Answer | None]:
        """Have what the item opens at hand while the block lasts.

        Gives an answer where there is nothing more to compute: what was fetched was all that the item wants, or it
        could not be fetched. fetch: has the fetching process fetch it.
        """
        if lease.stage is Preparation.FETCH:
            yield fetch()
            return

        source = None if lease.stage in _WITHOUT_TARGET else self._source(lease)
        if source is None:
            yield None
            return

        try:
            cache = self._opened_cache()
        except DissectError as error:  # a setting of this worker is wrong, not the item
            yield messages.Failed(error.as_problem(), lasting=False)
            return

        sha256 = str(source["sha256"])
        with _held(cache, sha256) as at_hand:
            if at_hand is not None:
                yield at_hand if isinstance(at_hand, messages.Failed) else None
                return

        answer = fetch()
        if isinstance(answer, messages.Failed):
            yield answer
            return
        with _held(cache, sha256) as at_hand:
            if at_hand is None:
                yield messages.Failed(_GONE, lasting=False)
            else:
                yield at_hand if isinstance(at_hand, messages.Failed) else None

    def _opened_cache(self) -> SourceCache:
        if self._cache is None:
            self._cache = open_cache(self._settings)
        return self._cache

    def _source(self, lease: AnyLease) -> ModelSpec | None:
        with transaction(self._sessions) as session:
            resource = resource_of(session, lease)

        if resource.kind is not ResourceKind.MODEL:
            return None
        spec = model_spec(resource)
        return spec if is_remote(spec["checkpoint"]) else None


@contextmanager
def _held(cache: SourceCache, sha256: str) -> Iterator[Path | messages.Failed | None]:
    """The file while it is held, or None; where the disk or the machine fails, what becomes of the item."""
    with ExitStack() as holding:
        at_hand: Path | messages.Failed | None
        try:
            at_hand = holding.enter_context(cache.held(sha256))
        except OSError as error:
            problem = out_of_reach("fetched file", error, field="checkpoint", value=sha256).as_problem()
            at_hand = messages.Failed(problem, lasting=False)
        yield at_hand
