"""The entries of a JSON list, one at a time: of a file of any length, a piece is held in memory."""

import json
from collections import Counter
from collections.abc import Iterator
from typing import TextIO

from service.domain.json_values import StoredJson

_BLANKS = " \t\n\r"
_LONGEST_WORD = len("-Infinity")
_PIECE = 1 << 22
"""Characters that are read at a time."""


class NotAList(ValueError):
    """The file's JSON is something else than a list."""


class KeyTwice(ValueError):
    """An object has that key twice, and which of its values was meant nobody knows."""


class TooLong(ValueError):
    """An entry is longer than allowed; everything before it was given out."""


def without_repeats(pairs: list[tuple[str, object]]) -> StoredJson:
    """The object of these pairs, an `object_pairs_hook`. Raises KeyTwice."""
    fields = dict(pairs)
    if len(fields) < len(pairs):
        ((repeated, _),) = Counter(key for key, _ in pairs).most_common(1)
        raise KeyTwice(repeated)
    return fields


def list_entries(file: TextIO, *, longest: int) -> Iterator[object]:
    """The entries of the list that the file holds.

    longest: characters of an entry. Raises NotAList; TooLong; KeyTwice; JSONDecodeError, whose `lineno` is the file's;
    and ValueError or RecursionError for an entry that Python cannot take.
    """
    text = _Window(file, longest)
    if text.next_character() != "[":
        raise NotAList
    text.skip()

    if text.next_character() == "]":
        text.skip()
    else:
        yield text.entry()
        while text.next_character() == ",":
            text.skip()
            text.next_character()
            yield text.entry()
        if text.next_character() != "]":
            raise text.error("Expecting ',' or ']'")
        text.skip()

    if text.next_character():
        raise text.error("Extra data")


class _Window:
    """The part of a file that is looked at, which goes on with it."""

    def __init__(self, file: TextIO, longest: int) -> None:
        self._file = file
        self._longest = longest
        self._decoder = json.JSONDecoder(object_pairs_hook=without_repeats)
        self._text = ""
        self._at = 0
        self._lines = 0
        self._ended = False

    def next_character(self) -> str:
        """The next character that is not a blank, which stays; empty at the end of the file."""
        while True:
            while self._at < len(self._text):
                character = self._text[self._at]
                if character not in _BLANKS:
                    return character
                self._at += 1
            if self._ended:
                return ""
            self._read_on()

    def skip(self) -> None:
        """Go on by a character."""
        self._at += 1

    def entry(self) -> object:
        """The value that begins here."""
        while len(self._text) - self._at <= self._longest and not self._ended:
            self._read_on()

        try:
            value, end = self._decoder.raw_decode(self._text, self._at)
        except json.JSONDecodeError as error:
            if self._is_cut(error):
                raise TooLong from None
            self._at = error.pos
            raise self.error(error.msg) from None

        if end - self._at > self._longest:
            raise TooLong
        self._at = end
        return value

    def error(self, message: str) -> json.JSONDecodeError:
        """What is wrong at this place."""
        error = json.JSONDecodeError(message, self._text, min(self._at, len(self._text)))
        error.lineno += self._lines
        return error

    def _read_on(self) -> None:
        more = self._file.read(_PIECE)
        self._lines += self._text.count("\n", 0, self._at)
        self._text = self._text[self._at :] + more
        self._at = 0
        self._ended = not more

    def _is_cut(self, error: json.JSONDecodeError) -> bool:
        """Is the entry only no JSON because what is held of it ends before it does?"""
        if self._ended:
            return False
        return error.msg.startswith("Unterminated string") or error.pos >= len(self._text) - _LONGEST_WORD
