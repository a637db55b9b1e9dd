"""Image files: opened with what may be wrong told apart, and whose fault it is."""

from service.errors import FileOutOfReach
from service.probes.pixels import CannotRead


def out_of_reach(row: int, error: OSError | CannotRead) -> FileOutOfReach:
    """What to raise where not the image of that row is to blame, but the disk or the machine."""
    reason = error.strerror if isinstance(error, OSError) else str(error)
    return FileOutOfReach(
        f"The image of manifest row {row} cannot be read now: {reason}.",
        field="image",
        value=f"row {row}",
        remedy="Check the disk that it is on, and this machine's memory and limits on open files; then try again.",
    )
