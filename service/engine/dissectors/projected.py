"""Dissectors of kind `projected`: two encoders that ship as packages, and two heads fitted on image-report pairs.

A bundle is a directory:

    dissector.json      kind, encoders and digests of their weights, preprocessing, layers, provenance, figures
    heads.safetensors   the two heads (heads.Heads)
    encoder.safetensors the image encoder's weights, only where fitting changed them
"""

import json
import shutil
import tempfile
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import torch
from safetensors.torch import save
from torch import Tensor

from service.domain.digests import digest_of, digest_of_file
from service.domain.json_text import check_values
from service.domain.json_values import JsonObject
from service.domain.preprocessing import Preprocessing
from service.engine.dissectors.bundle_config import HeadsEntry, ImageEncoderEntry, read_bundle_config
from service.engine.dissectors.directory import DissectorFolder, check_image_size
from service.engine.dissectors.encoders import ImageEncoderSpec, ImageFeatures, SentenceEncoder, TextEncoderSpec
from service.engine.dissectors.heads import Heads
from service.engine.networks.protocols import TokenizedText
from service.errors import InvalidDissector, InvalidInput

KIND = "projected"
_HEADS, _ENCODER, _CONFIG = "heads.safetensors", "encoder.safetensors", "dissector.json"
_PARTS = ("kind", "format", "image_encoder", "text_encoder", "preprocessing", "heads")
"""What the digest is of."""


class ProjectedDissector:
    """A `Dissector` made of an image encoder, a sentence encoder and heads."""

    def __init__(
        self, images: ImageFeatures, sentences: SentenceEncoder, heads: Heads, preprocessing: Preprocessing, digest: str
    ) -> None:
        self._images = images
        self._sentences = sentences
        self._heads = heads
        self._preprocessing = preprocessing
        self._digest = digest

    @property
    def preprocessing(self) -> Preprocessing:
        """What its image encoder expects."""
        return self._preprocessing

    @property
    def digest(self) -> str:
        """Content digest of encoders' weights, preprocessing, layers and heads; figures and provenance do not count."""
        return self._digest

    @property
    def notes(self) -> Sequence[str]:
        """None: its description says everything."""
        return ()

    @torch.inference_mode()
    def embed_images(self, images: Tensor) -> Tensor:
        """float32 [B, 3, H, W] -> unit-length embeddings, float32 [B, D]."""
        return self._heads.embed_features(self._images(images))

    @torch.inference_mode()
    def embed_texts(self, texts: Sequence[str]) -> Tensor:
        """C texts -> unit-length embeddings, float32 [C, D], on the dissector's device."""
        return self._heads.embed_sentences(self._sentences(texts))

    def tokenize(self, texts: Sequence[str]) -> Sequence[TokenizedText]:
        """The texts as the sentence encoder reads them."""
        return self._sentences.tokenize(texts)


@dataclass(frozen=True)
class Bundle:
    """What is written: the parts of a dissector and what is known of it.

    encoder: weights of the image encoder where fitting changed them, else None.
    """

    image_encoder: ImageEncoderSpec
    image_encoder_sha256: str
    text_encoder: TextEncoderSpec
    text_encoder_sha256: dict[str, str]
    preprocessing: Preprocessing
    heads: Heads
    provenance: JsonObject
    held_out: JsonObject
    encoder: dict[str, Tensor] | None = None


def check_place(out: Path) -> None:
    """Raise InvalidDissector when `out` exists and is no dissector directory."""
    if out.exists() and not (out / _CONFIG).is_file():
        raise InvalidDissector(
            f"'{out.name}' already exists and is not a dissector.",
            field="out",
            value=out,
            remedy="Name a new or empty directory.",
        )


