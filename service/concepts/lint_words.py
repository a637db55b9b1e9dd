"""Words and phrases of reports that an image does not show, each a closed list."""

import re
from collections.abc import Sequence

from service.domain.spelling import with_plain_characters


class Phrases:
    """A closed list of words and phrases. They are looked for as whole words, whatever the case."""

    def __init__(self, *phrases: str, but_not: Sequence[str] = ()) -> None:
        """but_not: terms that hold a phrase and mean something else."""
        longest_first = sorted(phrases, key=len, reverse=True)
        self._pattern = re.compile(rf"(?<![^\W_])(?:{'|'.join(map(re.escape, longest_first))})(?![^\W_])")
        exceptions = "|".join(map(re.escape, but_not))
        self._exceptions = re.compile(rf"(?<![^\W_])(?:{exceptions})(?![^\W_])") if but_not else None

    def in_text(self, text: str) -> tuple[str, ...]:
        """The phrases that the text holds, in its order."""
        plain = with_plain_characters(text)
        if self._exceptions is not None:
            plain = self._exceptions.sub(" ", plain)
        return tuple(dict.fromkeys(self._pattern.findall(plain)))


NEGATIONS = Phrases(
    *("no", "not", "none", "nor", "neither", "never", "without", "w/o", "absent", "absence", "lack of", "lacks"),
    *("lacking", "free of", "negative", "negative for", "denies", "excluded", "ruled out", "cannot be seen"),
    *("isn't", "aren't", "doesn't", "unremarkable", "no evidence of", "rather than", "other than"),
    *("non visualized", "non-visualized", "nonvisualized", "non visualised", "non-visualised", "nonvisualised"),
)
LATERALITY = Phrases(
    *("left", "right", "left sided", "left-sided", "right sided", "right-sided", "bilateral", "bilaterally"),
    *("unilateral", "unilaterally", "contralateral", "ipsilateral", "both breasts", "both sides", "lt", "rt"),
    *("lcc", "rcc", "lmlo", "rmlo", "l-cc", "r-cc", "l-mlo", "r-mlo", "l cc", "r cc", "l mlo", "r mlo"),
    but_not=("right angle", "left behind"),
)
TIME = Phrases(
    *("new", "newly", "old", "older", "unchanged", "no change", "changed", "changing", "stable", "stability"),
    *("increased", "increasing", "increase", "decreased", "decreasing", "decrease", "developing", "developed"),
    *("interval", "prior", "previous", "previously", "formerly", "former", "earlier", "compared", "comparison"),
    *("recent", "recently", "resolved", "resolving", "resolution of", "progressing", "progression", "progressive"),
    *("persistent", "persisting", "persists", "remains", "remaining", "enlarging", "enlarged since", "growing"),
    *("growth of", "evolving", "regressed", "regressing", "regression", "worsening", "worse", "improved"),
    *("improving", "again", "since", "now", "longstanding", "long-standing", "chronic", "acute", "known"),
    *("history of", "status post", "s/p", "follow up", "follow-up", "today", "years ago", "months ago", "last year"),
    but_not=("increased density", "decreased density"),
)
UNCERTAINTY = Phrases(
    *("possible", "possibly", "probable", "probably", "likely", "unlikely", "suspected", "questionable", "question of"),
    *("questioned", "maybe", "perhaps", "may", "might", "could", "may be", "cannot exclude", "can not exclude"),
    *("cannot be excluded", "not excluded", "rule out", "r/o", "suggestive of", "suggestive", "suggests", "suggesting"),
    *("consistent with", "compatible with", "concerning for", "worrisome for", "suspicious for", "concern for"),
    *("apparent", "apparently", "presumed", "presumably", "presumptive", "equivocal", "indeterminate", "uncertain"),
    *(
        "indeterminant",
        "unclear",
        "vs",
        "versus",
        "differential",
        "or",
        "and/or",
        "appears",
        "seems",
        "favor",
        "favour",
    ),
    *("favored", "favoured", "query", "?"),
)
