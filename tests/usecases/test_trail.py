"""The trail: one consecutive chain whoever writes at once, closed to every change, and every tampering found."""

import hashlib
import random
import secrets
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import nullcontext
from dataclasses import replace

import pytest
from pydantic import SecretStr
from sqlalchemy import make_url, text
from sqlalchemy.exc import ProgrammingError
from sqlalchemy.orm import Session

from service.db.migrate import upgrade
from service.db.session import APP_ROLE, Sessions, open_sessions, transaction
from service.db.trail import find_head, stream_entries
from service.domain.trail import GENESIS, TrailEntry, TrailHead, check_chain, hash_of
from service.errors import Conflict, InvalidInput, Unavailable
from service.usecases.trail import record, verify_trail

MANIPULATIONS = 1000
LENGTH = 9
DIGESTS = [hashlib.sha256(bytes([n])).hexdigest() for n in range(8)]


def write(sessions: Sessions, count: int, actor: str = "api") -> None:
    for number in range(count):
        with transaction(sessions) as session:
            record(
                session,
                actor=actor,
                action="POST /jobs",
                subject=f"/jobs/{number}",
                request=DIGESTS[number % 8] if number % 3 else None,
                after=DIGESTS[(number + 1) % 8],
            )


def entries(sessions: Sessions) -> list[TrailEntry]:
    with transaction(sessions) as session:
        return list(stream_entries(session))


def test_entries_are_numbered_dated_and_chained_by_the_database(sessions: Sessions) -> None:
    write(sessions, 3)
    found = entries(sessions)
    assert [entry.seq for entry in found] == [1, 2, 3]
    assert found[0].previous_hash == GENESIS
    assert [entry.hash for entry in found] == [hash_of(entry) for entry in found]
    assert [entry.previous_hash for entry in found[1:]] == [entry.hash for entry in found[:-1]]
    assert [str(entry.at) for entry in found] == sorted(str(entry.at) for entry in found)
    with transaction(sessions) as session:
        check = verify_trail(session)
        head = find_head(session)
    assert (check.entries, check.hash, check.fault) == (3, found[-1].hash, None)
    assert (head.seq, head.count, head.hash) == (3, 3, found[-1].hash)


def test_any_text_has_the_same_hash_here_and_in_the_database(sessions: Sessions) -> None:
    odd = ["ümlaut", "漢字 🩻", "a,1:b,", "-,", "tab\tline\n", "'quoted' \\ \"", "\x7f"]
    with transaction(sessions) as session:
        for first, second in zip(odd, reversed(odd), strict=True):
            record(session, actor=first, action=second, subject=first + second)
    with transaction(sessions) as session:
        assert verify_trail(session) == replace(verify_trail(session), entries=len(odd), fault=None)


def test_what_was_said_of_number_time_and_hash_is_not_heard(sessions: Sessions) -> None:
    forged = "INSERT INTO trail VALUES (7, '1999-01-01', 'me', 'a', 's', NULL, NULL, NULL, 'x', 'y'), "
    forged += "(9, '1999-01-01', 'me', 'a', 's', NULL, NULL, NULL, 'x', 'y')"
    with transaction(sessions) as session:
        session.execute(text(forged))
    found = entries(sessions)
    assert [entry.seq for entry in found] == [1, 2]
    assert all(not str(entry.at).startswith("1999") for entry in found)
    assert check_chain(found).fault is None


def test_an_entry_stands_and_falls_with_its_transaction(sessions: Sessions) -> None:
    def note(session: Session, subject: str) -> None:
        record(session, actor="a", action="b", subject=subject)

    with sessions() as session:
        note(session, "undone")
        session.rollback()
        note(session, "outside")
        savepoint = session.begin_nested()
        note(session, "undone with its savepoint")
        savepoint.rollback()
        with session.begin_nested():
            note(session, "inside")
        session.commit()
        note(session, "never committed")
    assert [entry.subject for entry in entries(sessions)] == ["inside", "outside"]


