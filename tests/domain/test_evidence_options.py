"""An error level is part of what was asked for only where somebody asked, and of no layer's key."""

import pytest

from service.db.jobs import request_as_json, request_from_json
from service.domain.evidence import EvidenceOptions
from service.domain.jobs import DissectionOptions, JobRequest

ASKED = EvidenceOptions(100, 10, 2, error_level=0.05)
NOT_ASKED = EvidenceOptions(100, 10, 2)


def test_options_without_an_error_level_are_stored_as_before_there_was_any() -> None:
    assert NOT_ASKED.as_dict() == {"draws": 100, "resamples": 10, "halves": 2}
    assert (NOT_ASKED.allowed_error, ASKED.allowed_error) == (0.1, 0.05)


def test_what_is_drawn_does_not_hang_on_the_error_level() -> None:
    assert ASKED.as_dict()["error_level"] == 0.05
    assert ASKED.drawn() == NOT_ASKED.as_dict()


@pytest.mark.parametrize("evidence", [ASKED, NOT_ASKED])
def test_a_job_keeps_what_it_asked_for(evidence: EvidenceOptions) -> None:
    options = DissectionOptions(("blocks.0",), evidence=evidence)
    request = JobRequest("target", "dissector", "probes", "concepts", options)
    stored = request_as_json(request)
    assert ("error_level" in stored["evidence"]) is (evidence is ASKED)
    assert request_from_json(stored) == request
