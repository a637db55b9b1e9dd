"""Reading concept sets from files of every format, and from the entries of a request."""

import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Literal, get_args

from service.concepts.formats import READERS
from service.concepts.places import Entries, Entry, read_content
from service.concepts.text import clean, invalid
from service.domain.concepts import Concept, ConceptSet
from service.domain.json_values import JsonObject
from service.domain.spelling import folded
from service.errors import InvalidConceptSet
from service.files import ANYWHERE, DataRoots

Format = Literal["txt", "csv", "tsv", "json", "jsonl", "yaml", "yml", "parquet", "xlsx"]
FORMATS: tuple[Format, ...] = get_args(Format)

MAX_CONCEPTS = 20_000
MAX_WORDS = 32
FIELDS = ("text", "category", "broad_category", "mammographic", "watched", "synonyms", "codes", "names")

_VOCABULARY = re.compile(r"[a-z0-9]+(?:-[a-z0-9]+)*")
_LANGUAGE = re.compile(r"[a-z]{2,3}(?:-[a-z0-9]{2,8})*", re.IGNORECASE)
_RADLEX = re.compile(r"RID[0-9]{1,8}")
_LONGEST_CODE = 64


def parse_concept_set(name: str, content: bytes | str, format: Format) -> ConceptSet:  # noqa: A002 - the caller's word
    """Read a concept set from the content of a file; docs/concept-sets.md describes the formats.

    Raises InvalidConceptSet naming the line, row or entry: no concept at all or more than 20,000, two that differ
    in case and blanks at most, control characters, more than 300 characters, text of no encoding, an unknown column
    or key, a value of the wrong kind. In a set that says nothing of `watched`, the concepts that are not mammographic
    bear the mark, by which the set keeps its digest; none of them is watched (see `ConceptSet.watched`).
    """
    if isinstance(content, str):
        content = content.encode("utf-8", "replace")
    return _concept_set(name, READERS[format](content))


def read_concept_set(path: Path, name: str | None = None, roots: DataRoots = ANYWHERE) -> ConceptSet:
    """Read a file of any of the formats; the set is named after the file unless a name is given.

    Raises InvalidConceptSet as `parse_concept_set` does, and for a file that cannot be opened or has another ending;
    FileOutOfReach where the disk or the machine fails.
    """
    ending = path.suffix.lower().removeprefix(".")
    if ending not in READERS:
        endings = ", ".join(f".{known}" for known in FORMATS)
        raise InvalidConceptSet(
            f"A concept set cannot be a '{path.suffix}' file.", field="concepts", remedy=f"Use {endings}."
        )
    return _concept_set(name or path.stem, READERS[ending](read_content(path, roots, "concepts")))


def concept_set_from_entries(name: str, entries: Iterable[Entry]) -> ConceptSet:
    """A concept set from a list of texts or objects. Raises InvalidConceptSet naming the entry, counted from 1."""
    return _concept_set(name, Entries((f"entry {number}", entry) for number, entry in enumerate(entries, start=1)))


def _concept_set(name: str, entries: Entries) -> ConceptSet:
    places: dict[str, tuple[str, str]] = {}
    concepts = []
    says_watched = False

    for where, entry in entries.placed:
        concept = _concept(where, entry)
        says_watched |= isinstance(entry, Mapping) and "watched" in entry

        first_place, first_text = places.setdefault(folded(concept.text), (where, concept.text))
        if first_place != where:
            how = "" if first_text == concept.text else " but for case or blanks"
            raise invalid(where, f"repeats '{concept.text}' of {first_place}{how}", "Name each concept once.")

        concepts.append(concept)
        if len(concepts) > MAX_CONCEPTS:
            raise invalid(where, f"is beyond the limit of {MAX_CONCEPTS:,} concepts", "Split the concept set.")

    if not concepts:
        raise InvalidConceptSet("The concept set is empty.", field="concepts", remedy="Write one concept a line.")
    if not says_watched:
        concepts = [replace(concept, watched=concept.mammographic is False) for concept in concepts]
    return ConceptSet(name, tuple(concepts), entries.notes)


