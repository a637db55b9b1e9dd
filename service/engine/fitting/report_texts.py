"""The texts that a report gives: its sentences and the short phrases that many reports share.

Concepts are phrases of a few words while reports are sentences, and the same finding is worded in many ways. With the
phrases among the texts, "spiculated" or "surgical clip" is a text of its own that belongs to every image whose report
has it, whatever stands around it.
"""

import re
from collections import Counter
from collections.abc import Sequence

_SENTENCE_END = re.compile(r"(?<=[.;!?])\s+|\n+")
_WORD = re.compile(r"[^\W\d_][\w-]*|[,:()]")
_NEGATIONS = frozenset({"no", "not", "without", "free", "negative", "denies", "kein", "keine", "ohne", "sin", "sans"})
"""What follows one of these in a sentence is absent (as in NegEx: Chapman et al., J. Biomed. Inform. 34, 2001)."""
_SMALL_WORDS = (
    "a an the this that these those and or of in on at to by with for from as is are was were be been has have shows "
    "show seen noted present there which may after it its"
)
_EDGES = frozenset(_SMALL_WORDS.split())
_LONGEST_PHRASE = 3
_RAREST, _COMMONEST = 0.01, 0.7
_FEWEST = 3
MOST_TEXTS = 4096


def sentences(report: str) -> tuple[str, ...]:
    """The report's distinct sentences in order."""
    return tuple(dict.fromkeys(part.strip() for part in _SENTENCE_END.split(report) if part.strip()))


def phrases(report: str) -> frozenset[str]:
    """Runs of one to three words of a sentence, in lower case, up to its first comma, negation or bracket and so on.

    No phrase begins or ends with an article, preposition or other small word, and none follows a negation.
    """
    runs = set()
    for sentence in sentences(report.lower()):
        words = _affirmed(_WORD.findall(sentence))
        for start in range(len(words)):
            for stop in range(start + 1, min(start + _LONGEST_PHRASE, len(words)) + 1):
                run = words[start:stop]
                if not any(word in ",:()" for word in run) and not {run[0], run[-1]} & _EDGES:
                    runs.add(" ".join(run))
    return frozenset(runs)


def _affirmed(words: list[str]) -> list[str]:
    negated = next((place for place, word in enumerate(words) if word in _NEGATIONS), len(words))
    return words[:negated]


def texts_of(reports: Sequence[str], chosen_from: Sequence[int]) -> tuple[tuple[str, ...], list[list[int]]]:
    """All texts to fit on, and for each report the indices of those that are its own.

    chosen_from: the reports that decide which texts there are, so that held-out reports have no say. Sentences are all
    taken, phrases if they are in at least 1 % (and three) and at most 70 % of the reports; of more than 4,096 texts the
    commonest.
    """
    parts = [(frozenset(sentences(report)), phrases(report)) for report in reports]
    sentence_counts = Counter(text for row in chosen_from for text in parts[row][0])
    phrase_counts = Counter(text for row in chosen_from for text in parts[row][1])

    least = max(_FEWEST, _RAREST * len(chosen_from))
    most = _COMMONEST * len(chosen_from)
    common_phrases = {phrase: count for phrase, count in phrase_counts.items() if least <= count <= most}
    counts = sentence_counts + Counter(common_phrases)

    texts = tuple(sorted(sorted(counts), key=lambda text: -counts[text])[:MOST_TEXTS])
    place = {text: index for index, text in enumerate(texts)}
    texts_of_reports = [
        sorted(place[text] for text in own_sentences | own_phrases if text in place)
        for own_sentences, own_phrases in parts
    ]
    return texts, texts_of_reports
