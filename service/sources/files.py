"""Files of this machine that a registry leads to: where it keeps its artifacts on a drive that workers see."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO
from urllib.parse import unquote, urlsplit

from service.errors import DissectError
from service.files import DataRoots, is_lasting
from service.sources.content import PIECE, Content, away, refused
from service.sources.uris import scheme_of
from service.sources.weights_file import weights_below


@dataclass(frozen=True, slots=True)
class FileReader:
    """See `Reader`. roots: the folders that files must lie in."""

    roots: DataRoots

    @contextmanager
    def open(self, uri: str) -> Iterator[Content]:
        """See `Reader.open`. A folder stands for the one file of weights in it."""
        path, file = self._opened(uri)
        with file:
            yield Content(_pieces(file, uri), os.fstat(file.fileno()).st_size, path.as_uri())

    def _opened(self, uri: str) -> tuple[Path, BinaryIO]:
        path = Path(unquote(urlsplit(uri).path) if scheme_of(uri) == "file" else uri)
        try:
            path = path.resolve()
            if not self.roots.contain(path):
                raise refused(
                    "The registry keeps it in a folder outside the data roots.",
                    uri,
                    "Ask an administrator to add that folder to DATA_ROOTS of the workers.",
                )
            if path.is_dir():
                path = weights_below(path, uri)
            return path, self.roots.open(path)
        except (OSError, ValueError, RuntimeError) as error:
            raise _failed(error, uri) from None


def _pieces(file: BinaryIO, uri: str) -> Iterator[bytes]:
    try:
        while piece := file.read(PIECE):
            yield piece
    except OSError as error:
        raise _failed(error, uri) from None


def _failed(error: Exception, uri: str) -> DissectError:
    if isinstance(error, OSError) and not is_lasting(error):
        return away(f"The file cannot be read now: {error.strerror}.", uri)
    reason = error.strerror if isinstance(error, OSError) else "it is not a path"
    return refused(
        f"The registry keeps it in a file that cannot be read: {reason}.",
        uri,
        "Have the registry serve its artifacts (mlflow-artifacts:/), or mount its folder on the workers.",
    )
