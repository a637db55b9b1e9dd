"""How a dissector reads the texts of concepts: what it cuts, and which ones are the same to it."""

from collections.abc import Sequence

from service.domain.manifests import CutText
from service.engine.networks.protocols import Dissector, TokenizedText
from service.errors import InvalidConceptSet


def check_distinguishable(dissector: Dissector, texts: Sequence[str], concepts: Sequence[str] | None = None) -> None:
    """Raise InvalidConceptSet where the dissector reads two texts as the same tokens, naming both.

    concepts: which one each text stands for; None where each is a concept. Texts of one concept may be alike.
    """
    first_with: dict[tuple[int, ...], tuple[str, str, TokenizedText]] = {}
    for text, concept, read in zip(texts, concepts or texts, dissector.tokenize(texts), strict=True):
        earlier_concept, earlier, read_earlier = first_with.setdefault(read.tokens, (concept, text, read))
        if earlier_concept != concept:
            raise _alike(earlier, text, cut=read.is_cut or read_earlier.is_cut, kept=read.read)


def cut_texts(dissector: Dissector, texts: Sequence[str]) -> list[CutText]:
    """The texts of which the dissector reads only a part."""
    return [
        {"text": text, "tokens": read.whole, "read": read.read}
        for text, read in zip(texts, dissector.tokenize(texts), strict=True)
        if read.is_cut
    ]


def _alike(earlier: str, text: str, *, cut: bool, kept: int) -> InvalidConceptSet:
    if cut:
        why = f"it reads {kept} tokens of a text, and they differ only behind these"
        remedy = f"Say in the first {kept} tokens what tells them apart, or leave one of them out."
    else:
        why = "it reads both as the same tokens"
        remedy = "Word them so that they differ in more than case, blanks or punctuation, or leave one of them out."
    return InvalidConceptSet(
        f"The dissector cannot tell the concepts '{earlier}' and '{text}' apart: {why}.",
        field="concept_set",
        value=text,
        remedy=remedy,
    )
