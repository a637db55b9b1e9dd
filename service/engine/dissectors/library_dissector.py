"""What dissectors of open_clip and of transformers share: all but how their model embeds."""

from collections.abc import Iterator, Sequence
from typing import Generic, TypeVar

import torch

from service.domain.preprocessing import Preprocessing
from service.engine.dissectors.image_contract import ImageContract
from service.engine.dissectors.tokens import Tokenizer
from service.engine.networks.protocols import TokenizedText

_TEXTS_PER_BATCH = 64

Model = TypeVar("Model")


class LibraryDissector(Generic[Model]):
    """A library's model of image and text in eval mode, with its tokenizer."""

    def __init__(
        self,
        model: Model,
        tokenizer: Tokenizer,
        contract: ImageContract,
        digest: str,
        device: torch.device,
        notes: Sequence[str],
    ) -> None:
        self._model = model
        self._tokenizer = tokenizer
        self._contract = contract
        self._digest = digest
        self._device = device
        self._notes = (*notes, *contract.notes)

    @property
    def preprocessing(self) -> Preprocessing:
        """What the folder asks for, for the model's image size."""
        return self._contract.preprocessing

    @property
    def digest(self) -> str:
        """Content digest of the dissector's directory."""
        return self._digest

    @property
    def notes(self) -> Sequence[str]:
        """What was concluded from the folder, and which of its settings cannot be honoured."""
        return self._notes

    def tokenize(self, texts: Sequence[str]) -> Sequence[TokenizedText]:
        """The texts as the model's tokenizer cuts them."""
        return self._tokenizer.tokenize(texts)

    @staticmethod
    def batches_of(texts: Sequence[str]) -> Iterator[Sequence[str]]:
        """The texts, a few at a time."""
        for start in range(0, len(texts), _TEXTS_PER_BATCH):
            yield texts[start : start + _TEXTS_PER_BATCH]
