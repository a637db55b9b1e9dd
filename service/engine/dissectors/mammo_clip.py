"""Dissector kind `mammo-clip`: a published pre-training checkpoint and its BERT vocabulary."""

from collections.abc import Sequence

import torch
from tokenizers import BertWordPieceTokenizer, Encoding
from torch import Tensor

from service.domain.json_values import JsonObject
from service.domain.preprocessing import MAMMO_CLIP, Preprocessing
from service.engine.architectures.loading import load_strictly
from service.engine.dissectors.directory import CONFIG, DissectorFolder
from service.engine.dissectors.weights_files import fitting_weights, open_weights
from service.engine.networks.checkpoints import Checkpoint
from service.engine.networks.folding import fold_norms
from service.engine.networks.mammo_clip import VARIANTS, VOCABULARY, MammoClip
from service.engine.networks.protocols import TokenizedText
from service.errors import InvalidDissector

_ENCODER_NAMES = {"tf_efficientnet_b5_ns-detect": "b5", "tf_efficientnetv2-detect": "b2"}
_MAX_TOKENS = 256
_TEXTS_PER_BATCH = 64
_NO_WEIGHT = "text_encoder.text_encoder.embeddings.position_ids"  # transformers before 4.31 saved this constant
_SPECIAL_TOKENS = ("[PAD]", "[UNK]", "[CLS]", "[SEP]")


class MammoClipDissector:
    """Scores by Mammo-CLIP's embeddings, with every part in eval mode."""

    def __init__(
        self,
        network: MammoClip,
        tokenizer: BertWordPieceTokenizer,
        digest: str,
        device: torch.device,
        notes: Sequence[str] = (),
    ) -> None:
        self._network = network
        self._notes = notes
        self._tokenizer = tokenizer
        self._digest = digest
        self._device = device

    @property
    def preprocessing(self) -> Preprocessing:
        """Mammo-CLIP's published contract."""
        return MAMMO_CLIP

    @property
    def digest(self) -> str:
        """Content digest of the dissector's directory."""
        return self._digest

    @property
    def notes(self) -> Sequence[str]:
        """What was decided of a file that is not as published."""
        return self._notes

    @torch.inference_mode()
    def embed_images(self, images: Tensor) -> Tensor:
        """float32 [B, 3, H, W] -> unit-length, float32 [B, 512]."""
        return self._network.embed_images(images.to(self._device))

    @torch.inference_mode()
    def embed_texts(self, texts: Sequence[str]) -> Tensor:
        """C texts, each cut at 256 tokens -> unit-length, float32 [C, 512]."""
        parts = []
        for start in range(0, len(texts), _TEXTS_PER_BATCH):
            encoded = self._tokenizer.encode_batch(list(texts[start : start + _TEXTS_PER_BATCH]))
            ids = torch.tensor([text.ids for text in encoded], device=self._device)
            mask = torch.tensor([text.attention_mask for text in encoded], device=self._device)
            parts.append(self._network.embed_tokens(ids, mask))
        return torch.cat(parts)

    def tokenize(self, texts: Sequence[str]) -> Sequence[TokenizedText]:
        """The texts as word pieces, cut at 256."""
        return [_as_read(encoding) for encoding in self._tokenizer.encode_batch(list(texts))]


def _as_read(encoding: Encoding) -> TokenizedText:
    kept = tuple(token for token, is_text in zip(encoding.ids, encoding.attention_mask, strict=True) if is_text)
    # Each part that was cut off carries marks of its own for start and end.
    cut_off = sum(part.special_tokens_mask.count(0) for part in encoding.overflowing)
    return TokenizedText(kept, len(kept) + cut_off, len(kept))


def open_mammo_clip(folder: DissectorFolder, config: JsonObject, device: torch.device) -> MammoClipDissector:
    """Open `checkpoint` and `vocab` of the configuration; `model` (`b5` or `b2`) where the checkpoint does not say.

    Raises InvalidDissector, InvalidCheckpoint or UnsafeCheckpoint.
    """
    name = folder.named_file(config, "checkpoint")
    vocabulary = folder.named_file(config, "vocab")
    tokenizer = _open_tokenizer(folder.read(vocabulary), vocabulary)
    checkpoint = open_weights(folder, name, config)

    model = _model(config, checkpoint)
    network = MammoClip(model)
    weights, notes = fitting_weights(checkpoint, network, config, folder)
    weights = {key: value for key, value in weights.items() if key != _NO_WEIGHT}
    load_strictly(network, weights, f"Mammo-CLIP {model}")

    fold_norms(network.eval(), keep=())
    network.to(device).to(memory_format=torch.channels_last)
    return MammoClipDissector(network, tokenizer, folder.digest, device, notes)


def _model(config: JsonObject, checkpoint: Checkpoint) -> str:
    given = config.get("model")
    if given is None:
        given = _ENCODER_NAMES.get(_encoder_name(checkpoint))

    if not isinstance(given, str) or given not in VARIANTS:
        raise InvalidDissector(
            f"Neither {CONFIG} nor the checkpoint names a known image encoder.",
            field="dissector",
            value=given,
            remedy=f'Add "model": "b5" or "model": "b2" to {CONFIG}.',
        )
    return given


def _encoder_name(checkpoint: Checkpoint) -> str:
    """The image encoder that the checkpoint's configuration names; empty where it names none."""
    try:
        name = checkpoint.contents["config"]["model"]["image_encoder"]["name"]
    except (KeyError, TypeError):
        return ""
    return name if type(name) is str else ""  # nested tuples of a few bytes take years to hash


def _open_tokenizer(content: bytes, name: str) -> BertWordPieceTokenizer:
    """BERT's cased WordPiece. The vocabulary must be the whole one: a shorter list would shift what tokens mean."""
    try:
        tokens = content.decode("utf-8").split()
    except UnicodeDecodeError as error:
        raise InvalidDissector(
            "The vocabulary is not UTF-8 text.", field="dissector", value=name, remedy="Fetch the file again."
        ) from error

    absent = [token for token in _SPECIAL_TOKENS if token not in tokens]
    if len(tokens) != VOCABULARY or absent:
        raise InvalidDissector(
            f"The vocabulary has {len(tokens)} tokens instead of {VOCABULARY}"
            + (f" and lacks {', '.join(absent)}." if absent else "."),
            field="dissector",
            value=name,
            remedy="Take the vocab.txt of BERT-base cased that the checkpoint was trained with.",
        )

    numbers = {token: number for number, token in enumerate(tokens)}
    tokenizer = BertWordPieceTokenizer(numbers, lowercase=False, strip_accents=False)
    tokenizer.enable_truncation(_MAX_TOKENS)
    tokenizer.enable_padding(pad_id=tokens.index("[PAD]"))
    return tokenizer
