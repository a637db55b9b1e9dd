"""How an attempt fails."""

from datetime import timedelta

from service.domain.alerts import Failure


class AttemptFailed(Exception):
    """An attempt to deliver failed; caught by the courier, who makes it part of the record."""

    def __init__(
        self, failure: Failure, detail: str, *, status: int | None = None, retry_after: timedelta | None = None
    ) -> None:
        super().__init__(detail)
        self.failure = failure
        self.detail = detail
        self.status = status
        self.retry_after = retry_after