@pytest.mark.parametrize(
    ("field", "value"), [("actor", ""), ("action", ""), ("subject", ""), ("request", "a body"), ("after", "A" * 64)]
)
def test_only_words_and_digests_are_recorded(sessions: Sessions, field: str, value: str) -> None:
    good = {"actor": "a", "action": "b", "subject": "c"}
    with pytest.raises(InvalidInput) as refused, transaction(sessions) as session:
        record(session, **{**good, field: value})
    assert refused.value.field == field
    assert entries(sessions) == []


def test_writers_at_once_make_one_chain_without_gaps(sessions: Sessions) -> None:
    def work(writer: int) -> int:
        random_numbers = random.Random(writer)
        written = 0
        for number in range(25):
            with sessions() as session:
                kept = random_numbers.random() < 0.8
                # In a savepoint the entry has its number before it is taken back.
                with nullcontext() if kept else session.begin_nested():
                    record(session, actor=f"writer-{writer}", action="write", subject=str(number))
                if kept:
                    session.commit()
                    written += 1
        return written

    with ThreadPoolExecutor(6) as pool:
        written = sum(pool.map(work, range(6)))
    found = entries(sessions)
    assert [entry.seq for entry in found] == list(range(1, written + 1))
    assert check_chain(found).fault is None


@pytest.mark.parametrize("statement", ["UPDATE trail SET actor = 'x'", "DELETE FROM trail", "TRUNCATE trail"])
def test_nobody_changes_the_trail_by_an_ordinary_statement(
    sessions: Sessions, owner_sessions: Sessions, statement: str
) -> None:
    write(sessions, 2)
    before = entries(sessions)
    with pytest.raises(ProgrammingError, match="permission denied"), transaction(sessions) as session:
        session.execute(text(statement))
    for setting in ("origin", "replica"):
        with owner_sessions() as session:
            session.execute(text(f"SET LOCAL session_replication_role = {setting}"))
            with pytest.raises(ProgrammingError, match="only appended to"):
                session.execute(text(statement))
    assert entries(sessions) == before


def test_the_service_has_all_rights_on_rows_and_none_on_tables(sessions: Sessions, owner_sessions: Sessions) -> None:
    rights = text(
        "SELECT relname, array_agg(DISTINCT privilege ORDER BY privilege) FILTER (WHERE "
        "has_table_privilege(:role, oid, privilege)) FROM pg_class, unnest(CAST(:all AS text[])) AS privilege "
        "WHERE relkind = 'r' AND relnamespace = 'public'::regnamespace GROUP BY relname"
    )
    every = ["SELECT", "INSERT", "UPDATE", "DELETE", "TRUNCATE", "REFERENCES", "TRIGGER", "MAINTAIN"]
    with owner_sessions.begin() as session:
        session.execute(text("CREATE TABLE of_a_later_release (id bigint GENERATED ALWAYS AS IDENTITY)"))
        found = {name: set(granted) for name, granted in session.execute(rights, {"role": APP_ROLE, "all": every})}
    assert found.pop("trail") == {"SELECT", "INSERT"}
    assert found.pop("alembic_version") == {"SELECT"}
    assert found.pop("audits") == {"SELECT", "INSERT", "UPDATE"}
    assert found.pop("reviews") == {"SELECT", "INSERT"}
    assert len(found) > 9
    assert all(granted == {"SELECT", "INSERT", "UPDATE", "DELETE"} for granted in found.values())
    with transaction(sessions) as session:
        assert session.scalar(text("SELECT current_user")) == APP_ROLE
        session.execute(text("INSERT INTO of_a_later_release DEFAULT VALUES"))
    with pytest.raises(ProgrammingError), transaction(sessions) as session:
        session.execute(text("ALTER TABLE trail DISABLE TRIGGER ALL"))


