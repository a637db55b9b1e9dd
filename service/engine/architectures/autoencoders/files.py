"""An autoencoder's file, and what stands beside it, made into an encoder."""

from pathlib import Path

import torch
from torch import Tensor

from service.domain.autoencoder_folders import FIELD, autoencoder_weights_in, read_configuration
from service.domain.autoencoders import AutoencoderReading, AutoencoderSpec
from service.domain.json_values import JsonObject
from service.engine.architectures.autoencoders.configs import Encoding, encoding_of
from service.engine.architectures.autoencoders.deciding import Decided, decide
from service.engine.architectures.autoencoders.entries import Entries, find_entries
from service.engine.networks.autoencoder import LayerAutoencoder, SparseEncoder
from service.engine.networks.checkpoints import Checkpoint, open_checkpoint
from service.errors import DigestMismatch, DissectError, InvalidCheckpoint, UnsafeCheckpoint
from service.files import is_lasting, out_of_reach, remedy_for

_SAVE_WEIGHTS = (
    "Where the file is trusted, open it there, save the weights alone with safetensors.torch.save_file(weights, path), "
    "and register the new file."
)


_ENTRIES = (
    "Save its encoder as W_enc [numbers, latents], b_enc [latents], and b_dec [numbers] where that is subtracted."
)


def read_autoencoder(spec: AutoencoderSpec) -> LayerAutoencoder:
    """Read it, on the CPU; whether it fits its layer is for the caller to check.

    Raises InvalidCheckpoint, UnsafeCheckpoint, DigestMismatch, FileOutOfReach, and InvalidInput where what was given
    contradicts the file.
    """
    path = autoencoder_weights_in(Path(spec.checkpoint))
    configuration, described_by = _described(path, spec)
    checkpoint = _opened(path, spec)

    entries = find_entries(checkpoint)
    said = Encoding(entries.layout) if configuration is None else encoding_of(configuration)
    latents, width = entries.weight.shape
    _check_sizes(said, latents=latents, width=width)

    decided = decide(spec, said, entries)
    encoder = _encoder(decided, said, entries)
    reading: AutoencoderReading = {
        "layer": spec.layer,
        "latents": latents,
        "width": width,
        "layout": said.layout,
        "sha256": checkpoint.sha256,
        "described_by": described_by,
        "activation": decided.activation,
        "k": decided.k,
        "pre_bias": entries.pre_bias_name if decided.subtracts else None,
        "normalisation": said.normalisation,
        "scaled": said.scaled,
        "unused": entries.unused,
        "warnings": list(decided.warnings),
    }
    return LayerAutoencoder(encoder, reading)


def _described(path: Path, spec: AutoencoderSpec) -> tuple[JsonObject | None, str | None]:
    """What stands beside the weights, and its digest."""
    try:
        configuration, digest = read_configuration(path, spec.roots)
    except (OSError, ValueError) as error:
        if isinstance(error, OSError) and not is_lasting(error):
            raise out_of_reach("configuration beside the autoencoder", error, field=FIELD, value=path) from error
        raise InvalidCheckpoint(
            "The configuration beside the autoencoder's weights cannot be read.",
            field=FIELD,
            value=path,
            remedy=remedy_for(error, "Name a folder that the service may read, inside DATA_ROOTS where these are set."),
        ) from error

    if spec.described_by is not None and (digest or "") != spec.described_by:
        raise DigestMismatch(
            "The configuration beside the autoencoder's weights is not what was registered.",
            field=FIELD,
            value=path,
            remedy="Put the registered file back, or register the model again.",
        )
    return configuration, digest


def _opened(path: Path, spec: AutoencoderSpec) -> Checkpoint:
    try:
        return open_checkpoint(path, sha256=spec.sha256, roots=spec.roots)
    except DissectError as error:
        remedy = _SAVE_WEIGHTS if isinstance(error, UnsafeCheckpoint) else error.remedy
        raise type(error)(
            f"The autoencoder cannot be read. {error.detail}",
            field=f"autoencoder.{error.field}",
            value=error.value,
            remedy=remedy,
        ) from error


def _check_sizes(said: Encoding, *, latents: int, width: int) -> None:
    for what, stated, actual in (("latents", said.latents, latents), ("numbers to read", said.width, width)):
        if stated is not None and stated != actual:
            raise InvalidCheckpoint(
                f"The configuration beside the autoencoder's weights says {stated} {what}, but the weights have "
                f"{actual}.",
                field=FIELD,
                value=actual,
                remedy="Give the weights and the configuration of one autoencoder.",
            )


def _encoder(decided: Decided, said: Encoding, entries: Entries) -> SparseEncoder:
    latents, width = entries.weight.shape
    weight = _numbers("weights", entries.weight, (latents, width))
    bias = _numbers("bias", entries.bias, (latents,))
    threshold = _thresholds(entries, latents) if decided.activation == "jumprelu" else None
    pre_bias = None
    if decided.subtracts and entries.pre_bias is not None:
        pre_bias = _numbers(f"entry '{entries.pre_bias_name}'", entries.pre_bias, (width,))

    if said.scaled:
        # What each latent is multiplied by comes out the same from an encoder that is larger by it.
        lengths = _lengths(entries)
        weight, bias = weight * lengths[:, None], bias * lengths
        threshold = None if threshold is None else threshold * lengths

    encoder = SparseEncoder(
        weight, bias, pre_bias=pre_bias, threshold=threshold, k=decided.k, normalisation=said.normalisation
    )
    return encoder.eval()


def _thresholds(entries: Entries, latents: int) -> Tensor:
    """One for each latent: some files have one for all."""
    if entries.threshold is None:
        raise InvalidCheckpoint(
            "The autoencoder has no entry 'threshold', which its activation jumprelu needs.",
            field=FIELD,
            remedy="Save it with one; or give the activation that it has: relu or topk.",
        )
    threshold = entries.threshold
    return _numbers("threshold", threshold.expand(latents) if threshold.numel() == 1 else threshold, (latents,))


def _lengths(entries: Entries) -> Tensor:
    if entries.decoder is None:
        raise InvalidCheckpoint(
            "The autoencoder has no decoder, by whose lengths its configuration says that the latents are multiplied.",
            field=FIELD,
            remedy="Give the whole autoencoder, with its W_dec.",
        )
    decoder = _numbers("decoder", entries.decoder, tuple(entries.weight.shape))
    lengths: Tensor = torch.linalg.vector_norm(decoder, dim=1)
    return lengths


def _numbers(name: str, values: Tensor, shape: tuple[int, ...]) -> Tensor:
    """As float32. Raises InvalidCheckpoint for another shape, and where some are not finite."""
    if tuple(values.shape) != shape or not values.is_floating_point():
        kind = str(values.dtype).removeprefix("torch.")
        raise InvalidCheckpoint(
            f"The autoencoder's {name} are {list(values.shape)} of {kind} instead of {list(shape)} of float32.",
            field=FIELD,
            value=list(values.shape),
            remedy=_ENTRIES,
        )

    numbers = values.float().contiguous()
    if not bool(numbers.isfinite().all()):
        raise InvalidCheckpoint(
            f"The autoencoder's {name} are not finite numbers.",
            field=FIELD,
            remedy="Give a file from before its training failed, saved in float32 where float16 was too small.",
        )
    return numbers
