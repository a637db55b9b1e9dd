"""Commands as people call them, without the profiles and settings of whoever runs the tests."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest

from cli.main import main


@dataclass(frozen=True, slots=True)
class Done:
    """What a command printed and the status it ended with."""

    status: int
    stdout: str
    stderr: str


Run = Callable[..., Done]


@pytest.fixture(autouse=True)
def config_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty folder of profiles."""
    for name in ("PROFILE", "URL", "API_KEY", "API_KEY_FILE"):
        monkeypatch.delenv(f"MAMMODISSECT_{name}", raising=False)
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    return tmp_path / "config" / "mammodissect"


@pytest.fixture
def run(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Run:
    """The command in this process, as the console script calls it."""

    def call(*arguments: str) -> Done:
        monkeypatch.setattr("sys.argv", ["mammodissect", *arguments])
        with pytest.raises(SystemExit) as ended:
            main()
        printed = capsys.readouterr()
        return Done(int(ended.value.code or 0), printed.out, printed.err)

    return call