def test_a_login_of_few_rights_is_told_what_it_lacks(empty_database_url: str, migrated_template: str) -> None:
    """As a hospital's database has one. The cluster has the role already, through its other databases."""
    admin = open_sessions(SecretStr(empty_database_url), as_login=True, pool_size=1)
    password = secrets.token_hex()
    with admin.begin() as session:
        session.execute(text(f"CREATE ROLE plain LOGIN PASSWORD '{password}'"))
        session.execute(text("GRANT ALL ON SCHEMA public TO plain"))
    url = make_url(empty_database_url).set(username="plain", password=password).render_as_string(hide_password=False)
    try:
        plain = open_sessions(SecretStr(url))
        with (
            pytest.raises(Unavailable, match="is not allowed to use the role") as refused,
            transaction(plain) as session,
        ):
            session.execute(text("SELECT 1"))
        assert "GRANT mammodissect_app TO" in str(refused.value.remedy)
        with pytest.raises(Conflict, match="may not make the role") as conflict:
            upgrade(url)
        assert "GRANT mammodissect_app TO plain" in str(conflict.value.remedy)
        with admin.begin() as session:
            session.execute(text("GRANT mammodissect_app TO plain"))
        with pytest.raises(Conflict, match="may not make the extension vector") as conflict:
            upgrade(url)
        assert "CREATE EXTENSION vector" in str(conflict.value.remedy)
        with admin.begin() as session:
            session.execute(text("CREATE EXTENSION vector"))
        upgrade(url)
        write(plain, 2)
        assert check_chain(entries(plain)).entries == 2
        plain.kw["bind"].dispose()
    finally:
        with admin.begin() as session:
            session.execute(text("DROP OWNED BY plain CASCADE"))
            session.execute(text("DROP ROLE plain"))
        admin.kw["bind"].dispose()


# Each takes a session as superuser, random numbers and the chain's length, and gives the first entry that is wrong
# then; None where the chain still holds together and only the signed head tells.
Manipulation = Callable[[Session, random.Random, int], int | None]


def run(session: Session, statement: str, **values: object) -> None:
    session.execute(text(statement), values)


def rehash(session: Session, first: int) -> None:
    """Number and chain the entries from that place on anew, as whoever knows the code can."""
    last = GENESIS
    moved = "UPDATE trail SET seq = :seq, previous_hash = :previous, hash = :hash WHERE ctid = CAST(:ctid AS tid)"
    places = session.execute(text("SELECT ctid::text FROM trail ORDER BY seq")).scalars().all()
    for seq, (ctid, entry) in enumerate(zip(places, list(stream_entries(session)), strict=True), start=1):
        if seq >= first:
            changed = replace(entry, seq=seq, previous_hash=last)
            last = hash_of(changed)
            run(session, moved, seq=seq, previous=changed.previous_hash, hash=last, ctid=ctid)
        else:
            last = str(entry.hash)


def edit_word(session: Session, numbers: random.Random, length: int) -> int:
    seq, column = numbers.randint(1, length), numbers.choice(["actor", "action", "subject"])
    changes = [f"{column} || 'x'", f"'x' || {column}", f"upper({column}) || ' '", "''", "NULL"]
    run(session, f"UPDATE trail SET {column} = {numbers.choice(changes)} WHERE seq = :seq", seq=seq)  # noqa: S608
    return seq


def move_letter(session: Session, numbers: random.Random, length: int) -> int:
    seq = numbers.randint(1, length)
    run(
        session,
        "UPDATE trail SET actor = actor || left(action, 1), action = substr(action, 2) WHERE seq = :seq",
        seq=seq,
    )
    return seq


def edit_content(session: Session, numbers: random.Random, length: int) -> int:
    return edit_digest(session, numbers, length, of=("request", "before", "after"))


def edit_digest(
    session: Session, numbers: random.Random, length: int, of: Sequence[str] = ("previous_hash", "hash")
) -> int:
    seq, column = numbers.randint(1, length), numbers.choice(of)
    other = hashlib.sha256(numbers.randbytes(8)).hexdigest()
    one_up = f"translate({column}, '0123456789abcdef', '123456789abcdef0')"
    value = numbers.choice([f"'{other}'", one_up, f"upper({column}) || 'x'", f"left({column}, 63)"])
    run(session, f"UPDATE trail SET {column} = coalesce({value}, '{other}') WHERE seq = :seq", seq=seq)  # noqa: S608
    return seq


def swap_digests(session: Session, numbers: random.Random, length: int) -> int:
    seq = numbers.randint(1, length)
    run(session, "UPDATE trail SET before = after, after = before WHERE seq = :seq", seq=seq)
    return seq


