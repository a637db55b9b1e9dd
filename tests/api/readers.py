"""Readers, each with a key of their own, on one service."""

from typing import Any
from uuid import UUID

from fastapi import FastAPI
from fastapi.testclient import TestClient

KEYS = "anna=first,ben=second,carla=third"
"""What API_KEYS says."""


class Reader:
    """Somebody who reviews neurons."""

    def __init__(self, app: FastAPI, key: str) -> None:
        self.client = TestClient(app, headers={"Authorization": f"Bearer {key}"}, raise_server_exceptions=False)

    def post(self, job: UUID, unit: int, decision: str, *, headers: Any = None, **more: Any) -> Any:
        """The answer to a review."""
        body = {"layer": "blocks.0", "unit": unit, "decision": decision, "reason": "as seen", **more}
        return self.client.post(f"/jobs/{job}/reviews", json=body, headers=headers)

    def review(self, job: UUID, unit: int, decision: str, **more: Any) -> dict[str, Any]:
        """The review, which is new."""
        answer = self.post(job, unit, decision, **more)
        assert answer.status_code == 201, answer.text
        body: dict[str, Any] = answer.json()
        return body

    def get(self, path: str, **params: Any) -> dict[str, Any]:
        """What is there."""
        answer = self.client.get(path, params=params)
        assert answer.status_code == 200, answer.text
        body: dict[str, Any] = answer.json()
        return body

    def listed(self, job: UUID, **params: Any) -> list[tuple[str, int, str]]:
        """Reader, unit and decision of the reviews that they see, newest first."""
        items = self.get(f"/jobs/{job}/reviews", **params)["items"]
        return [(item["reader"], item["unit"], item["decision"]) for item in items]

    def neuron(self, job: UUID, unit: int) -> dict[str, Any]:
        """What they see of a neuron."""
        return self.get(f"/neurons/blocks.0/{unit}", job=str(job))

    def briefs(self, job: UUID) -> dict[int, str | None]:
        """The reviews that they see in the list of neurons, by unit."""
        items = self.get("/neurons/blocks.0", job=str(job), limit=500)["items"]
        return {item["unit"]: item["review"] for item in items}
