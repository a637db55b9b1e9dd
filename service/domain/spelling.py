"""When two texts say the same, and by how much of their spelling they may differ."""

import re
import unicodedata
from collections.abc import Iterator
from typing import Literal, get_args

Way = Literal["same", "look-alike characters", "punctuation", "plural", "word order"]
"""How two spellings are alike; each way also allows what those before it allow (stored).

* same: they differ in case and blanks at most.
* look-alike characters: dashes, apostrophes and letters that look alike, and characters that cannot be seen.
* punctuation: dashes, blanks, apostrophes (with the s of a genitive), quotes, stops, commas, brackets and strokes.
* plural: words in the singular or the plural.
* word order: the same words in another order; `of`, `the`, `a` and `an` do not count. Not where a word such as
  `without` or `behind` says what belongs to what.
"""

WAYS: tuple[Way, ...] = get_args(Way)

_LETTERS = (
    # Cyrillic capitals
    ("\u0410\u0412\u0415\u0405\u0406\u0408\u041a\u041c", "ABESIJKM"),
    ("\u041d\u041e\u0420\u0421\u0422\u0425\u0423", "HOPCTXY"),
    # small Cyrillic letters
    ("\u0430\u0435\u0455\u0456\u0458\u043e\u0440\u0441", "aesijopc"),
    ("\u0445\u0443\u0501\u051b\u051d", "xydqw"),
    # Greek capitals
    ("\u0391\u0392\u0395\u0396\u0397\u0399\u039a\u039c", "ABEZHIKM"),
    ("\u039d\u039f\u03a1\u03a4\u03a5\u03a7", "NOPTYX"),
    # small Greek letters
    ("\u03b1\u03b9\u03ba\u03bd\u03bf\u03c1\u03c5\u03c7", "aikvopux"),
)
"""Letters of other scripts that look like Latin ones: capitals that look like capitals, small ones like small ones."""

_LOOK_ALIKES = str.maketrans(
    {
        **dict.fromkeys("\u2010\u2011\u2012\u2013\u2014\u2015\u2043\u2212\ufe58\ufe63\uff0d", "-"),
        **dict.fromkeys("\u2018\u2019\u201a\u201b\u2032\u02b9\u02bb\u02bc\u02bd\u00b4`\u02cb\uff07", "'"),
        **dict.fromkeys("\u201c\u201d\u201e\u201f\u2033\u00ab\u00bb\uff02", '"'),
        **dict.fromkeys("\u2044\u2215\u29f8\uff0f", "/"),
        **{letter: latin for letters, latins in _LETTERS for letter, latin in zip(letters, latins, strict=True)},
        "\u0131": "i",  # what a Turkish computer makes of a capital I
    }
)
_DOT_ABOVE = "\u0307"
"""What is left of a Turkish capital I with a dot when it becomes small."""

_GENITIVE = re.compile(r"'s(?![^\W_])")
_JOINT = re.compile(r"(?<!\d)[-_]+|[-_]+(?!\d)")
_SEPARATORS = re.compile(r"[\s\-_'\".,;:/\\()\[\]{}]+")
_NUMBERS_APART = re.compile(r"(?<=\d) (?=\d)")

_SINGULAR = {
    "areolae": "areola",
    "axillae": "axilla",
    "diagnoses": "diagnosis",
    "foci": "focus",
    "mammae": "mamma",
    "metastases": "metastasis",
    "naevi": "naevus",
    "necroses": "necrosis",
    "nevi": "nevus",
    "prostheses": "prosthesis",
    "septa": "septum",
}
_SIBILANTS = ("sses", "shes", "ches", "xes", "zes")
_NO_PLURAL = ("ss", "us", "is")
_SHORT = 3
"""Words as short as this have no plural: `gas`, `cc`."""

_EMPTY = frozenset({"a", "an", "of", "the"})
_ORDERING = frozenset(
    {
        *("above", "adjacent", "after", "around", "at", "before", "behind", "below", "beneath", "beside", "between"),
        *("by", "except", "for", "from", "in", "inside", "into", "near", "no", "non", "not", "on", "outside", "over"),
        *("per", "than", "to", "under", "versus", "vs", "with", "within", "without"),
    }
)
"""With one of these in it, the order of a text's words has a meaning."""

LITTLE_WORDS = _EMPTY | _ORDERING | {"and", "or"}
"""Words that say nothing by themselves."""


def folded(value: str) -> str:
    """The form in which two texts are the same concept: compatibility characters, case and blanks evened out."""
    return " ".join(unicodedata.normalize("NFKC", value).casefold().split())


def spelling_keys(value: str, way: Way) -> tuple[str, ...]:
    """Two texts are alike in that way if any of their keys is the same. None where the way does not apply."""
    if way == "same":
        return (folded(value),)

    text = with_plain_characters(value)
    match way:
        case "look-alike characters":
            return (text,)
        case "punctuation":
            return (_closed_up(_words(text)),)
        case "plural":
            return (_closed_up(map(singular, _words(text))),)
        case "word order":
            return tuple(dict.fromkeys(_orderless(text)))


def with_plain_characters(value: str) -> str:
    """The folded text with plain characters for those that look alike, and without those that cannot be seen."""
    compatible = unicodedata.normalize("NFKC", value)
    seen = "".join(character for character in compatible if unicodedata.category(character) != "Cf")
    return folded(seen.translate(_LOOK_ALIKES)).replace(_DOT_ABOVE, "")


def words_of(value: str) -> tuple[str, ...]:
    """The words of a text, in the singular and with plain characters."""
    return tuple(map(singular, _words(with_plain_characters(value))))


def singular(word: str) -> str:
    """The singular of an English or Latin noun; other words as they are, or changed always in the same way."""
    if word in _SINGULAR:
        return _SINGULAR[word]
    if len(word) <= _SHORT or not word.endswith("s") or word.endswith(_NO_PLURAL):
        return word

    if word.endswith("ies"):
        return f"{word[:-3]}y"
    if word.endswith(_SIBILANTS):
        return word[:-2]
    return word[:-1]


def _words(text: str) -> list[str]:
    return [word for word in _SEPARATORS.split(_GENITIVE.sub("", text)) if word]


def _closed_up(words: Iterator[str] | list[str]) -> str:
    """The words written as one, but for numbers: 1-2 is not 12."""
    return _NUMBERS_APART.sub("_", " ".join(words)).replace(" ", "")


def _orderless(text: str) -> Iterator[str]:
    """The sorted words, with joints such as those of `micro-calcifications` open and closed."""
    for spelled in (text, _JOINT.sub("", text)):
        words = [singular(word) for word in _words(spelled)]
        if not _ORDERING.isdisjoint(words):
            return

        counting = sorted(word for word in words if word not in _EMPTY)
        if counting:
            yield " ".join(counting)
