"""Detached signatures: whoever holds the public key finds every changed byte."""

import base64
import stat
import subprocess
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ec import SECP256R1, generate_private_key

from service.errors import InvalidInput, InvalidSignature, SignatureMismatch
from service.signatures import PublicKey, Signature, SigningKey

DOCUMENT = b'{"verdict": "PASS", "threshold": 0.05}\n'


@pytest.fixture
def key(tmp_path: Path) -> SigningKey:
    return SigningKey.create(tmp_path / "key.pem")


def verify(document: bytes, signature: bytes, public: bytes) -> None:
    PublicKey.from_pem(public).verify(document, Signature.from_bytes(signature))


def test_a_key_is_kept_in_a_private_file(key: SigningKey, tmp_path: Path) -> None:
    file = tmp_path / "key.pem"
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert SigningKey.load(file).public.pem == key.public.pem
    before = file.read_bytes()
    with pytest.raises(InvalidInput, match="File exists"):
        SigningKey.create(file)
    assert [path.name for path in tmp_path.iterdir()] == ["key.pem"]
    assert file.read_bytes() == before


def test_what_was_signed_is_verified(key: SigningKey) -> None:
    signature = key.sign(DOCUMENT)
    assert signature.algorithm == "Ed25519"
    assert signature.key_id == key.public.key_id
    verify(DOCUMENT, signature.as_bytes(), key.public.pem.encode())
    verify(DOCUMENT, signature.as_bytes(), key.public.pem.replace("\n", "\r\n").encode())
    verify(DOCUMENT, signature.as_bytes(), key.public.pem.encode() + b"\n")


@pytest.mark.parametrize("part", ["document", "signature", "public key"])
def test_every_changed_byte_is_found(key: SigningKey, part: str) -> None:
    parts = {
        "document": DOCUMENT,
        "signature": key.sign(DOCUMENT).as_bytes(),
        "public key": key.public.pem.strip().encode(),
    }
    whole = parts[part]
    for position in range(len(whole)):
        for flipped in (1, 2, 4, 0x10, 0x20, 0x80):
            changed = bytearray(whole)
            changed[position] ^= flipped
            with pytest.raises(InvalidInput):
                verify(*{**parts, part: bytes(changed)}.values())
        for other in (whole[:position], whole[:position] + b" " + whole[position:]):
            with pytest.raises(InvalidInput):
                verify(*{**parts, part: other}.values())
    verify(*parts.values())


def test_the_error_says_what_is_wrong(key: SigningKey, tmp_path: Path) -> None:
    signature = key.sign(DOCUMENT)
    other = SigningKey.create(tmp_path / "other.pem")
    with pytest.raises(SignatureMismatch, match="document was changed"):
        key.public.verify(DOCUMENT + b" ", signature)
    with pytest.raises(SignatureMismatch, match="This key did not make the signature"):
        key.public.verify(DOCUMENT, Signature("Ed25519", key.public.key_id, signature.sha256, "AAAA"))
    with pytest.raises(InvalidSignature, match="another key") as refused:
        other.public.verify(DOCUMENT, signature)
    assert (refused.value.field, refused.value.value) == ("key_id", key.public.key_id)
    with pytest.raises(InvalidSignature, match="algorithm is not Ed25519"):
        key.public.verify(DOCUMENT, Signature("RSA", key.public.key_id, signature.sha256, signature.signature))
    whole = signature.as_json()
    unfit: tuple[Any, ...] = (None, [], {}, {**whole, "more": ""}, {**whole, "sha256": 1})
    for wrong in unfit:
        with pytest.raises(InvalidSignature, match="not a signature document"):
            Signature.from_json(wrong)


def test_keys_that_cannot_be_used_are_named(tmp_path: Path) -> None:
    with pytest.raises(InvalidInput, match="cannot be read"):
        SigningKey.load(tmp_path / "none.pem")
    with pytest.raises(InvalidInput, match="cannot be read: Is a directory"):
        SigningKey.load(tmp_path)
    (tmp_path / "text.pem").write_text("text")
    with pytest.raises(InvalidInput, match="not a private key in PEM"):
        SigningKey.load(tmp_path / "text.pem")
    foreign = generate_private_key(SECP256R1()).private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    (tmp_path / "foreign.pem").write_bytes(foreign)
    with pytest.raises(InvalidInput, match="is not an Ed25519 key"):
        SigningKey.load(tmp_path / "foreign.pem")
    with pytest.raises(InvalidInput, match="cannot be created: No such file"):
        SigningKey.create(tmp_path / "nowhere" / "key.pem")
    with pytest.raises(InvalidInput, match="not an Ed25519 public key"):
        PublicKey.from_pem(foreign)


def test_another_tool_verifies_too(key: SigningKey, tmp_path: Path) -> None:
    """Nothing of ours is needed: OpenSSL takes the key, the document and the decoded signature."""
    (tmp_path / "public.pem").write_text(key.public.pem)
    (tmp_path / "document").write_bytes(DOCUMENT)
    (tmp_path / "signature").write_bytes(base64.b64decode(key.sign(DOCUMENT).signature))
    command = ["openssl", "pkeyutl", "-verify", "-pubin", "-inkey", "public.pem", "-rawin", "-in", "document"]
    done = subprocess.run([*command, "-sigfile", "signature"], cwd=tmp_path, capture_output=True, text=True, check=True)
    assert "Verified Successfully" in done.stdout
