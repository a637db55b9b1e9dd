"""A cluster that is made once and copied."""

import shutil
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from cli.embedded import PostgresServer

FAST = {"fsync": "off"}


@pytest.fixture(scope="session")
def seed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a server that has been stopped."""
    directory = tmp_path_factory.mktemp("seed")
    with PostgresServer(directory, settings=FAST):
        pass
    return directory


@pytest.fixture
def seeded(seed: Path, tmp_path: Path) -> Callable[..., PostgresServer]:
    """Make a server, by default in a folder that exists already and durable."""

    def make(directory: Path | None = None, **settings: str) -> PostgresServer:
        data_dir = tmp_path / "pg" if directory is None else directory
        shutil.copytree(seed / "cluster", data_dir / "cluster")
        return PostgresServer(data_dir, settings=settings)

    return make


@pytest.fixture
def open_folder() -> Iterator[Path]:
    """A folder that every user may enter, unlike pytest's own."""
    directory = Path(tempfile.mkdtemp(prefix="open-"))
    directory.chmod(0o777)
    yield directory
    shutil.rmtree(directory)
