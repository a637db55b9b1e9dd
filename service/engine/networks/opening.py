"""What is raised where the system does not give a target's file."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from service.errors import InvalidCheckpoint
from service.files import is_lasting, out_of_reach, remedy_for


@contextmanager
def errors_of_system(path: Path, noun: str) -> Iterator[None]:
    """Errors of the system become ours, about that file. noun: what they call it, as `table`.

    Raises InvalidCheckpoint where the file is not there or cannot be opened, FileOutOfReach where the disk or the
    machine fails.
    """
    try:
        yield
    except FileNotFoundError as error:
        raise InvalidCheckpoint(
            f"The {noun} does not exist.", field="checkpoint", value=path, remedy="Check the path."
        ) from error
    except (OSError, ValueError) as error:
        if isinstance(error, OSError) and not is_lasting(error):
            raise out_of_reach(noun, error, field="checkpoint", value=path) from error
        reason = error.strerror if isinstance(error, OSError) else "it is not a path"
        raise InvalidCheckpoint(
            f"The {noun} cannot be read: {reason}.",
            field="checkpoint",
            value=path,
            remedy=remedy_for(
                error, "Name a regular file that the service may read, inside DATA_ROOTS where these are set."
            ),
        ) from error
