"""Registering a published data set by its layout, with another root and with pseudonyms."""

from pathlib import Path
from typing import Any

import pytest
from fastapi.testclient import TestClient
from sqlalchemy import text

from service.db.resources import find_resource
from service.db.session import Sessions, transaction
from service.domain.probes import ProbeSet
from service.domain.resources import ResourceKind
from service.files import DataRoots
from service.layouts.pseudonyms import Pseudonyms
from service.usecases.manifests import ManifestSource
from service.usecases.probe_sets import probe_set_of
from tests.api.test_problems import problem
from tests.layouts.data_sets import write_images, write_table

KEY = b"a key of the tests"
HEADER = [
    "study_id",
    "image_id",
    "laterality",
    "view_position",
    "breast_birads",
    "breast_density",
    "finding_categories",
]


@pytest.fixture
def data_set(data_root: Path) -> Path:
    folder = data_root / "vindr"
    write_table(
        folder / "finding_annotations.csv",
        [
            HEADER,
            ["s1", "i1", "L", "CC", "BI-RADS 4", "DENSITY C", "['Mass']"],
            ["s1", "i2", "R", "CC", "BI-RADS 1", "DENSITY C", "['No Finding']"],
        ],
    )
    write_images(data_root / "films", "s1/i1.dicom", "s1/i2.dicom")
    (data_root / "key").write_bytes(KEY)
    return folder


def test_a_layout_is_read_again_as_it_was_registered(client: TestClient, sessions: Sessions, data_set: Path) -> None:
    root = data_set.parent
    body = {
        "name": "vindr",
        "manifest": str(data_set),
        "layout": "vindr",
        "root": str(root / "films"),
        "pseudonymise": {"key_file": str(root / "key")},
    }

    answer = client.post("/probe-sets", json=body)

    assert answer.status_code == 201, answer.text
    spec = client.get("/probe-sets/vindr").json()["spec"]
    map_of_layout = spec.pop("findings_map")
    assert ["Mass", ["mass"]] in map_of_layout["entries"]
    assert spec.pop("findings")["images"] == [["Mass", 1]]
    assert spec.pop("independence")["units"] == 1
    assert spec == {
        "manifest": str(data_set),
        "layout": "vindr",
        "root": str(root / "films"),
        "pseudonymise": {"key_file": str(root / "key")},
        "patches": None,
        "on_unreadable": "fail",
        "images": 2,
        "merged_rows": 0,
        "table_notes": [
            "Read as the layout vindr.",
            "Read finding_annotations.csv.",
            "Patients, exams and images have pseudonyms in place of their ids.",
        ],
    }
    with transaction(sessions) as session:
        registered = find_resource(session, ResourceKind.PROBE_SET, "vindr", None)
        assert registered is not None
        first, second = probe_set_of(session, registered, DataRoots.of([root])).items

    assert (first.path, first.findings) == (root / "films/s1/i1.dicom", frozenset({"Mass"}))
    assert second.findings == frozenset()
    assert (first.image_id, first.exam_id) == (
        Pseudonyms(KEY).of("image_id", "i1"),
        Pseudonyms(KEY).of("exam_id", "s1"),
    )
    assert dict(first.strata) == {"density": "C", "birads": "4"}
    assert client.post("/probe-sets", json=body).status_code == 200


def test_a_manifest_of_ones_own_has_another_root_and_pseudonyms(client: TestClient, data_set: Path) -> None:
    root = data_set.parent
    regions = '"[{""finding"": ""mass"", ""mask"": ""/old/place/s1/i2.dicom""}]"'
    (root / "own.csv").write_text(f"image,patient_id,MRN,regions\n/old/place/s1/i1.dicom,7,99,{regions}\n")
    body = {"name": "own", "manifest": str(root / "own.csv"), "root": str(root / "films")}

    plain = client.post("/probe-sets", json=body).json()
    with_key = client.post("/probe-sets", json=body | {"pseudonymise": {"key_file": str(root / "key")}}).json()

    assert plain["spec"]["root"] == str(root / "films")
    assert plain["digest"] != with_key["digest"]
    assert with_key["spec"]["table_notes"][-1] == "Columns that tell who somebody is were left out: MRN."


def test_an_image_that_is_not_below_the_root_is_told_of(client: TestClient, data_set: Path) -> None:
    root = data_set.parent
    write_images(root, "elsewhere/i3.png")
    (root / "own.csv").write_text(f"image\n/old/place/s1/i1.dicom\n{root}/elsewhere/i3.png\n")

    body = {"name": "own", "manifest": str(root / "own.csv"), "root": str(root / "films")}
    spec = client.post("/probe-sets", json=body).json()["spec"]

    assert spec["table_notes"] == [
        "1 row(s) name an image that is not below the root, and is read from where they say."
    ]


