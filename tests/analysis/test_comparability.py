from dataclasses import replace
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

import pytest

from service.analysis.comparability import check_comparable, on_different_parts
from service.domain.evidence import EvidenceOptions
from service.domain.jobs import DissectionOptions, Job, JobRequest, JobStatus
from service.domain.manifests import JobManifest, ProbeSetEntry
from service.domain.methods import Method
from service.errors import Conflict

MANIFEST: JobManifest = {
    "target": {"architecture": "b2"},
    "dissector": {"digest": "d1"},
    "probe_set": {"digest": "p1", "images": "i1"},
    "concept_set": "c1",
    "seed": 7,
}
NOW = datetime(2026, 1, 1, tzinfo=UTC)
REQUEST = JobRequest("screening@1", "reader@1", "probes@1", "words@1", DissectionOptions(layers=None))
FIRST = Job(UUID(int=1), REQUEST, JobStatus.SUCCEEDED, (), MANIFEST, None, NOW, NOW, NOW)


def other(**changes: Any) -> Job:
    return replace(FIRST, id=UUID(int=2), **changes)


def asking(**options: Any) -> JobRequest:
    return replace(REQUEST, options=replace(REQUEST.options, **options))


def test_networks_names_and_layers_may_differ() -> None:
    request = replace(asking(layers=("a",)), target="other@1", dissector="renamed@3", batch_size=2)
    check_comparable([FIRST, other(request=request, manifest={**MANIFEST, "target": {"architecture": "b5"}})])


@pytest.mark.parametrize(
    ("job", "field", "says"),
    [
        (
            other(manifest={**MANIFEST, "dissector": {"digest": "d2"}}),
            "dissector",
            "(reader@1, digest d1 against reader@1, digest d2)",
        ),
        (
            other(manifest={**MANIFEST, "probe_set": {"digest": "p2", "images": "i1"}}),
            "probe_set",
            "probe_set (probes@1, digest p1 against probes@1, digest p2)",
        ),
        (
            other(manifest={**MANIFEST, "probe_set": {"digest": "p1", "images": "i2"}}),
            "probe_set.images",
            "(i1 against i2)",
        ),
        (other(manifest={**MANIFEST, "concept_set": "c2"}), "concept_set", "digest c1 against words@1, digest c2"),
        (other(manifest={**MANIFEST, "seed": 8}), "seed", "seed (7 against 8)"),
        (other(request=asking(method=Method(top_k=24))), "method.top_k", "method.top_k (100 against 24)"),
        (
            other(request=asking(method=Method(similarity="cosine", pooling="max"))),
            "method.similarity",
            "method.similarity (soft_wpmi against cosine), method.pooling (avg against max)",
        ),
        (other(request=asking(evidence=EvidenceOptions(resamples=50))), "evidence.resamples", "(200 against 50)"),
        (other(request=asking(evidence=EvidenceOptions(halves=0))), "evidence.halves", "(20 against 0)"),
    ],
)
def test_what_differs_is_named_with_both_values(job: Job, field: str, says: str) -> None:
    with pytest.raises(Conflict) as caught:
        check_comparable([FIRST, FIRST, job])
    assert caught.value.field == field
    assert says in caught.value.detail
    assert str(FIRST.id) in caught.value.detail
    assert str(job.id) in caught.value.detail


def test_images_digested_in_other_shards_say_so() -> None:
    images = {"digest": "p1", "images": "i2"}
    sharded = other(request=replace(REQUEST, shard_size=10), manifest={**MANIFEST, "probe_set": images})
    with pytest.raises(Conflict, match="same shard_size"):
        check_comparable([FIRST, sharded])


def test_evidence_drawn_from_other_units_is_not_compared() -> None:
    def drawn(units: int, drawn_by: str) -> Job:
        return other(manifest={**MANIFEST, "evidence": {"units": units, "drawn_by": drawn_by}})

    with pytest.raises(Conflict, match="60 exams against 24 patients") as caught:
        check_comparable([drawn(60, "exam"), drawn(24, "patient")])
    assert caught.value.field == "evidence.units"
    check_comparable([drawn(60, "exam"), drawn(60, "patient")])
    check_comparable([drawn(60, "exam"), other(manifest={**MANIFEST, "evidence": None})])


def test_a_manifest_that_does_not_say_what_made_it_is_refused() -> None:
    with pytest.raises(Conflict, match="does not say its dissector, concept_set") as caught:
        check_comparable([other(manifest={"probe_set": MANIFEST["probe_set"], "seed": 7}), FIRST])
    assert caught.value.field == "dissector"


def on_part(number: int, where: dict[str, list[str]] | None, **changes: Any) -> Job:
    """A dissection on a part of probe set p1, or on all of it."""
    entry: ProbeSetEntry = {"digest": "p1", "images": f"i{number}"}
    if where is not None:
        entry = {"digest": f"p1/{number}", "images": f"i{number}", "whole": "p1", "where": where}
    units: Any = {"units": 10 + number, "drawn_by": "exam"}
    manifest = MANIFEST | JobManifest(probe_set=entry, evidence=units)
    return replace(FIRST, id=UUID(int=number), manifest=manifest, **changes)


DENSE, FATTY = {"density": ["C", "D"]}, {"density": ["A", "B"]}


@pytest.mark.parametrize(("first", "second"), [(DENSE, FATTY), (DENSE, None), (None, FATTY)])
def test_different_parts_of_one_probe_set_may_be_compared(
    first: dict[str, list[str]] | None, second: dict[str, list[str]] | None
) -> None:
    jobs = [on_part(1, first), on_part(2, second)]
    check_comparable(jobs)
    assert on_different_parts(jobs)


def test_the_same_part_is_compared_as_a_whole_probe_set_is() -> None:
    jobs = [on_part(1, DENSE), on_part(1, DENSE)]
    check_comparable(jobs)
    assert not on_different_parts(jobs)


def test_parts_of_different_probe_sets_are_not_comparable() -> None:
    stranger = on_part(2, FATTY)
    stranger = replace(stranger, manifest={**MANIFEST, "probe_set": {"digest": "p2/2", "images": "i", "whole": "p2"}})
    with pytest.raises(Conflict, match="probe_set"):
        check_comparable([on_part(1, DENSE), stranger])


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"request": asking(method=Method(top_k=24))}, "method.top_k"),
        ({"request": asking(evidence=EvidenceOptions(halves=0))}, "evidence.halves"),
    ],
)
def test_all_but_the_part_must_be_the_same(changes: dict[str, Any], field: str) -> None:
    with pytest.raises(Conflict) as caught:
        check_comparable([on_part(1, DENSE), on_part(2, FATTY, **changes)])
    assert caught.value.field == field
