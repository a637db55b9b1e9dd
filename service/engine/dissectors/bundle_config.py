"""The description of a projected dissector, checked entry by entry."""

import json
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from service.domain.json_values import JsonObject
from service.domain.preprocessing import Preprocessing
from service.engine.dissectors.directory import CONFIG, DissectorFolder
from service.engine.dissectors.encoders import ImageEncoderSpec, TextEncoderSpec
from service.errors import InvalidDissector
from service.wrong_values import expected_of

_MOST_TOKENS = 8192
_COLOURS = 3


class _Object(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class ImageEncoderEntry(_Object):
    """The image encoder. weights: the file of the directory with its weights; None for those of its package."""

    package: str
    file: str
    architecture: str
    layers: Annotated[tuple[str, ...], Field(min_length=1)]
    sha256: str
    weights: str | None = None

    @property
    def spec(self) -> ImageEncoderSpec:
        """Which network it is."""
        return ImageEncoderSpec(self.package, self.file, self.architecture, self.layers)


class TextEncoderEntry(_Object):
    """The sentence encoder, with the digest of each of its files."""

    package: str
    folder: str
    max_tokens: Annotated[int, Field(ge=3, le=_MOST_TOKENS)]
    sha256: dict[str, str]

    @property
    def spec(self) -> TextEncoderSpec:
        """Which network it is."""
        return TextEncoderSpec(self.package, self.folder, self.max_tokens)


class HeadsEntry(_Object):
    """The file of the heads and its digest."""

    file: str
    sha256: str


class BundleConfig(_Object):
    """What opens a dissector."""

    format: Literal[1]
    image_encoder: ImageEncoderEntry
    text_encoder: TextEncoderEntry
    preprocessing: Preprocessing
    heads: HeadsEntry


def read_bundle_config(folder: DissectorFolder, config: JsonObject) -> BundleConfig:
    """What opens a dissector, out of its dissector.json. Raises InvalidDissector, naming the first wrong entry."""
    # Its kind, its figures and its provenance stand beside that in the file.
    entries = {name: config[name] for name in BundleConfig.model_fields if name in config}
    try:
        # As JSON: Python's own values would have to be tuples where JSON has lists.
        bundle = BundleConfig.model_validate_json(json.dumps(entries), strict=True)
    except ValidationError as error:
        wrong = error.errors(include_url=False, include_input=False)[0]
    else:
        _check_colours(bundle.preprocessing, folder)
        return bundle

    entry = ".".join(f"{step!s:.40}" for step in wrong["loc"])
    match wrong["type"]:
        case "missing":
            problem = "is missing"
        case "extra_forbidden" | "unexpected_keyword_argument":
            problem = "is not known"
        case kind:
            problem = f"must be {expected_of(kind, wrong.get('ctx', {}))}"
    raise InvalidDissector(
        f"The entry {entry} of {CONFIG} {problem}.",
        field="dissector",
        value=folder.path / CONFIG,
        remedy="Correct the entry, or fit the dissector again.",
    )


def _check_colours(contract: Preprocessing, folder: DissectorFolder) -> None:
    """Raise InvalidDissector where images would not have the three channels that the image encoder takes."""
    counts = {"mean": len(contract.mean), "std": len(contract.std), "channels": contract.channels}
    for name, count in counts.items():
        if count == _COLOURS:
            continue
        raise InvalidDissector(
            f"The entry preprocessing.{name} of {CONFIG} must be for {_COLOURS} channels, not {count}.",
            field="dissector",
            value=folder.path / CONFIG,
            remedy="Correct the entry, or fit the dissector again.",
        )
