"""What a worker's fetching process does: bring the source of an item's model into the cache.

A process of its own, which ends with the fetch: it alone has the credentials of stores and registries, and it opens no
file that others wrote.
"""

from collections.abc import Callable

from service.config import Settings
from service.db.session import Sessions, open_sessions, transaction
from service.domain.json_values import JsonObject
from service.domain.specs import model_spec
from service.domain.work import AnyLease
from service.pipelines.leased_model import resource_of
from service.sources.fetch import Fetcher, open_fetcher


def open_runner(settings: Settings) -> "FetchRunner":
    """The runner. Raises InvalidInput for settings that cannot be used."""
    return FetchRunner(open_sessions(settings.database_url, pool_size=1), open_fetcher(settings))


class FetchRunner:
    """See `ItemRunner`."""

    def __init__(self, sessions: Sessions, fetcher: Fetcher) -> None:
        self._sessions = sessions
        self._fetcher = fetcher

    def run(self, lease: AnyLease, _report_progress: Callable[[int], None], /) -> JsonObject:
        """Fetch the source of the model that the item is of. Raises what `Fetcher.fetch` raises."""
        with transaction(self._sessions) as session:
            model = resource_of(session, lease)

        spec = model_spec(model)
        place = spec["fetched"]["place"] if "fetched" in spec else spec["checkpoint"]
        return self._fetcher.fetch(place, sha256=spec["sha256"])
