"""As whom Postgres runs: it refuses to be root.

In this order: as ourselves where we are not root; as root who looks like somebody else, inside a user namespace (no
file changes its owner, and folders below /root work); as an unprivileged user who then owns the data.
"""

import os
import pwd
import subprocess
from dataclasses import dataclass
from pathlib import Path

from cli.embedded.processes import command_as
from service.errors import InvalidInput

_MAPPED = "--mapped=1000:1000"


@dataclass(frozen=True)
class Identity:
    """`options` for the shim; `owner` (uid, gid) of the files where they must change hands."""

    options: tuple[str, ...] = ()
    owner: tuple[int, int] | None = None

    def give(self, directory: Path) -> None:
        """Hand a folder and all in it to the owner, where there is one."""
        if self.owner is None or directory.stat().st_uid == self.owner[0]:
            return
        for root, _, files in os.walk(directory):
            paths = [root, *(os.path.join(root, name) for name in files)]  # noqa: PTH118 - os.walk gives strings
            for path in paths:
                os.lchown(path, *self.owner)


def choose_identity(data_dir: Path, binary: Path) -> Identity:
    """Decide for the server's existing folder, and hand it over where it has to change its owner.

    Raises InvalidInput when the unprivileged user cannot reach the folder or the program.
    """
    if os.geteuid() != 0:
        return Identity()

    status = data_dir.stat()
    if status.st_uid == 0 and _complaint((_MAPPED,), binary) is None:
        return Identity(options=(_MAPPED,))

    uid, gid = (status.st_uid, status.st_gid) if status.st_uid != 0 else _unprivileged_user()
    identity = Identity(options=(f"--user={uid}:{gid}",), owner=(uid, gid))
    identity.give(data_dir)

    complaint = _complaint((*identity.options, f"--enter={data_dir}"), binary)
    if complaint is not None:
        raise InvalidInput(
            f"Postgres does not run as root, and user {uid} cannot reach its files: {complaint}.",
            field="data_dir",
            value=data_dir,
            remedy="Choose a folder with --data-dir that every user can enter, or start as an ordinary user.",
        )

    return identity


def _unprivileged_user() -> tuple[int, int]:
    for name in ("postgres", "nobody"):
        try:
            entry = pwd.getpwnam(name)
        except KeyError:
            continue
        return entry.pw_uid, entry.pw_gid

    return 65534, 65534


def _complaint(options: tuple[str, ...], binary: Path) -> str | None:
    """None where the binary runs with these options, else the reason why not."""
    command = command_as((binary, "--version"), *options)
    trial = subprocess.run(command, capture_output=True, text=True, check=False, stdin=subprocess.DEVNULL)
    if trial.returncode == 0:
        return None
    return trial.stderr.strip() or f"exit status {trial.returncode}"
