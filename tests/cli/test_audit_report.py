"""`mammodissect audit-report` against a service that answers over a socket; `mammodissect verify` without any."""

from collections.abc import Callable
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
from fastapi.testclient import TestClient

from service.reports.audit import audit_json, report_audit
from service.signatures import SigningKey
from tests.api.conftest import client, data_root, queue
from tests.api.test_audit_reports import key, passed
from tests.api.test_audits import baseline, deployed, dissect, start
from tests.cli.test_main import Done, mammodissect
from tests.cli.test_report import key as api_key
from tests.cli.test_report import url
from tests.reports.audit_examples import example_audit, example_parts
from tests.reports.page import Page

__all__ = [
    "api_key",
    "baseline",
    "client",
    "data_root",
    "deployed",
    "dissect",
    "key",
    "mammodissect",
    "passed",
    "queue",
    "url",
]

Run = Callable[..., Done]


@pytest.fixture
def fetch(url: str, tmp_path: Path, mammodissect: Run) -> Run:
    (tmp_path / "api-key").write_text("open sesame\n")

    def run(audit: str, *options: str, output_dir: Path = tmp_path / "out") -> Done:
        where = ("--url", url, "--api-key-file", str(tmp_path / "api-key"), "--output-dir", str(output_dir))
        return mammodissect("audit-report", audit, *where, *options)

    return run


@pytest.fixture
def files(tmp_path: Path) -> tuple[Path, Path, SigningKey]:
    """A signed report with its signature beside it, the public key, and the private one."""
    made = SigningKey.create(tmp_path / "private.pem")
    report, public = tmp_path / "audit.json", tmp_path / "public.pem"
    public.write_text(made.public.pem)
    write(report, audit_json(report_audit(example_audit(), example_parts(), None)), made)
    return report, public, made


def write(path: Path, document: bytes, signing: SigningKey) -> None:
    path.write_bytes(document)
    path.with_suffix(".signature.json").write_bytes(signing.sign(document).as_bytes())


def test_what_is_fetched_can_be_verified(
    fetch: Run, passed: dict[str, Any], key: SigningKey, client: TestClient, tmp_path: Path, mammodissect: Run
) -> None:
    done = fetch(passed["id"])
    assert done.status == 0, done.stderr
    name = f"audit-{passed['id']}"
    names = [f"{name}.html", f"{name}.json", f"{name}.signature.json"]
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == names
    assert Page((tmp_path / "out" / names[0]).read_text()).rows["rules"]
    public = tmp_path / "service-key.pem"
    public.write_text(client.get("/signing-key").json()["public_key"])
    checked = mammodissect("verify", str(tmp_path / "out" / names[1]), "--public-key", str(public))
    assert checked.status == 0, checked.stderr
    assert f"Audit {passed['id']} of east" in checked.stdout
    assert "PASS" in checked.stdout
    assert "Computed again: the same verdict and the same 4 outcomes." in checked.stdout


def test_without_a_signing_key_nothing_is_written_unless_it_may_be_unsigned(
    fetch: Run, passed: dict[str, Any], tmp_path: Path
) -> None:
    done = fetch(passed["id"])
    assert (done.status, len(done.stderr.splitlines())) == (2, 1), done.stderr
    assert "SIGNING_KEY" in done.stderr
    assert list((tmp_path / "out").iterdir()) == []
    assert fetch(passed["id"], "--unsigned").status == 0
    assert {path.suffix for path in (tmp_path / "out").iterdir()} == {".html", ".json"}


def test_what_is_wrong_with_fetching_is_one_line(
    fetch: Run, client: TestClient, deployed: str, key: SigningKey, tmp_path: Path
) -> None:
    running = fetch(start(client)["id"])
    assert (running.status, "is running" in running.stderr) == (2, True)
    unknown = fetch(str(uuid4()))
    assert (unknown.status, "There is no audit" in unknown.stderr) == (2, True)
    (tmp_path / "file").write_text("")
    blocked = fetch(str(uuid4()), output_dir=tmp_path / "file")
    assert (blocked.status, "Check the folder and its permissions" in blocked.stderr) == (2, True)
    assert fetch("no-id").status == 2
    assert not list((tmp_path / "out").iterdir())


def test_a_changed_report_or_signature_is_not_valid(
    files: tuple[Path, Path, SigningKey], tmp_path: Path, mammodissect: Run
) -> None:
    report, public, _ = files
    assert mammodissect("verify", str(report), "--public-key", str(public)).status == 0
    signature = report.with_suffix(".signature.json")
    moved = signature.rename(tmp_path / "elsewhere.json")
    options = ("--public-key", str(public), "--signature", str(moved))
    assert mammodissect("verify", str(report), *options).status == 0
    report.write_bytes(report.read_bytes().replace(b'"fail"', b'"pass"', 1))
    done = mammodissect("verify", str(report), *options)
    assert (done.status, done.stdout) == (1, "")
    assert "not valid: The document was changed" in done.stderr
    moved.write_bytes(moved.read_bytes().replace(b"Ed25519", b"ed25519"))
    assert mammodissect("verify", str(report), *options).status == 1


def test_another_key_is_not_valid(files: tuple[Path, Path, SigningKey], tmp_path: Path, mammodissect: Run) -> None:
    other = tmp_path / "other.pem"
    other.write_text(SigningKey.create(tmp_path / "other-private.pem").public.pem)
    done = mammodissect("verify", str(files[0]), "--public-key", str(other))
    assert done.status == 1
    assert "another key, not with the trusted" in done.stderr


def test_a_signed_verdict_that_does_not_follow_is_not_valid(
    files: tuple[Path, Path, SigningKey], mammodissect: Run
) -> None:
    report, public, signing = files
    write(report, report.read_bytes().replace(b'"verdict": "fail"', b'"verdict": "pass"'), signing)
    done = mammodissect("verify", str(report), "--public-key", str(public))
    assert done.status == 1
    assert "The report says pass; its facts and policy give fail." in done.stderr


def test_a_report_without_a_verdict_is_valid(files: tuple[Path, Path, SigningKey], mammodissect: Run) -> None:
    report, public, signing = files
    write(report, audit_json(report_audit(example_audit(None), example_parts(), None)), signing)
    done = mammodissect("verify", str(report), "--public-key", str(public))
    assert (done.status, "NO VERDICT" in done.stdout) == (0, True)


@pytest.mark.parametrize("lost", ["audit.json", "audit.signature.json", "public.pem"])
def test_what_cannot_be_read_is_an_error(
    files: tuple[Path, Path, SigningKey], tmp_path: Path, mammodissect: Run, lost: str
) -> None:
    (tmp_path / lost).unlink()
    done = mammodissect("verify", str(files[0]), "--public-key", str(files[1]))
    assert (done.status, len(done.stderr.splitlines())) == (2, 1), done.stderr
    assert "cannot be read" in done.stderr


def test_what_is_no_key_or_no_report_is_an_error(
    files: tuple[Path, Path, SigningKey], tmp_path: Path, mammodissect: Run
) -> None:
    report, public, signing = files
    write(report, b'{"format": "other"}', signing)
    done = mammodissect("verify", str(report), "--public-key", str(public))
    assert (done.status, "not an audit report" in done.stderr) == (2, True)
    assert mammodissect("verify", str(report), "--public-key", str(tmp_path / "private.pem")).status == 2
