"""Jobs with prompts: what they show, what is kept of them, and that a replay gives the same bits."""

from pathlib import Path

import numpy as np
import pytest
import torch

from service.db.session import Sessions, transaction
from service.db.text_embeddings import find_texts
from service.domain.evidence import EvidenceOptions
from service.domain.jobs import JobStatus
from service.domain.methods import Method
from service.domain.models import DissectorSpec
from service.domain.prompts import Prompts, texts_digest
from service.engine.dissectors import open_dissector
from service.engine.prompting import embed_concept_set
from service.errors import Conflict
from service.usecases.comparisons import compare_jobs
from service.usecases.jobs import replay_job
from service.usecases.reports import read_report, write_html
from tests.pipelines.conftest import Run
from tests.pipelines.small_jobs import CONCEPTS, submit
from tests.reports.page import Page
from tests.usecases.factories import RecordingQueue

PROMPTS = Prompts.of(["a mammogram showing {}", "{} in the breast"], synonyms=True, subtract_empty=True)
EVIDENCE = EvidenceOptions(draws=0)


def test_a_job_with_prompts(sessions: Sessions, folder: Path, run: Run) -> None:
    plain = run(submit(sessions, folder, evidence=EVIDENCE))
    prompted = run(submit(sessions, folder, evidence=EVIDENCE, method=Method.of(top_k=4, prompts=PROMPTS)))
    assert prompted.status is JobStatus.SUCCEEDED, prompted.problem
    assert plain.manifest is not None
    assert prompted.manifest is not None
    assert "prompts" not in plain.manifest["method"]
    assert prompted.manifest["method"]["prompts"] == PROMPTS.as_dict()
    assert prompted.manifest["results"] != plain.manifest["results"]

    with transaction(sessions) as session:
        replay = replay_job(session, RecordingQueue(), prompted.id)
    replayed = run(replay)
    assert replayed.manifest is not None
    assert replayed.manifest["replay"] == {"of": str(prompted.id), "identical": True, "differing_layers": []}

    dissector = open_dissector(DissectorSpec(folder / "dissector"), torch.device("cpu"))
    with transaction(sessions) as session:
        page = Page(write_html(session, read_report(session, prompted.id, must_have=None), prompted.id))
        kept = [
            find_texts(session, dissector.digest, texts_digest(CONCEPTS.digest, prompts), ["cpu"])
            for prompts in (None, PROMPTS.as_dict())
        ]
        compare_jobs(session, [prompted.id, replayed.id])
        with pytest.raises(Conflict, match=r"method\.prompts \(none against A concept's text"):
            compare_jobs(session, [plain.id, prompted.id])
    assert PROMPTS.words in page.text
    for texts, prompts in zip(kept, (None, PROMPTS), strict=True):
        assert texts is not None
        assert np.array_equal(texts, embed_concept_set(dissector, CONCEPTS, prompts).numpy())
