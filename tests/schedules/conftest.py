"""A database with a table of audits, and a clock that the tests set."""

import pytest

from service.db.session import Sessions
from tests.schedules.field import Field
from tests.schedules.written_audits import WrittenAudits, make_table


@pytest.fixture
def field(sessions: Sessions) -> Field:
    make_table(sessions)
    return Field(sessions, WrittenAudits())
