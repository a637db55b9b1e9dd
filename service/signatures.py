"""Detached Ed25519 signatures: a private key in a file of the service's own, and documents that anybody can verify.

What is signed is the document's bytes as they are, so other tools can verify too: `openssl pkeyutl -verify -rawin`.
"""

import base64
import hashlib
import json
import os
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Final

from cryptography.exceptions import InvalidSignature as _Refused
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

from service.errors import InvalidInput, InvalidSignature, SignatureMismatch
from service.key_files import read_key_text

ALGORITHM: Final = "Ed25519"

_HOW_TO_MAKE = "Make one with `openssl genpkey -algorithm ed25519 -out FILE`, readable only by the service."


@dataclass(frozen=True, slots=True)
class Signature:
    """A signature, apart from what it signs."""

    algorithm: str

    key_id: str
    """SHA-256 of the raw public key."""

    sha256: str
    """SHA-256 of the signed bytes."""

    signature: str
    """In base64."""

    def as_json(self) -> dict[str, str]:
        """As a JSON object."""
        return asdict(self)

    def as_bytes(self) -> bytes:
        """As a file of its own."""
        return (json.dumps(self.as_json(), indent=2) + "\n").encode()

    @classmethod
    def from_json(cls, value: object) -> "Signature":
        """The signature that `as_json` gave. Raises InvalidSignature for anything else."""
        fields = ("algorithm", "key_id", "sha256", "signature")
        if (
            not isinstance(value, dict)
            or set(value) != set(fields)
            or not all(type(value[name]) is str for name in fields)
        ):
            raise InvalidSignature(
                "This is not a signature document.",
                field="signature",
                remedy=f"It must be a JSON object with the texts {', '.join(fields)}.",
            )
        return cls(**value)

    @classmethod
    def from_bytes(cls, document: bytes) -> "Signature":
        """The signature in a file that `as_bytes` made, byte for byte. Raises InvalidSignature for anything else."""
        try:
            signature = cls.from_json(json.loads(document))
        except ValueError:
            raise InvalidSignature(
                "The signature document is not JSON.", field="signature", remedy="Give the file as it was written."
            ) from None

        if signature.as_bytes() != document:
            raise InvalidSignature(
                "The signature document was changed after it was written.",
                field="signature",
                remedy="Give the file as it was written.",
            )
        return signature


class PublicKey:
    """A key that is trusted to have signed."""

    def __init__(self, key: Ed25519PublicKey) -> None:
        self._key = key
        raw = key.public_bytes(serialization.Encoding.Raw, serialization.PublicFormat.Raw)
        self.key_id = hashlib.sha256(raw).hexdigest()
        """SHA-256 (hex) of the raw public key."""

    @property
    def pem(self) -> str:
        """The key as PEM."""
        form = serialization.PublicFormat.SubjectPublicKeyInfo
        return self._key.public_bytes(serialization.Encoding.PEM, form).decode()

    @classmethod
    def from_pem(cls, pem: bytes) -> "PublicKey":
        """The key in a PEM file. Raises InvalidInput for all but an Ed25519 public key alone."""
        try:
            key = serialization.load_pem_public_key(pem)
        except (ValueError, UnsupportedAlgorithm):
            key = None

        # Compared with what it says, since PEM readers pass over bytes that they do not need.
        if isinstance(key, Ed25519PublicKey):
            public = cls(key)
            if public.pem.encode().rstrip() == pem.replace(b"\r\n", b"\n").rstrip():
                return public

        raise InvalidInput(
            "This is not an Ed25519 public key in PEM.",
            field="public_key",
            remedy="Give the public key as GET /signing-key returns it, unchanged.",
        )

    def verify(self, document: bytes, signature: Signature) -> None:
        """Return if this key signed exactly those bytes.

        Raises InvalidSignature for another algorithm or key, SignatureMismatch where the document or the signature
        was changed.
        """
        if signature.algorithm != ALGORITHM:
            raise InvalidSignature(
                f"The signature's algorithm is not {ALGORITHM}.", field="algorithm", value=signature.algorithm
            )

        if signature.key_id != self.key_id:
            raise InvalidSignature(
                f"The signature was made with another key, not with the trusted {self.key_id}.",
                field="key_id",
                value=signature.key_id,
                remedy="Verify with the public key of whoever signed, if you trust it.",
            )

        digest = hashlib.sha256(document).hexdigest()
        if signature.sha256 != digest:
            raise SignatureMismatch(
                f"The document was changed: its SHA-256 is {digest}, which is not the signed one.",
                field="sha256",
                value=signature.sha256,
            )

        try:
            self._key.verify(_decoded(signature.signature), document)
        except _Refused:
            raise SignatureMismatch(
                "This key did not make the signature of the document.",
                field="signature",
                value=signature.signature,
            ) from None


class SigningKey:
    """The private key that the service signs with."""

    def __init__(self, key: Ed25519PrivateKey) -> None:
        self._key = key
        self.public = PublicKey(key.public_key())

    @classmethod
    def create(cls, path: Path) -> "SigningKey":
        """Make a key in a new file of mode 0600. Raises InvalidInput where there is a file or none can be written."""
        key = Ed25519PrivateKey.generate()
        pem = key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )

        unfinished = path.with_name(path.name + ".new")
        try:
            unfinished.unlink(missing_ok=True)
            with open(os.open(unfinished, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:  # noqa: PTH123
                file.write(pem)
                file.flush()
                os.fsync(file.fileno())
            os.link(unfinished, path)  # unlike a rename, never in the place of another key
            unfinished.unlink()
        except OSError as error:
            unfinished.unlink(missing_ok=True)
            raise InvalidInput(
                f"The signing key cannot be created: {error.strerror}.",
                field="signing_key",
                value=path,
                remedy="Name a file that does not exist yet, in a writable folder.",
            ) from error

        return cls(key)

    @classmethod
    def load(cls, path: Path) -> "SigningKey":
        """The key in a file. Raises InvalidInput where it cannot be read or is no Ed25519 key without a password."""
        pem = read_key_text(path, what="signing key", field="signing_key", remedy=_HOW_TO_MAKE)
        try:
            key = serialization.load_pem_private_key(pem.encode(), password=None)
        except (ValueError, TypeError, UnsupportedAlgorithm):
            raise _unusable(path, "is not a private key in PEM without a password") from None

        if not isinstance(key, Ed25519PrivateKey):
            raise _unusable(path, "is not an Ed25519 key")
        return cls(key)

    def sign(self, document: bytes) -> Signature:
        """The detached signature of those bytes."""
        return Signature(
            algorithm=ALGORITHM,
            key_id=self.public.key_id,
            sha256=hashlib.sha256(document).hexdigest(),
            signature=base64.b64encode(self._key.sign(document)).decode(),
        )


def _decoded(signature: str) -> bytes:
    """Only what base64 itself would have written: its last character has bits that decode to nothing."""
    try:
        decoded = base64.b64decode(signature, validate=True)
    except ValueError:
        return b""
    return decoded if base64.b64encode(decoded).decode() == signature else b""


def _unusable(path: Path, why: str) -> InvalidInput:
    return InvalidInput(
        f"The signing key {why}.",
        field="signing_key",
        value=path,
        remedy=_HOW_TO_MAKE,
    )
