"""What the header `Prefer` asks for (RFC 7240)."""

import re
from collections.abc import Iterable

_WAIT = re.compile(r'wait\s*=\s*"?([0-9]{1,9})"?', re.IGNORECASE)


def preferred_wait(values: Iterable[str], longest_s: int) -> int | None:
    """For how many seconds the header's values ask to wait, `longest_s` at most; None where none does.

    The first that does counts, and what is written in another form does not.
    """
    for preference in ",".join(values).split(","):
        wait = _WAIT.fullmatch(preference.partition(";")[0].strip())
        if wait is not None:
            return min(int(wait[1]), longest_s)
    return None
