"""`mammodissect paper`: result files alone, and jobs of a service that answers over a socket."""

import json
from collections.abc import Callable
from pathlib import Path
from uuid import UUID

import pytest

from tests.analysis.published_tables import NETWORKS, Network, concept_set, raw_table
from tests.api.conftest import client, data_root, queue
from tests.api.test_paper import check_golden, jobs
from tests.cli.test_main import Done, mammodissect
from tests.cli.test_report import key, url

__all__ = ["client", "data_root", "jobs", "key", "mammodissect", "queue", "url"]

Run = Callable[..., Done]


@pytest.fixture
def concepts(tmp_path: Path) -> Path:
    """The concept set of the golden tables as a file."""
    path = tmp_path / "invented.json"
    entries = [
        {
            "text": concept.text,
            "category": concept.category,
            "broad_category": concept.broad_category,
            "mammographic": concept.mammographic,
        }
        for concept in concept_set().concepts
    ]
    said = [{name: value for name, value in entry.items() if value is not None} for entry in entries]
    path.write_text(json.dumps(said))
    return path


def test_result_files_need_no_service(concepts: Path, tmp_path: Path, mammodissect: Run) -> None:
    tables = [argument for network in NETWORKS for argument in ("--table", str(raw_table(network)))]
    out = tmp_path / "tables.json"

    done = mammodissect("paper", *tables, "--concept-set", str(concepts), "--out", str(out))

    assert done.status == 0, done.stderr
    check_golden(json.loads(out.read_text()), {f"F_invented_{network}_raw": network for network in NETWORKS})


def test_jobs_are_asked_of_a_service(
    url: str, key: Path, jobs: dict[Network, UUID], tmp_path: Path, mammodissect: Run
) -> None:
    asked = [argument for network in NETWORKS for argument in ("--job", str(jobs[network]))]
    out = tmp_path / "tables.json"

    done = mammodissect("paper", *asked, "--url", url, "--api-key-file", str(key), "--out", str(out))

    assert done.status == 0, done.stderr
    check_golden(json.loads(out.read_text()), {f"{network}@1": network for network in NETWORKS})


@pytest.mark.parametrize(
    ("options", "hint"),
    [
        ([], "Say which tables are meant"),
        (["--job", "1", "--comparison", "2"], "Say which tables are meant"),
        (["--table", "a.csv"], "Nothing says which categories"),
        (["--job", "1", "--categories", "a.xlsx"], "A service reads no table of categories"),
        (["--job", "1", "--control", "Animals"], "A service reads no table of categories"),
        (["--comparison", "1", "--concept-set", "bi-rads"], "has a concept set of its own"),
        (["--job", "1", "--layers"], "only in a .csv file"),
        (["--job", "1", "--out", "tables.txt"], "known format"),
    ],
)
def test_options_that_would_do_nothing_are_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, mammodissect: Run, options: list[str], hint: str
) -> None:
    monkeypatch.chdir(tmp_path)

    done = mammodissect("paper", "--out", "tables.json", *options)

    assert (done.status, len(done.stderr.splitlines())) == (2, 1), done.stderr
    assert hint in done.stderr
    assert not list(tmp_path.glob("tables.*"))
