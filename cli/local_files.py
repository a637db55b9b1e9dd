"""Weights that a command opens itself: files of this machine. Sources are fetched by a service's workers."""

from pathlib import Path

from service.errors import InvalidInput
from service.sources.uris import is_remote


def check_local(checkpoint: Path) -> None:
    """Raise InvalidInput for a source, of which a path may have been made."""
    named = checkpoint.as_posix()
    if is_remote(named):
        raise InvalidInput(
            "The checkpoint is a source, and this command opens files of this machine only.",
            field="checkpoint",
            value=named.partition("?")[0],
            remedy="Fetch the file and name it; or register the source with POST /models, where a worker fetches it.",
        )
