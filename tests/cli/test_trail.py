"""`mammodissect admin trail-head` and `verify-trail`, as a security officer runs them."""

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest
from sqlalchemy import text

from cli.main import main
from service.db.session import Sessions, transaction
from service.domain.trail import COMMAND_LINE
from service.signatures import SigningKey
from service.usecases.trail import record


@dataclass
class Done:
    """What a command printed and the status it ended with."""

    status: int
    stdout: str
    stderr: str


Admin = Callable[..., Done]


@pytest.fixture
def admin(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, database_url: str, tmp_path: Path
) -> Admin:
    """`mammodissect admin` on a database with four entries, in a folder with a signing key."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("DATABASE_URL", database_url)
    monkeypatch.setenv("SIGNING_KEY", "key.pem")
    Path("public.pem").write_text(SigningKey.create(Path("key.pem")).public.pem)

    def run(*arguments: str) -> Done:
        monkeypatch.setattr("sys.argv", ["mammodissect", "admin", *arguments])
        with pytest.raises(SystemExit) as ended:
            main()
        printed = capsys.readouterr()
        return Done(int(ended.value.code or 0), printed.out, printed.err)

    return run


@pytest.fixture(autouse=True)
def four_entries(sessions: Sessions) -> None:
    for number in range(4):
        with transaction(sessions) as session:
            record(session, actor="api", action="POST /jobs", subject=f"/jobs/{number}")


VERIFY = ("verify-trail", "--head", "head.json", "--public-key", "public.pem")


def tamper(sessions: Sessions, statement: str) -> None:
    with sessions.begin() as session:
        session.execute(text("ALTER TABLE trail DISABLE TRIGGER ALL"))
        session.execute(text(statement))


def test_an_untouched_trail_is_whole(admin: Admin, sessions: Sessions) -> None:
    assert admin("trail-head", "--output", "head.json").status == 0
    head = json.loads(Path("head.json").read_text())
    assert (head["head"]["seq"], head["head"]["count"], head["signature"]["algorithm"]) == (4, 4, "Ed25519")
    with transaction(sessions) as session:
        record(session, actor=COMMAND_LINE, action="later", subject="anything")
    done = admin(*VERIFY)
    assert (done.status, done.stderr) == (0, "")
    assert "whole: 5 entries" in done.stdout
    assert "signed at entry 4" in done.stdout
    alone = admin("verify-trail")
    assert alone.status == 0
    assert "cut off at the end" in alone.stdout


def test_a_change_is_found_and_its_place_named(admin: Admin, owner_sessions: Sessions) -> None:
    tamper(owner_sessions, "UPDATE trail SET actor = 'nobody' WHERE seq = 3")
    done = admin("verify-trail")
    assert (done.status, done.stderr) == (1, "")
    assert done.stdout.startswith("Entry 3 is the first that was changed.")


def test_a_cut_end_is_found_by_the_head_alone(admin: Admin, owner_sessions: Sessions) -> None:
    admin("trail-head", "--output", "head.json")
    tamper(owner_sessions, "DELETE FROM trail WHERE seq > 2")
    assert admin("verify-trail").status == 0
    done = admin(*VERIFY)
    assert done.status == 1
    assert "Entry 3 is the first" in done.stdout
    assert "ends after 2 entries; the signed head knows 4" in done.stdout


def test_every_changed_byte_of_a_head_is_found(admin: Admin) -> None:
    admin("trail-head", "--output", "head.json")
    whole = Path("head.json").read_bytes()
    for position in range(0, len(whole), 7):
        Path("head.json").write_bytes(whole[:position] + bytes([whole[position] ^ 1]) + whole[position + 1 :])
        assert admin(*VERIFY).status in {1, 2}
    Path("head.json").write_bytes(whole.replace(b'"seq": 4', b'"seq": 3').replace(b'"count": 4', b'"count": 3'))
    done = admin(*VERIFY)
    assert (done.status, done.stdout[:27]) == (1, "The head file was changed: ")


@pytest.mark.parametrize(
    ("arguments", "hint"),
    [
        (("verify-trail", "--head", "head.json"), "Give both --head and --public-key"),
        (("verify-trail", "--public-key", "public.pem"), "Give both --head and --public-key"),
        (("verify-trail", "--head", "none.json", "--public-key", "public.pem"), "cannot be read"),
        (("verify-trail", "--head", "key.pem", "--public-key", "public.pem"), "mammodissect admin trail-head"),
        (("verify-trail", "--head", "head.json", "--public-key", "key.pem"), "not an Ed25519 public key"),
        (("verify-trail", "--head", "head.json", "--public-key", "other.pem"), "with another key"),
        (("trail-head", "--output", "nowhere/head.json"), "cannot be written"),
    ],
)
def test_what_cannot_be_checked_is_an_error(admin: Admin, arguments: tuple[str, ...], hint: str) -> None:
    admin("trail-head", "--output", "head.json")
    Path("other.pem").write_text(SigningKey.create(Path("other-key.pem")).public.pem)
    done = admin(*arguments)
    assert (done.status, done.stdout) == (2, "")
    assert hint in done.stderr


def test_without_a_key_nothing_is_signed(admin: Admin, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("SIGNING_KEY")
    done = admin("trail-head", "--output", "head.json")
    assert (done.status, Path("head.json").exists()) == (2, False)
    assert "SIGNING_KEY is not set" in done.stderr


def test_a_database_without_the_role_or_the_trail_is_an_error(
    admin: Admin, empty_database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DATABASE_URL", empty_database_url)
    done = admin("verify-trail")
    assert (done.status, done.stdout) == (2, "")
    assert "mammodissect migrate" in done.stderr


def test_the_collection_of_garbage_is_recorded(
    admin: Admin, sessions: Sessions, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("ARTIFACTS_URL", (tmp_path / "artifacts").as_uri())
    assert admin("gc").status == 0
    with transaction(sessions) as session:
        last = session.execute(text("SELECT actor, action, subject FROM trail ORDER BY seq DESC LIMIT 1")).one()
    assert tuple(last) == (COMMAND_LINE, "admin gc", "artifacts")
