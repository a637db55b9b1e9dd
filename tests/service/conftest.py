"""A session factory on a fresh, migrated database."""

from collections.abc import Iterator

import pytest
from pydantic import SecretStr

from service.db.session import Sessions, open_sessions


@pytest.fixture
def sessions(database_url: str) -> Iterator[Sessions]:
    factory = open_sessions(SecretStr(database_url))
    yield factory
    factory.kw["bind"].dispose()