def _concept(where: str, entry: object) -> Concept:
    if isinstance(entry, str):
        entry = {"text": entry}
    if not isinstance(entry, Mapping):
        raise invalid(where, "is neither a text nor an object", "Write a text, or an object with the key text.")

    unknown = [str(key) for key in entry if key not in FIELDS]
    if unknown:
        raise invalid(where, f"has the unknown key {unknown[0][:60]!r}", f"Keys are {', '.join(FIELDS)}.")

    text = _text(entry, "text", where)
    if text is None:
        raise invalid(where, "has no text", "Give every concept a text, or delete the entry.")

    return Concept(
        text=text,
        category=_text(entry, "category", where),
        broad_category=_text(entry, "broad_category", where),
        mammographic=_flag(entry, "mammographic", where),
        watched=_flag(entry, "watched", where) or False,
        synonyms=_synonyms(entry.get("synonyms") or (), where),
        codes=_words(entry, "codes", where, _check_code),
        names=_words(entry, "names", where, _check_name),
    )


def _text(entry: JsonObject, field: str, where: str) -> str | None:
    value = entry.get(field)
    if value is None:
        return None
    if not isinstance(value, str):
        raise invalid(where, f"has a {field} that is not a text", "Write it as text.")
    return clean(value, where, field) or None


def _flag(entry: JsonObject, field: str, where: str) -> bool | None:
    value = entry.get(field)
    if value is not None and not isinstance(value, bool):
        raise invalid(where, f"has a {field} value that is neither true nor false", "Write true, false or nothing.")
    return value


def _synonyms(values: object, where: str) -> tuple[str, ...]:
    if not isinstance(values, list | tuple) or not all(isinstance(value, str) for value in values):
        raise invalid(where, "has synonyms that are not a list of texts", "Write a list of texts.")

    cleaned = [clean(value, where, "synonym") for value in values]
    return tuple(dict.fromkeys(synonym for synonym in cleaned if synonym))


def _words(
    entry: JsonObject, field: str, where: str, check: Callable[[str, str, str], None]
) -> tuple[tuple[str, str], ...]:
    """The concept's codes or names by vocabulary or language, sorted; empty ones are left out."""
    values = entry.get(field)
    if values is None:
        return ()
    if not isinstance(values, Mapping) or not all(isinstance(value, str) for value in values.values()):
        raise invalid(where, f"has {field} that are not an object of texts", 'Write them as {"radlex": "RID1"}.')
    if len(values) > MAX_WORDS:
        raise invalid(where, f"has {len(values)} {field}", f"Use {MAX_WORDS} at most.")

    words = {str(key): clean(value, where, field) for key, value in sorted(values.items())}
    for key, word in words.items():
        check(key, word, where)
    return tuple((key, word) for key, word in words.items() if word)


def _check_code(vocabulary: str, code: str, where: str) -> None:
    if not _VOCABULARY.fullmatch(vocabulary) or len(vocabulary) > _LONGEST_CODE:
        raise invalid(
            where,
            f"names the vocabulary {vocabulary[:60]!r} in its codes",
            "Write it in small letters, digits and dashes, as radlex or bi-rads.",
        )
    if len(code) > _LONGEST_CODE or (vocabulary == "radlex" and code and not _RADLEX.fullmatch(code)):
        raise invalid(where, f"has the {vocabulary} code {code[:60]!r}", "Write a code, as RID34261 of RadLex.")


def _check_name(language: str, _: str, where: str) -> None:
    if not _LANGUAGE.fullmatch(language) or len(language) > _LONGEST_CODE:
        raise invalid(
            where, f"names the language {language[:60]!r} in its names", "Write a language tag, as de or pt-BR."
        )