def edit_time(session: Session, numbers: random.Random, length: int) -> int:
    seq = numbers.randint(1, length)
    to = numbers.choice(["at + interval '1 us'", "at - interval '1 day'", "'infinity'", "NULL", "'4000-01-01 BC'"])
    run(session, f"UPDATE trail SET at = {to} WHERE seq = :seq", seq=seq)  # noqa: S608
    return seq


def edit_number(session: Session, numbers: random.Random, length: int) -> int:
    seq = numbers.randint(1, length)
    to = numbers.choice(["seq + 1000", "NULL", "-seq", "0", "seq + 1" if seq < length else "0"])
    run(session, f"UPDATE trail SET seq = {to} WHERE seq = :seq", seq=seq)  # noqa: S608
    return 1 if to in {"-seq", "0"} else seq


def delete_inside(session: Session, numbers: random.Random, length: int) -> int:
    first = numbers.randint(1, length - 1)
    last = numbers.randint(first, length - 1)
    run(session, "DELETE FROM trail WHERE seq BETWEEN :first AND :last", first=first, last=last)
    return first


def delete_and_renumber(session: Session, numbers: random.Random, length: int) -> int:
    seq = delete_inside(session, numbers, length)
    run(session, "UPDATE trail SET seq = n FROM (SELECT ctid AS place, row_number() OVER (ORDER BY seq) AS n "
        "FROM trail) AS numbered WHERE trail.ctid = place")  # fmt: skip
    return seq


def swap_entries(session: Session, numbers: random.Random, length: int) -> int:
    one, other = sorted(numbers.sample(range(1, length + 1), 2))
    run(session, "UPDATE trail SET seq = :one + :other - seq WHERE seq IN (:one, :other)", one=one, other=other)
    return one


def swap_contents(session: Session, numbers: random.Random, length: int) -> int:
    one, other = sorted(numbers.sample(range(1, length + 1), 2))
    run(session, "UPDATE trail SET subject = of.subject, at = of.at FROM trail AS of "
        "WHERE trail.seq IN (:one, :other) AND of.seq = :one + :other - trail.seq", one=one, other=other)  # fmt: skip
    return one


def insert_copy(session: Session, numbers: random.Random, length: int) -> int:
    """The same entry twice, with or without making room for it."""
    seq = numbers.randint(1, length)
    run(session, "INSERT INTO trail SELECT * FROM trail WHERE seq = :seq", seq=seq)
    if numbers.random() < 0.5:
        run(session, "UPDATE trail SET seq = seq + 1 WHERE seq > :seq OR ctid = (SELECT max(ctid) FROM trail "
            "WHERE seq = :seq)", seq=seq)  # fmt: skip
    return seq + 1


def insert_forged(session: Session, numbers: random.Random, length: int) -> int:
    """A well-hashed entry of one's own in the middle; the rest moved up behind it."""
    seq = numbers.randint(1, length)
    run(session, "UPDATE trail SET seq = seq + 1 WHERE seq >= :seq", seq=seq)
    run(session, "INSERT INTO trail SELECT :seq, at, 'nobody', action, subject, request, before, after, previous_hash, "
        "hash FROM trail WHERE seq = :seq + 1", seq=seq)  # fmt: skip
    forged = next(entry for entry in stream_entries(session) if entry.seq == seq)
    run(session, "UPDATE trail SET hash = :hash WHERE seq = :seq", hash=hash_of(forged), seq=seq)
    return seq + 1


def append_loose(session: Session, numbers: random.Random, length: int) -> int:
    """An entry behind the last that hangs on another than the last, or leaves a gap."""
    gap = numbers.randint(0, 2)
    run(session, "INSERT INTO trail SELECT :next, at, actor, action, subject, request, before, after, previous_hash, "
        "hash FROM trail WHERE seq = :seq", next=length + 1 + gap, seq=numbers.randint(1, length))  # fmt: skip
    return length + 1


def edit_and_rehash_one(session: Session, numbers: random.Random, length: int) -> int:
    seq = numbers.randint(1, length - 1)
    run(session, "UPDATE trail SET actor = 'nobody' WHERE seq = :seq", seq=seq)
    changed = next(entry for entry in stream_entries(session) if entry.seq == seq)
    run(session, "UPDATE trail SET hash = :hash WHERE seq = :seq", hash=hash_of(changed), seq=seq)
    return seq + 1


