"""`Client`: the whole service behind one object, a noun each."""

from typing import Self

import httpx

from client import models
from client.connection import PATIENCE_S, Connection
from client.nouns import Audits, Comparisons, Deployments, Jobs, Listed, Neurons, Registered, Schedules


class Client:
    """The service at an address. A context manager, which gives its connections back at the end.

    url: address of the service. api_key: the key itself, best read from a file. patience_s: for how long requests that
    fail for a while are repeated. transport: how requests go out, where they do not go as httpx sends them.
    """

    def __init__(
        self,
        url: str,
        api_key: str,
        *,
        patience_s: float = PATIENCE_S,
        transport: httpx.BaseTransport | None = None,
    ) -> None:
        """Raises ValueError for a key that no header carries. Nothing connects yet."""
        self.connection = connection = Connection(url, api_key, patience_s=patience_s, transport=transport)

        self.models: Registered[models.ModelIn, models.StatedOut, models.ModelOut]
        self.models = Registered(connection, "/models")
        self.dissectors: Registered[models.DissectorIn, models.StatedOut, models.DissectorOut]
        self.dissectors = Registered(connection, "/dissectors")
        self.probe_sets: Registered[models.ProbeSetIn, models.StatedOut, models.ProbeSetOut]
        self.probe_sets = Registered(connection, "/probe-sets")
        self.concept_sets: Registered[models.ConceptSetIn, models.ResourceOut, models.ConceptSetOut]
        self.concept_sets = Registered(connection, "/concept-sets")

        self.jobs = Jobs(connection, "/jobs")
        self.neurons = Neurons(connection)
        self.comparisons = Comparisons(connection, "/comparisons")
        self.deployments = Deployments(connection, "/deployments")
        self.audits = Audits(connection, "/audits")
        self.schedules = Schedules(connection, "/schedules")
        self.alerts: Listed[models.AlertBriefOut, models.AlertOut] = Listed(connection, "/alerts")

    def close(self) -> None:
        """Give the connections back."""
        self.connection.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()
