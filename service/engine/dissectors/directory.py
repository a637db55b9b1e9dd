"""A dissector's directory: `dissector.json` and the files it names, as they were when the directory was digested."""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from service.domain.digests import digest_of, digests_in_directory, places_of
from service.domain.json_text import parse_json
from service.domain.json_values import JsonObject
from service.domain.models import DissectorSpec
from service.domain.preprocessing import Preprocessing
from service.engine.networks.checkpoints import Checkpoint, open_checkpoint
from service.errors import DigestMismatch, InvalidDissector, InvalidInput
from service.files import DataRoots, TooLarge, is_lasting, out_of_reach, remedy_for

CONFIG = "dissector.json"

_LARGEST_TEXT = 64 << 20
_LARGEST_IMAGE_SIDE = 8192


@dataclass(frozen=True, slots=True)
class DissectorFolder:
    """A directory whose files are known by their digests, so that none can be another one when it is used."""

    path: Path
    """Path of the directory, with links resolved."""

    sha256: Mapping[str, str]
    """The digest of every file, by its name below the directory."""

    most: int | None = None
    """How many bytes any of its files may have; None for any number."""

    @classmethod
    def open(cls, spec: DissectorSpec) -> "DissectorFolder":
        """Digest a directory.

        Raises InvalidDissector where it holds anything but regular files or is none of ours to read, FileOutOfReach
        where the disk or the machine is in trouble or a file is written to meanwhile.
        """
        try:
            path = spec.path.resolve()
            return cls(path, digests_in_directory(path, spec.roots), spec.roots.most)
        except (OSError, ValueError) as error:
            if isinstance(error, OSError) and not is_lasting(error):
                raise out_of_reach("dissector's directory", error, field="dissector", value=spec.path) from error
            reason = error.strerror if isinstance(error, OSError) else "it is not a path"
            raise InvalidDissector(
                f"The dissector's directory cannot be used: {reason}.",
                field="dissector",
                value=spec.path,
                remedy=remedy_for(
                    error,
                    f"Name a directory with {CONFIG} and other regular files, inside DATA_ROOTS where these are set; "
                    "replace links by the files that they point to.",
                ),
            ) from error

    @property
    def digest(self) -> str:
        """The digest of the whole directory."""
        return digest_of(dict(self.sha256))

    @property
    def roots(self) -> DataRoots:
        """Where its files must lie: see `places_of`."""
        return DataRoots(places_of(self.path), self.most)

    def read(self, name: str) -> bytes:
        """The content of a text or a description.

        Raises InvalidDissector where there is no such file or it is too large, DigestMismatch where it has changed,
        FileOutOfReach where the disk or the machine is in trouble.
        """
        self.require(name)
        try:
            content = self.roots.read(self.path / name, most=_LARGEST_TEXT)
        except TooLarge as error:
            raise InvalidDissector(
                f"The dissector's file '{name}' cannot be used: {error.strerror}.",
                field="dissector",
                value=self.path / name,
                remedy=remedy_for(error, "Replace it with the right file."),
            ) from error
        except OSError as error:
            if not is_lasting(error):
                what = f"dissector's file '{name}'"
                raise out_of_reach(what, error, field="dissector", value=self.path / name) from error
            raise self._missing(name) from error

        if hashlib.sha256(content).hexdigest() != self.sha256[name]:
            raise DigestMismatch(
                f"'{name}' changed while the dissector was opened.",
                field="dissector",
                value=self.path / name,
                remedy="Try again when no other process writes to the directory.",
            )
        return content

    def read_json(self, name: str) -> JsonObject:
        """The JSON object in a file. Raises InvalidDissector where it holds none, and as `read` does."""
        content = self.read(name)
        try:
            value = parse_json(content, root="file")
        except InvalidInput as error:
            raise InvalidDissector(
                f"{name} cannot be used. {error.detail}",
                field="dissector",
                value=self.path / name,
                remedy="Correct the file.",
            ) from error

        if not isinstance(value, dict):
            raise InvalidDissector(
                f"{name} does not contain a JSON object.",
                field="dissector",
                value=self.path / name,
                remedy="Write a JSON object in braces.",
            )

        return value

    def read_config(self) -> JsonObject:
        """The content of `dissector.json`. Raises InvalidDissector when it is missing or is not a JSON object."""
        if CONFIG not in self.sha256:
            raise InvalidDissector(
                f"The dissector's directory has no {CONFIG}.",
                field="dissector",
                value=self.path,
                remedy="Put one there, such as "
                '{"kind": "mammo-clip", "checkpoint": "weights.tar", "vocab": "vocab.txt"}.',
            )
        return self.read_json(CONFIG)

    def open_checkpoint(self, name: str, wanted: str | None = None) -> Checkpoint:
        """Open a weights file of the directory. Raises InvalidDissector, and as `open_checkpoint` does."""
        self.require(name)
        return open_checkpoint(self.path / name, sha256=self.sha256[name], roots=self.roots, wanted=wanted)

    def require(self, name: str) -> None:
        """Raise InvalidDissector where the directory has no such file."""
        if name not in self.sha256:
            raise self._missing(name)

    def named_file(self, config: JsonObject, entry: str) -> str:
        """The file that `config[entry]` names, which must lie in the directory: the digest covers nothing else.

        Raises InvalidDissector when the entry is missing, leads outside, or there is no such file.
        """
        name = config.get(entry)
        if not isinstance(name, str) or not name:
            raise InvalidDissector(
                f"{CONFIG} has no entry '{entry}'.",
                field="dissector",
                value=self.path,
                remedy=f'Add "{entry}": "<file name>" to it.',
            )

        written = PurePosixPath(name)
        if written.is_absolute() or ".." in written.parts:
            raise InvalidDissector(
                f"The {entry} is outside the dissector's directory.",
                field="dissector",
                value=name,
                remedy="Copy it into the directory.",
            )

        if written.as_posix() not in self.sha256:
            raise InvalidDissector(
                f"The dissector's directory has no {entry} '{name}'.",
                field="dissector",
                value=self.path / name,
                remedy=f"Copy the file there, or correct the entry in {CONFIG}.",
            )

        return written.as_posix()

    def _missing(self, name: str) -> InvalidDissector:
        return InvalidDissector(
            f"The dissector's file '{name}' is missing.",
            field="dissector",
            value=name,
            remedy="Copy the whole directory again.",
        )


def check_image_size(contract: Preprocessing) -> None:
    """Raise InvalidDissector where a dissector asks for images of a size that no mammogram has."""
    for side in (contract.height, contract.width):
        if type(side) is not int or not 1 <= side <= _LARGEST_IMAGE_SIDE:
            raise InvalidDissector(
                f"The dissector's images would be {contract.height} x {contract.width}.",
                field="dissector",
                value=side,
                remedy=f"Height and width are whole numbers from 1 to {_LARGEST_IMAGE_SIDE}.",
            )