def cut_the_end(session: Session, numbers: random.Random, length: int) -> None:
    run(session, "DELETE FROM trail WHERE seq > :kept", kept=numbers.randint(0, length - 1))


def empty(session: Session, _: random.Random, _length: int) -> None:
    run(session, "TRUNCATE trail")


def rewrite_the_end(session: Session, numbers: random.Random, length: int) -> None:
    """Any of what the chain would tell, with every hash behind it computed anew."""
    how = numbers.choice([edit_word, edit_content, edit_time, delete_inside, swap_entries, insert_forged])
    how(session, numbers, length)
    rehash(session, 1)


def cut_and_continue(session: Session, numbers: random.Random, length: int) -> None:
    """The end cut off and as many entries written in its place."""
    kept = numbers.randint(0, length - 1)
    run(session, "DELETE FROM trail WHERE seq > :kept", kept=kept)
    run(session, "ALTER TABLE trail ENABLE TRIGGER trail_chain")
    for number in range(length - kept + numbers.randint(0, 2)):
        run(session, "INSERT INTO trail (actor, action, subject) VALUES ('a', 'b', :n)", n=str(number))


ONLY_BY_HEAD: list[Manipulation] = [cut_the_end, empty, rewrite_the_end, cut_and_continue]
BY_CHAIN: list[Manipulation] = [
    edit_word, move_letter, edit_digest, edit_content, swap_digests, edit_time, edit_number, delete_inside,
    delete_and_renumber, swap_entries, swap_contents, insert_copy, insert_forged, append_loose, edit_and_rehash_one,
]  # fmt: skip


@pytest.fixture
def defenceless(sessions: Sessions, owner_sessions: Sessions) -> Iterator[tuple[Sessions, TrailHead]]:
    """A chain whose triggers and constraints a superuser has taken away, and its head as it was before."""
    write(sessions, LENGTH)
    with owner_sessions.begin() as session:
        head = find_head(session)
        run(session, "ALTER TABLE trail DISABLE TRIGGER ALL, DROP CONSTRAINT pk_trail")
        for name in ("request", "before", "after"):
            run(session, f"ALTER TABLE trail DROP CONSTRAINT ck_trail_{name}")
        for name in ("seq", "at", "actor", "action", "subject", "previous_hash", "hash"):
            run(session, f"ALTER TABLE trail ALTER {name} DROP NOT NULL")
    yield owner_sessions, head
    with owner_sessions() as session:
        assert check_chain(stream_entries(session), head).fault is None, "and each was undone"


def test_a_thousand_random_manipulations_by_a_superuser_are_all_found(
    defenceless: tuple[Sessions, TrailHead],
) -> None:
    sessions, head = defenceless
    numbers = random.Random(5)
    missed, done = [], dict.fromkeys([*BY_CHAIN, *ONLY_BY_HEAD], 0)
    for number in range(MANIPULATIONS):
        manipulate = numbers.choice(list(done))
        with sessions() as session:  # never committed
            wrong = manipulate(session, numbers, LENGTH)
            alone, with_head = verify_trail(session), verify_trail(session, head)
        done[manipulate] += 1
        if with_head.fault is None or (alone.fault is not None and wrong is None):
            missed.append((number, manipulate.__name__, wrong, with_head))
        elif wrong is not None and (alone.fault is None or alone.fault.seq != wrong):
            missed.append((number, manipulate.__name__, wrong, alone))
    assert missed == []
    assert min(done.values()) > 20


def test_a_chain_that_only_grew_passes_through_every_earlier_head(sessions: Sessions) -> None:
    heads = []
    for _ in range(5):
        with transaction(sessions) as session:
            heads.append(find_head(session))
        write(sessions, 2)
    with transaction(sessions) as session:
        checks = [verify_trail(session, head) for head in heads]
    assert [head.seq for head in heads] == [0, 2, 4, 6, 8]
    assert all(check.fault is None and check.entries == 10 for check in checks)
