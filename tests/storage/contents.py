"""What the tests store."""

import hashlib

KEY = "a" * 64
DATA = bytes(range(256)) * 40


def digest(data: bytes) -> str:
    """SHA-256 (hex)."""
    return hashlib.sha256(data).hexdigest()
