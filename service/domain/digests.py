"""Content digests: equal content has an equal SHA-256, whatever its name or place."""

import hashlib
import json
from pathlib import Path
from typing import Any, BinaryIO

from service.files import ANYWHERE, DataRoots

_CHUNK = 1 << 20


def digest_of(value: Any) -> str:
    """SHA-256 (hex) of a JSON-compatible value in canonical form: sorted keys, no blanks, UTF-8, no NaN."""
    text = json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False)
    return hashlib.sha256(text.encode()).hexdigest()


def digest_of_file(path: Path, roots: DataRoots = ANYWHERE) -> str:
    """SHA-256 (hex) of a regular file's bytes, read in chunks. Raises what `DataRoots.open` raises."""
    with roots.open(path) as file:
        return digest_of_open_file(file)


def digest_of_open_file(file: BinaryIO) -> str:
    """SHA-256 (hex) of an open file's bytes from its beginning on, where it is left again."""
    sha = hashlib.sha256()

    file.seek(0)
    while chunk := file.read(_CHUNK):
        sha.update(chunk)
    file.seek(0)

    return sha.hexdigest()


def digest_of_directory(path: Path) -> str:
    """SHA-256 (hex) over the relative name and content digest of every file below a directory."""
    files = sorted(file for file in path.rglob("*") if file.is_file())
    return digest_of({file.relative_to(path).as_posix(): digest_of_file(file) for file in files})
