"""When two texts say the same."""

import unicodedata


def folded(value: str) -> str:
    """The form in which two texts are the same concept: compatibility characters, case and blanks evened out."""
    return " ".join(unicodedata.normalize("NFKC", value).casefold().split())
