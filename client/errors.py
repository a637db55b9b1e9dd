"""Every error that the client raises on purpose.

ClientError
├── Unreachable      no answer came: the service does not run, or the way to it is broken
├── Away             the service, or a proxy before it, answered that it cannot work at the moment
├── Refused          the service answered with a problem
├── NotTheService    something answered that is not the service
└── StillRunning     what was waited for has not ended within the time
"""


class ClientError(Exception):
    """Base class.

    detail: one sentence on what happened. field: the input that is wrong, in the service's words. value: what was
    given. remedy: what to do about it.
    """

    def __init__(
        self, detail: str, *, field: str | None = None, value: object = None, remedy: str | None = None
    ) -> None:
        self.detail = detail
        super().__init__(detail)
        self.field = field
        self.value = None if value is None else str(value)
        self.remedy = remedy

    def __str__(self) -> str:
        return self.detail if self.remedy is None else f"{self.detail} {self.remedy}"


class Unreachable(ClientError):
    """No answer came. `sent`: whether the request may have reached the service, which may have done what it asks."""

    def __init__(self, detail: str, *, sent: bool, value: object = None, remedy: str | None = None) -> None:
        super().__init__(detail, field="url", value=value, remedy=remedy)
        self.sent = sent


class Away(ClientError):
    """The service, or a proxy before it, answered 502, 503 or 504.

    retry_after_s: how long the answer asks to wait, and None where it does not ask.
    """

    def __init__(self, detail: str, *, status: int, retry_after_s: float | None, remedy: str | None = None) -> None:
        super().__init__(detail, remedy=remedy)
        self.status = status
        self.retry_after_s = retry_after_s


class Refused(ClientError):
    """The service answered with a problem. `code` is the kind of problem, such as `unknown-layer` or `not-found`."""

    def __init__(
        self,
        detail: str,
        *,
        status: int,
        code: str | None = None,
        field: str | None = None,
        value: object = None,
        remedy: str | None = None,
    ) -> None:
        super().__init__(detail, field=field, value=value, remedy=remedy)
        self.status = status
        self.code = code


class NotTheService(ClientError):
    """The answer is none of the service: a login page, perhaps, or another program at that address."""


class StillRunning(ClientError):
    """What was waited for has not ended within the time."""