def test_a_title_above_the_header_is_noticed_with_another_root_too(client: TestClient, data_set: Path) -> None:
    (data_set.parent / "own.csv").write_text("my films,of 2020\nimage,site\ns1/i1.dicom,x\n")
    body = {"name": "own", "manifest": str(data_set.parent / "own.csv"), "root": str(data_set.parent / "films")}

    assert "the header stands above it" in problem(client.post("/probe-sets", json=body), 422)["detail"]


def test_a_manifest_is_read_while_no_transaction_is_open(
    client: TestClient, sessions: Sessions, data_set: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    idle = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND state = 'idle in transaction'"
    open_transactions = []

    def read(source: ManifestSource, **options: Any) -> ProbeSet:
        with transaction(sessions) as session:
            open_transactions.append(session.execute(text(idle)).scalar_one())
        return read_source(source, **options)

    read_source = ManifestSource.read
    monkeypatch.setattr(ManifestSource, "read", read)
    body = {"name": "vindr", "manifest": str(data_set), "layout": "vindr", "root": str(data_set.parent / "films")}

    answer = client.post("/probe-sets", json=body | {"concept_set": "bi-rads"})

    assert answer.status_code == 201, answer.text
    assert open_transactions == [0]


def test_nothing_changes_for_who_names_none_of_it(client: TestClient, data_set: Path) -> None:
    (data_set.parent / "own.csv").write_text("image\nfilms/s1/i1.dicom\n")
    body = {"name": "own", "manifest": str(data_set.parent / "own.csv")}

    plain = client.post("/probe-sets", json=body).json()
    again = client.post("/probe-sets", json=body | {"layout": None, "root": None, "pseudonymise": False})

    assert (again.status_code, again.json()["digest"]) == (200, plain["digest"])
    assert set(plain["spec"]) == {"manifest", "patches", "on_unreadable", "images", "merged_rows", "independence"}


def test_what_only_headers_say_is_registered_for_a_worker_to_read(client: TestClient, data_set: Path) -> None:
    key = {"key_file": str(data_set.parent / "key")}
    body = {"name": "films", "manifest": str(data_set.parent / "films"), "layout": "dicom-folder", "pseudonymise": key}

    answer = client.post("/probe-sets", json=body)

    assert answer.status_code == 201, answer.text
    read = client.get("/probe-sets/films").json()
    assert (read["state"], read["problem"], read["check"]) == ("checking", None, None)
    assert (read["spec"]["images"], read["spec"]["listing"]) == (None, None)
    (listed,) = client.get("/probe-sets").json()["items"]
    assert listed["state"] == "checking"
    for call in ("/probe-sets/films/check", "/probe-sets/films/report"):
        assert problem(client.get(call), 409)["type"].endswith(":not-listed")
    assert client.post("/probe-sets/films/check").status_code == 202
    assert client.post("/probe-sets/films/measure").status_code == 202
    assert client.get("/probe-sets/films?concept_set=bi-rads").json()["findings"] is None
    assert client.post("/probe-sets", json=body).status_code == 200


@pytest.mark.parametrize(
    ("changes", "field", "said"),
    [
        ({"layout": "ddsm"}, "layout", "no layout 'ddsm'"),
        ({"layout": "dicom-folder"}, "pseudonymise", "mammodissect manifest --from dicom-folder"),
        ({"layout": "csaw-cc"}, "manifest", "use the layout vindr"),
        ({"layout": None}, "manifest", "The manifest is a folder"),
        ({"root": "/nowhere"}, "root", "outside the data roots"),
        ({"root": "films"}, "root", "absolute path"),
        ({"root": None}, "root", "row(s) 1, 2 of finding_annotations.csv"),
        ({"pseudonymise": True}, "pseudonymise", "key_file"),
        ({"pseudonymise": {"key_file": "/etc/passwd"}}, "pseudonymise.key_file", "outside the data roots"),
        ({"pseudonymise": {}}, "pseudonymise", "key_file"),
    ],
)
def test_what_cannot_be_read_is_refused_and_nothing_registered(
    client: TestClient, data_set: Path, changes: dict[str, object], field: str, said: str
) -> None:
    body = {"name": "vindr", "manifest": str(data_set), "layout": "vindr", "root": str(data_set.parent / "films")}

    answer = problem(client.post("/probe-sets", json=body | changes), 422)

    assert answer["field"].startswith(field)
    assert said in f"{answer['detail']} {answer['remedy']} {answer['field']}"
    assert client.get("/probe-sets").json()["items"] == []
