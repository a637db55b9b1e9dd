"""What the four kinds of registered things share: listing, showing, waiting until workers have opened one."""

import time

from cli.client import Answer, ServiceClient, ServiceError, path_of
from cli.nouns.answers import Answers

_POLL_S = 0.5


def register(client: ServiceClient, answers: Answers, path: str, body: Answer, *, wait: bool = False) -> None:
    """Register a thing and show it. Raises ServiceError where a worker cannot open what was waited for."""
    # The same content again is the same version, so a lost answer does no harm.
    registered = client.post(path, body, repeatable=True)
    if wait:
        registered = opened(client, path, registered)
    answers.show(registered)
    answers.say(f"{registered['reference']} is registered.")


def opened(client: ServiceClient, path: str, registered: Answer) -> Answer:
    """The thing once workers have looked at it. Raises ServiceError where they refused it."""
    while registered["state"] == "checking":
        time.sleep(_POLL_S)
        registered = client.get(path + path_of(registered["reference"]))

    if registered["state"] == "refused":
        problem = registered.get("problem") or {"detail": f"{registered['reference']} was refused."}
        raise ServiceError(problem["detail"], field="name", value=registered["reference"], remedy=problem.get("remedy"))
    return registered
