"""Whatever file a command is given: anything but a regular file is refused at once, with one line."""

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from service.signatures import SigningKey
from tests.cli.test_main import Done, arguments, folder, mammodissect

__all__ = ["folder", "mammodissect"]

pytestmark = pytest.mark.timeout(60)


@pytest.fixture(params=["fifo", "device"])
def odd(tmp_path: Path, request: pytest.FixtureRequest) -> Callable[[str], str]:
    """Makes something of that name that is not a regular file."""

    def make(name: str) -> str:
        path = tmp_path / name
        if request.param == "fifo":
            os.mkfifo(path)
        else:
            path.symlink_to("/dev/zero")
        return str(path)

    return make


def check_refused(done: Done) -> None:
    assert done.status == 2
    assert done.stderr.startswith("mammodissect: ")
    assert "it is not a regular file" in done.stderr
    assert done.stderr.count("\n") == 1


@pytest.mark.parametrize(("option", "name"), [("probe-set", "m.csv"), ("concept-set", "concepts.txt")])
def test_dissect(
    option: str, name: str, odd: Callable[[str], str], folder: Path, mammodissect: Callable[..., Done], tmp_path: Path
) -> None:
    check_refused(mammodissect(*arguments(folder, **{option: odd(name), "out": str(tmp_path / "out.json")})))


def test_evaluate_and_fit_dissector(
    odd: Callable[[str], str], tmp_path: Path, mammodissect: Callable[..., Done]
) -> None:
    manifest = odd("m.csv")
    check_refused(mammodissect("evaluate", manifest, "--out", str(tmp_path / "out")))
    check_refused(mammodissect("fit-dissector", "--manifest", manifest, "--out", str(tmp_path / "out")))


def test_verify(odd: Callable[[str], str], tmp_path: Path, mammodissect: Callable[..., Done]) -> None:
    """A key may come from a pipe, as shells hand over secrets; a report is a file."""
    key = tmp_path / "key.pem"
    key.write_text(SigningKey.create(tmp_path / "private.pem").public.pem)
    check_refused(mammodissect("verify", odd("report.json"), "--public-key", str(key)))
