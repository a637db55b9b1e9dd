"""A worker's computation in the test's own process: the real runner and its answers, without the process around it."""

from collections.abc import Callable

from service.config import Settings
from service.db.session import Sessions
from service.errors import JobCancelled
from service.pipelines import messages
from service.pipelines.child import answer, encode_checked
from service.pipelines.host import WorkerHost
from service.ports import ItemRunner
from service.storage import open_store
from tests.usecases.factories import RecordingQueue


class InlineChild:
    """See `Computation`."""

    def __init__(self, runner: ItemRunner) -> None:
        self.runner = runner

    def ask(
        self, request: messages.Run, *, on_progress: Callable[[int], None], unwanted: Callable[[], bool]
    ) -> messages.Answer:
        def report_progress(done: int) -> None:
            if unwanted():
                raise JobCancelled("Not wanted any more.")
            on_progress(done)

        message = messages.decode(encode_checked(answer(self.runner, request, report_progress)))
        assert not isinstance(message, messages.ItemProgress)
        return message

    def kill(self) -> None:
        pass


def inline_host(sessions: Sessions, settings: Settings, runner: ItemRunner) -> WorkerHost:
    return WorkerHost(sessions, settings, RecordingQueue(), open_store(settings.artifacts_url), InlineChild(runner))
