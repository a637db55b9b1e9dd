"""Content digests: equal content has an equal SHA-256, whatever its name or place."""

import errno
import hashlib
import json
import os
from pathlib import Path
from typing import BinaryIO

from service.files import ANYWHERE, DataRoots, FileVersion, OutsideRoots, WrittenMeanwhile

_CHUNK = 1 << 20
_MOST_FILES = 10_000


def digest_of(value: object) -> str:
    """SHA-256 (hex) of a JSON-compatible value in canonical form: sorted keys, no blanks, UTF-8, no NaN."""
    text = json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False)
    return hashlib.sha256(text.encode()).hexdigest()


def digest_of_bytes(data: bytes) -> str:
    """SHA-256 (hex) of bytes."""
    return hashlib.sha256(data).hexdigest()


def digest_of_file(path: Path, roots: DataRoots = ANYWHERE, *, most: int | None = None) -> str:
    """SHA-256 (hex) of a regular file's bytes, read in chunks. Raises what `DataRoots.open` raises."""
    with roots.open(path, most=most) as file:
        return digest_of_open_file(file)


def digest_of_open_file(file: BinaryIO) -> str:
    """SHA-256 (hex) of an open file's bytes from its beginning on, where it is left again.

    Raises WrittenMeanwhile where it was written to meanwhile; a file that grows for ever has no end to wait for.
    """
    sha = hashlib.sha256()
    before = FileVersion.of(file)
    remaining = before.size

    file.seek(0)
    while chunk := file.read(min(_CHUNK, remaining)):
        sha.update(chunk)
        remaining -= len(chunk)
    has_grown = bool(file.read(1))
    file.seek(0)

    if remaining or has_grown or FileVersion.of(file).content != before.content:
        raise WrittenMeanwhile
    return sha.hexdigest()


class TooManyFiles(OSError):
    """A directory that is to be digested holds more than any real one does."""

    def __init__(self) -> None:
        super().__init__(errno.E2BIG, f"it holds more than {_MOST_FILES} files")


def digest_of_directory(path: Path, roots: DataRoots = ANYWHERE) -> str:
    """SHA-256 (hex) over the relative name and content digest of every file below a directory.

    Raises what `digests_in_directory` raises.
    """
    return digest_of(digests_in_directory(path, roots))


def digests_in_directory(path: Path, roots: DataRoots = ANYWHERE) -> dict[str, str]:
    """The content digest of every file below a directory, by its relative name. Links to directories do not count.

    Raises NotRegular where there is anything else in it, OutsideRoots where a link leads out of `places_of` it or these
    lie outside `roots`, TooManyFiles, TooLargeForService where its files together have more bytes than one file may, or
    the OSError of the system.
    """
    directory = path.resolve(strict=True)
    if not roots.contain(directory):
        raise OutsideRoots

    places = places_of(directory)
    if not all(roots.contain(place) for place in places):
        raise OutsideRoots
    inside = DataRoots(places, roots.most)
    files = files_below(directory)
    inside.check_size(sum(inside.look(file).st_size for file in files))
    return {file.relative_to(directory).as_posix(): digest_of_file(file, inside) for file in files}


def places_of(directory: Path) -> tuple[Path, ...]:
    """Where the files of a directory may lie: in it; those of a Hugging Face snapshot in the blobs of its model, too.

    Such a cache has `models--ORGANISATION--NAME/snapshots/REVISION/FILE`, links to `models--ORGANISATION--NAME/blobs`.
    """
    if not is_snapshot(directory):
        return (directory,)
    return (directory, (directory.parent.parent / "blobs").resolve())


def is_snapshot(directory: Path) -> bool:
    """Is it a revision in a cache of Hugging Face?"""
    return directory.parent.name == "snapshots" and directory.parent.parent.name.startswith("models--")


def files_below(directory: Path) -> list[Path]:
    """Everything below a directory that is not a directory itself, in no order. Links to directories do not count.

    Raises TooManyFiles, or the OSError of the system.
    """
    files: list[Path] = []
    waiting = [directory]
    seen = 0

    while waiting:
        with os.scandir(waiting.pop()) as entries:
            for entry in entries:
                seen += 1
                if seen > _MOST_FILES:
                    raise TooManyFiles
                if entry.is_dir(follow_symlinks=False):
                    waiting.append(Path(entry.path))
                elif not entry.is_dir():
                    files.append(Path(entry.path))

    return files
