"""Content digests: equal content has an equal SHA-256, whatever its name or place."""

import hashlib
import json
from pathlib import Path
from typing import Any

_CHUNK = 1 << 20


def digest_of(value: Any) -> str:
    """SHA-256 (hex) of a JSON-compatible value in canonical form: sorted keys, no blanks, UTF-8, no NaN."""
    text = json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False)
    return hashlib.sha256(text.encode()).hexdigest()


def digest_of_file(path: Path) -> str:
    """SHA-256 (hex) of a file's bytes, read in chunks."""
    sha = hashlib.sha256()
    with path.open("rb") as file:
        while chunk := file.read(_CHUNK):
            sha.update(chunk)
    return sha.hexdigest()


def digest_of_directory(path: Path) -> str:
    """SHA-256 (hex) over the relative name and content digest of every file below a directory."""
    files = sorted(file for file in path.rglob("*") if file.is_file())
    return digest_of({file.relative_to(path).as_posix(): digest_of_file(file) for file in files})
