"""Files of keys as editors and shells write them."""

import codecs
import os
from pathlib import Path
from threading import Thread

import pytest

from cli.client import ServiceClient
from cli.connection import connect
from service.errors import InvalidInput
from service.key_files import read_key, read_key_text
from service.signatures import PublicKey, SigningKey

KEY = "open sesame_42"


@pytest.mark.parametrize(
    "content",
    [
        b"open sesame_42",
        b"open sesame_42\n",
        b"open sesame_42\r\n",
        b" open sesame_42 \t\r\n\r\n",
        codecs.BOM_UTF8 + b"open sesame_42\r\n",
        codecs.BOM_UTF16_LE + "open sesame_42\r\n".encode("utf-16-le"),
        codecs.BOM_UTF16_BE + "open sesame_42\n".encode("utf-16-be"),
        codecs.BOM_UTF32_LE + "open sesame_42".encode("utf-32-le"),
    ],
)
def test_a_key_is_the_same_whatever_wrote_it(tmp_path: Path, content: bytes) -> None:
    file = tmp_path / "key"
    file.write_bytes(content)
    assert read_key(file, field="api_key_file", remedy="") == KEY
    connect("http://127.0.0.1:9", file).close()


@pytest.mark.parametrize(
    ("content", "why"),
    [
        (b"", "is empty"),
        (b" \r\n", "is empty"),
        (codecs.BOM_UTF8, "is empty"),
        ("open".encode("utf-16-le"), "NUL characters, as UTF-16 without"),
        (codecs.BOM_UTF16_LE + b"o", "is neither UTF-8 text"),
        (b"\xff\x00\x80", "is neither UTF-8 text"),
        ("schlüssel".encode(), "not ASCII"),
        (b"two\rlines", "more than one line"),
        (b"two\nlines", "more than one line"),
        (b"a\x1bb", "control characters"),
        (b"k" * 70_000, "longer than any key"),
    ],
)
def test_what_is_no_key_is_refused_by_name(tmp_path: Path, content: bytes, why: str) -> None:
    file = tmp_path / "key"
    file.write_bytes(content)
    with pytest.raises(InvalidInput, match=why) as refused:
        connect("http://127.0.0.1:9", file)
    assert (refused.value.field, refused.value.value) == ("api_key_file", str(file))
    assert "api-key in its data folder" in str(refused.value)


@pytest.mark.parametrize(("name", "why"), [("none", "No such file"), (".", "Is a directory"), ("/dev/zero", "longer")])
def test_what_is_no_file_of_a_key_is_refused_by_name(tmp_path: Path, name: str, why: str) -> None:
    with pytest.raises(InvalidInput, match=why):
        connect("http://127.0.0.1:9", tmp_path / name)


@pytest.mark.parametrize("key", [" open sesame", "open sesame "])
def test_a_client_refuses_a_key_that_the_service_would_not_start_with(key: str) -> None:
    with pytest.raises(InvalidInput, match="begins or ends with a blank") as refused:
        ServiceClient("http://127.0.0.1:9", key)
    assert "sesame" not in str(refused.value)


def test_a_key_may_come_through_a_pipe(tmp_path: Path) -> None:
    """As from `--api-key-file <(vault read ...)`."""
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    writer = Thread(target=pipe.write_text, args=(f"{KEY}\n",))
    writer.start()
    assert read_key(pipe, field="api_key_file", remedy="") == KEY
    writer.join()


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16"])
def test_keys_for_signatures_are_read_by_the_same_rules(tmp_path: Path, encoding: str) -> None:
    made = SigningKey.create(tmp_path / "made.pem")
    private, public = tmp_path / "private.pem", tmp_path / "public.pem"
    private.write_bytes((tmp_path / "made.pem").read_text().replace("\n", "\r\n").encode(encoding))
    public.write_bytes(made.public.pem.replace("\n", "\r\n").encode(encoding))
    assert SigningKey.load(private).public.key_id == made.public.key_id
    told = read_key_text(public, what="public key", field="public_key", remedy="")
    assert PublicKey.from_pem(told.encode()).key_id == made.public.key_id
