"""The service in Python, over HTTP: `Client`, its errors, and `to_frame` for pandas. See docs/client.md.

It needs httpx and nothing else of this repository. `client.models` has the types of what is sent and answered.
"""

from client.connection import Connection, path_of
from client.errors import Away, ClientError, NotTheService, Refused, StillRunning, Unreachable
from client.events import Event
from client.frames import to_frame
from client.service import Client

__all__ = [
    "Away",
    "Client",
    "ClientError",
    "Connection",
    "Event",
    "NotTheService",
    "Refused",
    "StillRunning",
    "Unreachable",
    "path_of",
    "to_frame",
]
