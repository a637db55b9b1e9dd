"""Tokenizers of the libraries behind one face: token ids for the text encoder, and how long a text really is."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, TypeAlias

from torch import Tensor

from service.engine.networks.protocols import TokenizedText
from service.errors import DissectError, InvalidDissector
from service.memory import is_out_of_memory

_SAMPLE = "a mass with calcifications"
_LOCAL: dict[str, Any] = {"local_files_only": True, "trust_remote_code": False}
_BOTH_ENDS = 2
_CLIPS_MARKS = 3
"""Start, end and class: what open_clip's mode `clips` adds."""


Encode: TypeAlias = Callable[[list[str]], tuple[Tensor, Tensor | None]]
"""Texts, cut and padded to the context length T -> ids, int64 [C, T], and the mask where the encoder takes one."""


class Tokenizer:
    """Texts as token ids, and how long they are."""

    def __init__(
        self,
        encode: Encode,
        lengths: Callable[[list[str]], list[int]],
        *,
        context_length: int,
        vocabulary: int | None,
    ) -> None:
        """lengths: tokens of the whole texts.

        vocabulary: how many tokens the text encoder knows, if that is known.
        """
        self._encode = encode
        self._lengths = lengths
        self._context_length = context_length
        self._vocabulary = vocabulary

    def __call__(self, texts: Sequence[str]) -> Tensor:
        """The ids alone. Raises what `encode` raises."""
        return self.encode(texts)[0]

    def encode(self, texts: Sequence[str]) -> tuple[Tensor, Tensor | None]:
        """Ids and mask. Raises InvalidDissector where the text encoder does not know one of the ids."""
        ids, mask = self._encode(list(texts))
        largest = int(ids.max()) if ids.numel() else 0
        if self._vocabulary is not None and largest >= self._vocabulary:
            raise InvalidDissector(
                f"The tokenizer gives the token {largest}, but the text encoder knows {self._vocabulary} tokens.",
                field="dissector",
                value=largest,
                remedy="Take the tokenizer's files from where the weights were published.",
            )
        return ids, mask

    def tokenize(self, texts: Sequence[str]) -> list[TokenizedText]:
        """The texts as the encoder reads them."""
        if not texts:
            return []
        lengths = self._lengths(list(texts))
        rows = self(texts).tolist()
        return [
            TokenizedText(tuple(row), length, min(length, self._context_length))
            for row, length in zip(rows, lengths, strict=True)
        ]


def clip_tokenizer(context_length: int, clean: str | None, vocabulary: int) -> Tokenizer:
    """The tokenizer that comes with open_clip. Raises InvalidDissector where it does not know `clean`."""
    import open_clip

    known = ("lower", "whitespace", "canonicalize")
    if clean is not None and clean not in known:
        raise InvalidDissector(
            f"open_clip has no way to clean texts that is called '{clean:.100}'.",
            field="dissector",
            value=clean,
            remedy=f"In tokenizer_kwargs set clean to one of {', '.join(known)}, or leave it out.",
        )

    options = {} if clean is None else {"clean": clean}
    tokenizer: Any = open_clip.SimpleTokenizer(context_length=context_length, **options)

    def lengths(texts: list[str]) -> list[int]:
        return [len(tokenizer.encode(text)) + _BOTH_ENDS for text in texts]

    return Tokenizer(_unmasked(tokenizer), lengths, context_length=context_length, vocabulary=vocabulary)


def open_clip_tokenizer(
    place: Path, context_length: int, vocabulary: int | None, *, mode: str | None, options: dict[str, object]
) -> Tokenizer:
    """A tokenizer of transformers, used as open_clip uses it. Raises InvalidDissector."""
    from open_clip.tokenizer import HFTokenizer

    tokenizer: Any = opened(
        lambda: HFTokenizer(str(place), context_length=context_length, tokenizer_mode=mode, **_LOCAL, **options)
    )

    def lengths(texts: list[str]) -> list[int]:
        cleaned = [tokenizer.clean_fn(text) for text in texts]
        marks = _CLIPS_MARKS if mode == "clips" else 0
        return [length + marks for length in _lengths(tokenizer.tokenizer, cleaned, add_special_tokens=not marks)]

    return _tried(Tokenizer(_unmasked(tokenizer), lengths, context_length=context_length, vocabulary=vocabulary))


def transformers_tokenizer(
    place: Path, context_length: int, vocabulary: int, clean: Callable[[str], str] | None = None
) -> Tokenizer:
    """A tokenizer of transformers: texts are padded to the context length. Raises InvalidDissector."""
    from transformers import AutoTokenizer

    tokenizer: Any = opened(lambda: AutoTokenizer.from_pretrained(place, **_LOCAL))

    def cleaned(texts: list[str]) -> list[str]:
        return texts if clean is None else [clean(text) for text in texts]

    def encode(texts: list[str]) -> tuple[Tensor, Tensor | None]:
        encoded = tokenizer(
            cleaned(texts), padding="max_length", truncation=True, max_length=context_length, return_tensors="pt"
        )
        return encoded["input_ids"], encoded.get("attention_mask")

    def lengths(texts: list[str]) -> list[int]:
        return _lengths(tokenizer, cleaned(texts), add_special_tokens=True)

    return _tried(Tokenizer(encode, lengths, context_length=context_length, vocabulary=vocabulary))


def opened(build: Callable[[], object]) -> object:
    """What a library makes of a tokenizer's files. Raises InvalidDissector for whatever it stumbles over."""
    try:
        return build()
    except DissectError:
        raise
    except Exception as error:
        if is_out_of_memory(error):
            raise
        raise InvalidDissector(
            f"The tokenizer's files cannot be used: {type(error).__name__}: {error!s:.200}.",
            field="dissector",
            value="tokenizer.json",
            remedy="Copy tokenizer.json and tokenizer_config.json again from where the model was published.",
        ) from error


def _unmasked(ids: Callable[[list[str]], Tensor]) -> Encode:
    return lambda texts: (ids(texts), None)


def _tried(tokenizer: Tokenizer) -> Tokenizer:
    """A tokenizer that has read a text: one without padding, or of another model, fails here and not in a job."""
    opened(lambda: tokenizer([_SAMPLE]))
    return tokenizer


def _lengths(tokenizer: Any, texts: list[str], *, add_special_tokens: bool) -> list[int]:
    encoded = tokenizer(texts, add_special_tokens=add_special_tokens, truncation=False, padding=False, verbose=False)
    return [len(ids) for ids in encoded.input_ids]
