"""Training in a process of its own: what it hands on, and how it ends."""

from pathlib import Path
from typing import cast

import pytest
from rich.console import Console

from cli.client import ServiceError
from cli.training_beside import TrainingBeside
from service.errors import InvalidCheckpoint
from service.studies.phantom_targets import targets_in

CONSOLE = Console(quiet=True)


def test_weights_that_are_there_are_not_trained_again(tmp_path: Path) -> None:
    written = targets_in(tmp_path)
    written.mammography.touch()
    written.calcifications.touch()
    with TrainingBeside(tmp_path / "unread.pth", tmp_path) as training:
        assert training.finish(CONSOLE) == written


def test_why_it_could_not_go_on_is_raised_here(tmp_path: Path) -> None:
    (tmp_path / "damaged.pth").write_bytes(b"no weights")
    with TrainingBeside(tmp_path / "damaged.pth", tmp_path) as training, pytest.raises(InvalidCheckpoint):
        training.finish(CONSOLE)


def test_a_process_that_dies_is_told(tmp_path: Path) -> None:
    unusable = cast("Path", None)
    with TrainingBeside(unusable, tmp_path) as training, pytest.raises(ServiceError, match="ended with status 1"):
        training.finish(CONSOLE)


def test_whoever_leaves_earlier_ends_the_training(tmp_path: Path) -> None:
    with TrainingBeside(tmp_path / "damaged.pth", tmp_path) as training:
        pass
    assert not training._process.is_alive()
    assert training._process.exitcode != 0
