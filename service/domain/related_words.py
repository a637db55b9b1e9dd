"""Which concepts a finding that names none of them may mean, as far as their words tell.

It is asked before a concept is called absent, so it errs on the side of "may".
"""

from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence

from service.domain.concepts import Concept
from service.domain.spelling import LITTLE_WORDS, words_of

_STEM = 5
"""Words that begin with as many common letters are about the same: `malignant`, `malignancy`."""

_SHORT_CODE = 4
"""A word of as many letters may be the beginning of another: `calc`, `spic`, `arch`."""

_PREFIXES = ("micro", "macro")

_KIN = (
    ("mass", "lesion", "lump", "nodule", "nodular", "opacity", "tumor", "tumour", "growth", "shadow"),
    ("asymmetry", "asymmetric", "density", "opacity"),
    ("calcification", "calcified", "calcium", "deposit", "mcc"),
    ("cancer", "carcinoma", "malignant", "malignancy", "neoplasm", "neoplasia"),
    ("node", "nodal", "adenopathy", "lymphadenopathy", "lymph", "ln"),
    ("edema", "oedema", "swelling"),
    ("spiculated", "spicule", "stellate"),
    ("circumscribed", "defined", "smooth", "sharp"),
    ("indistinct", "ill", "vague", "blurred"),
    ("lobulated", "lobular", "lobule"),
    ("skin", "cutaneous", "dermal"),
    ("retraction", "dimpling", "tethering", "pulled", "inversion", "inverted"),
    ("clip", "marker", "coil"),
    ("implant", "prosthesis", "augmentation"),
    ("fatty", "fat", "lipid", "adipose", "lipoma"),
    ("cyst", "cystic"),
)
"""Words of mammography reports that stand for each other. A closed list."""

_OPEN_WORDS = (
    *("abnormal", "area", "benign", "bilateral", "bi", "rad", "birad", "breast", "cancer", "carcinoma", "case"),
    *("change", "class", "density", "diagnosis", "finding", "grade", "growth", "lateral", "left", "lesion", "lump"),
    *("malignant", "neoplasm", "nodule", "opacity", "other", "pathology", "positive", "probably", "right", "shadow"),
    *("site", "suspicious", "tumor", "tumour", "type", "unknown"),
)
_UNSPECIFIC = frozenset(_OPEN_WORDS) | {word[:_STEM] for word in _OPEN_WORDS if len(word) >= _STEM}
"""Words that leave open what is seen, as do those about the same: a name of nothing else may mean any concept."""


class RelatedConcepts:
    """The concepts of a set by the words in their texts and synonyms."""

    def __init__(self, concepts: Sequence[Concept]) -> None:
        self._mammographic = {place for place, concept in enumerate(concepts) if concept.mammographic is not False}
        self._heads: list[set[str]] = [set() for _ in concepts]
        self._places: dict[str, set[int]] = defaultdict(set)
        self._of_one_word: dict[str, set[int]] = defaultdict(set)

        for place, concept in enumerate(concepts):
            for name in (concept.text, *concept.synonyms):
                words = _telling_words(name)
                if len(words) == 1:
                    self._of_one_word[words[0]].add(place)
                elif words and len(words) == len(words_of(name)):
                    self._heads[place].add(words[-1])
                for word in words:
                    for key in (*_keys(word), _code(word[:_SHORT_CODE])):
                        self._places[key].add(place)

    def may_be_meant(self, finding: str) -> set[int]:
        """The places of the concepts that share a word with the finding, or a word that is about the same.

        Where such a concept is a kind of another, as `spiculated mass` of `mass`, that one, too.
        A finding without any such word that says what is seen may mean every concept but those of everyday things.
        """
        related: set[int] = set()
        specific: set[int] = set()
        for word in _telling_words(finding):
            places = set[int]().union(*(self._places.get(key, ()) for key in _keys(word)))
            related |= places
            if _UNSPECIFIC.isdisjoint((word, word[:_STEM])):
                specific |= places

        if specific:
            heads = set[str]().union(*(self._heads[place] for place in specific))
            return related.union(*(self._of_one_word.get(head, ()) for head in heads))
        return related | self._mammographic


def _telling_words(text: str) -> list[str]:
    """Neither little words nor single letters."""
    return [word for word in words_of(text) if word not in LITTLE_WORDS and (len(word) > 1 or word.isdigit())]


def _keys(word: str) -> Iterator[str]:
    """What related words have in common."""
    yield word
    bare = word
    for prefix in _PREFIXES:
        if word.startswith(prefix) and len(word) >= len(prefix) + _SHORT_CODE:
            bare = word.removeprefix(prefix)
            yield bare

    if len(bare) >= _STEM:
        yield f"{bare[:_STEM]}-"
    if len(bare) == _SHORT_CODE:
        yield _code(bare)
    yield from _kin_of(bare)


def _code(word: str) -> str:
    return f"{word}."


def _kin_of(word: str) -> Iterable[str]:
    return (f"kin {number}" for number, kin in enumerate(_KIN) if word in kin)