def write_bundle(bundle: Bundle, out: Path) -> Path:
    """Write a bundle beside `out` and rename it into place, so that `out` is complete or not there.

    An older dissector there is replaced. Raises InvalidDissector as `check_place` does and, before anything is
    written, where the fit gave a figure that is no number: a dissector with it could not be opened.
    """
    check_place(out)
    _check_figures(bundle)
    out.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=f".{out.name}-", dir=out.parent) as scratch:
        fresh = Path(scratch) / "new"
        fresh.mkdir()
        (fresh / _HEADS).write_bytes(save(bundle.heads.tensors()))

        encoder: dict[str, object] = {**asdict(bundle.image_encoder), "sha256": bundle.image_encoder_sha256}
        if bundle.encoder is not None:
            halved = {
                name: (value.half() if value.is_floating_point() else value).cpu().contiguous()
                for name, value in bundle.encoder.items()
            }
            (fresh / _ENCODER).write_bytes(save(halved))
            encoder = {**encoder, "sha256": digest_of_file(fresh / _ENCODER), "weights": _ENCODER}

        config = {
            "kind": KIND,
            "format": 1,
            "image_encoder": encoder,
            "text_encoder": {**asdict(bundle.text_encoder), "sha256": bundle.text_encoder_sha256},
            "preprocessing": bundle.preprocessing.as_dict(),
            "heads": {"file": _HEADS, "sha256": digest_of_file(fresh / _HEADS)},
            "provenance": bundle.provenance,
            "held_out": bundle.held_out,
        }
        text = json.dumps(config, indent=2, ensure_ascii=False, allow_nan=False)
        (fresh / _CONFIG).write_text(text + "\n", encoding="utf-8")

        if out.exists():
            shutil.move(out, Path(scratch) / "old")
        fresh.rename(out)
    return out


def _check_figures(bundle: Bundle) -> None:
    try:
        check_values({"provenance": bundle.provenance, "held_out": bundle.held_out}, _CONFIG)
    except InvalidInput as error:
        raise InvalidDissector(
            f"The fit gave what no dissector can say of itself: {error.detail}",
            field=error.field,
            remedy="Check the learning rates, the images and their reports; then fit again.",
        ) from error


def open_projected(folder: DissectorFolder, config: JsonObject, device: torch.device) -> ProjectedDissector:
    """Open a bundle's directory; `config` is its dissector.json.

    Raises InvalidDissector when a part is missing or does not fit, DigestMismatch when an encoder's installed weights
    are not those that the heads were fitted on.
    """
    entries = read_bundle_config(folder, config)
    preprocessing = entries.preprocessing
    check_image_size(preprocessing)

    heads = _open_heads(folder, entries.heads).to(device)
    features = _open_features(folder, entries.image_encoder, device)
    if features.width != heads.image_weight.shape[1]:
        raise InvalidDissector(
            f"The heads take {heads.image_weight.shape[1]} features where the layers give {features.width}.",
            field="heads",
            remedy="Fit the dissector again.",
        )

    sentences = SentenceEncoder(entries.text_encoder.spec, device, expected=entries.text_encoder.sha256)
    parts = {name: config[name] for name in _PARTS}
    return ProjectedDissector(features, sentences, heads, preprocessing, digest_of(parts))


def _open_features(folder: DissectorFolder, entry: ImageEncoderEntry, device: torch.device) -> ImageFeatures:
    if entry.weights is None:
        return ImageFeatures(entry.spec, device, sha256=entry.sha256)

    folder.require(entry.weights)
    checkpoint = folder.path / entry.weights
    return ImageFeatures(entry.spec, device, sha256=entry.sha256, checkpoint=checkpoint, roots=folder.roots)


def _open_heads(folder: DissectorFolder, entry: HeadsEntry) -> Heads:
    folder.require(entry.file)
    if folder.sha256[entry.file] != entry.sha256:
        raise InvalidDissector(
            "The heads differ from those that dissector.json describes.",
            field="heads",
            value=entry.file,
            remedy="Copy the whole directory again, or fit the dissector again.",
        )
    return Heads(folder.open_checkpoint(entry.file).weights)
