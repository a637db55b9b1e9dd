"""A deployed network and its audits, as the pages show them: fixtures for tests of these pages."""

import pytest
from fastapi import FastAPI
from fastapi.testclient import TestClient

from tests.api.test_audits import Dissect, baseline, deployed, dissect, start
from tests.pages.visitor import KEY

__all__ = ["Dissect", "baseline", "client", "deployed", "dissect", "start"]


@pytest.fixture
def client(app: FastAPI) -> TestClient:
    """The API of the same application, for what has to be there before a page is looked at."""
    return TestClient(app, headers={"Authorization": f"Bearer {KEY}"})
