"""Snapshots of a Hugging Face cache: links into its own blobs are followed, and none that lead elsewhere."""

from pathlib import Path

import pytest

from service.db.session import Sessions, transaction
from service.domain.digests import digest_of_directory
from service.errors import InvalidInput
from service.files import DataRoots, OutsideRoots
from service.usecases.models import NamedCheckpoint, register_model
from tests.usecases.factories import RecordingQueue


@pytest.fixture
def snapshot(tmp_path: Path) -> Path:
    model = tmp_path / "hub" / "models--org--name"
    folder = model / "snapshots" / "0123abc"
    folder.mkdir(parents=True)
    (model / "blobs").mkdir()
    for name, content in (("config.json", b"{}"), ("model.safetensors", b"weights")):
        (model / "blobs" / content.hex()).write_bytes(content)
        (folder / name).symlink_to(f"../../blobs/{content.hex()}")
    return folder


@pytest.mark.parametrize("named", ["", "model.safetensors"])
@pytest.mark.proves("source", "a snapshot of a Hugging Face cache")
def test_the_weights_of_a_snapshot_are_a_checkpoint(snapshot: Path, sessions: Sessions, named: str) -> None:
    checkpoint = NamedCheckpoint(str(snapshot / named), "timm/resnet18")
    with transaction(sessions) as session:
        model, _ = register_model(
            session, RecordingQueue(), checkpoint, name="m", roots=DataRoots.of([snapshot.parent.parent])
        )
    assert Path(str(model.spec["checkpoint"])).read_bytes() == b"weights"


def test_two_files_of_weights_have_to_be_named(snapshot: Path, sessions: Sessions) -> None:
    for name in ("a.bin", "b.safetensors"):
        (snapshot / name).write_bytes(b"x")
    with transaction(sessions) as session, pytest.raises(InvalidInput, match="3 files of weights") as refused:
        register_model(
            session,
            RecordingQueue(),
            NamedCheckpoint(str(snapshot), "timm/resnet18"),
            name="m",
            roots=DataRoots.of([snapshot]),
        )
    assert str(snapshot) in str(refused.value.remedy)


def test_a_folder_that_is_a_snapshot_has_the_digest_of_its_content(snapshot: Path, tmp_path: Path) -> None:
    plain = tmp_path / "plain"
    plain.mkdir()
    (plain / "config.json").write_bytes(b"{}")
    (plain / "model.safetensors").write_bytes(b"weights")
    assert digest_of_directory(snapshot, DataRoots.of([tmp_path / "hub"])) == digest_of_directory(plain)


def test_links_that_lead_elsewhere_are_not_followed(snapshot: Path, tmp_path: Path) -> None:
    with pytest.raises(OutsideRoots):
        digest_of_directory(snapshot, DataRoots.of([snapshot]))
    (tmp_path / "secret").write_bytes(b"secret")
    (snapshot / "vocab.txt").symlink_to(tmp_path / "secret")
    with pytest.raises(OutsideRoots):
        digest_of_directory(snapshot)
    (tmp_path / "ordinary").mkdir()
    (tmp_path / "ordinary" / "x").symlink_to(tmp_path / "secret")
    with pytest.raises(OutsideRoots):
        digest_of_directory(tmp_path / "ordinary")
