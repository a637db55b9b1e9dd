"""Which concepts the findings of a probe set mean; a probe set's findings as concepts."""

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace
from difflib import get_close_matches

from service.concepts.parse import concept_set_from_entries
from service.domain.concepts import ConceptSet
from service.domain.findings import (
    FindingMatches,
    MatchedFinding,
    UnmatchedFinding,
    count_findings,
    joined,
)
from service.domain.findings_map import STAR, FindingsMap, fits
from service.domain.probes import ProbeSet
from service.domain.spelling import WAYS, Way, folded, spelling_keys, with_plain_characters
from service.errors import InvalidFindingsMap


class _Names:
    """Names, each of one or more places, found by how they are spelled."""

    def __init__(self, names: Iterable[tuple[str, int]]) -> None:
        self._names = list(names)
        self._places: dict[Way, dict[str, dict[int, None]]] = {}

    def places(self, text: str, way: Way) -> tuple[int, ...]:
        """The places whose name is spelled like the text in that way, in order."""
        places = self._places_by_key(way)
        keys = spelling_keys(text, way)
        return tuple(sorted({place for key in keys for place in places.get(key, ())}))

    def _places_by_key(self, way: Way) -> dict[str, dict[int, None]]:
        """Made when it is first needed: most findings are spelled as the concepts are."""
        if way not in self._places:
            places: dict[str, dict[int, None]] = defaultdict(dict)
            for name, place in self._names:
                for key in spelling_keys(name, way):
                    places[key][place] = None
            self._places[way] = dict(places)
        return self._places[way]


class Vocabulary:
    """The concepts of a set by their texts and synonyms, however these are spelled."""

    def __init__(self, concept_set: ConceptSet) -> None:
        self._concepts = concept_set.concepts
        self._names = _Names(
            (text, place) for place, concept in enumerate(self._concepts) for text in (concept.text, *concept.synonyms)
        )

    def concepts(self, text: str, way: Way) -> tuple[int, ...]:
        """The places of the concepts whose text or synonym is spelled like this one in that way, in order."""
        return self._names.places(text, way)

    def meant(self, text: str) -> tuple[int, ...]:
        """The concepts that the text means by the strictest way in which it means any; see `match_findings`."""
        for way in WAYS:
            places = self.concepts(text, way)
            if places:
                return places if way == "same" or len(places) == 1 else ()
        return ()

    def texts(self, places: Iterable[int]) -> tuple[str, ...]:
        """The texts of the concepts at these places."""
        return tuple(self._concepts[place].text for place in places)

    def names(self, place: int) -> tuple[str, ...]:
        """Text and synonyms of the concept at that place."""
        concept = self._concepts[place]
        return (concept.text, *concept.synonyms)


def name_findings(concept_set: ConceptSet, findings: Iterable[str]) -> Mapping[int, str]:
    """Each concept that findings mean by how they are spelled, and these, `joined`; see `match_findings`."""
    return match_findings(concept_set, dict.fromkeys(findings, 1)).of_concept


def matches_in(concept_set: ConceptSet, probe_set: ProbeSet) -> FindingMatches | None:
    """What the findings of a probe set mean among the concepts; None where no image's findings are known."""
    counts = count_findings(probe_set.items)
    return None if counts is None else match_findings(concept_set, counts, probe_set.findings_map)


def match_findings(
    concept_set: ConceptSet, counts: Mapping[str, int], findings_map: FindingsMap | None = None
) -> FindingMatches:
    """What each finding of a probe set means among the concepts. counts: the findings, and how many images have each.

    A finding means the concepts that the map says; without an entry there, those whose text or synonym it is. The ways
    of spelling (see `Way`) are tried from the strictest to the loosest, in each the map before the concepts, and the
    first in which anything is spelled like the finding decides. A finding that is the same as a name of several
    concepts means each of them; one that is only spelled like names of several means none. Entries of the map that
    hold a `*` come behind those that are the same as the finding: it means what all that fit it say together.

    An entry of the map without concepts says that the finding means none. Of an entry whose concepts the set has not,
    the finding is unmatched; where the map comes along, it is looked for among the concepts as if it had no entry.
    """
    matcher = _Matcher(Vocabulary(concept_set), findings_map)
    matched, unmatched, no_concept = [], [], []

    for finding, images in _commonest_first(counts):
        match = matcher.match(finding, images)
        if isinstance(match, MatchedFinding):
            matched.append(match)
        elif isinstance(match, UnmatchedFinding):
            unmatched.append(match)
        else:
            no_concept.append((finding, images))

    return FindingMatches(
        matched=tuple(matched),
        unmatched=tuple(unmatched),
        of_concept=_of_concept(matched, matcher.vocabulary),
        no_concept=tuple(no_concept),
        not_in_set=tuple(matcher.not_in_set()),
        map=findings_map,
    )


def check_map(concept_set: ConceptSet, findings_map: FindingsMap) -> None:
    """Raise InvalidFindingsMap for a map of one's own that names a concept which the set has not."""
    if findings_map.comes_along:
        return

    vocabulary = Vocabulary(concept_set)
    for finding, concepts in findings_map.entries:
        for concept in concepts:
            if vocabulary.meant(concept):
                continue
            near = get_close_matches(concept, concept_set.texts, n=3)
            remedy = "Name a concept's text or one of its synonyms, or leave it empty if the finding means none."
            raise InvalidFindingsMap(
                f"The map says that the finding '{finding[:80]}' means '{concept[:80]}', and the concept set "
                f"'{concept_set.name}' has no such concept.",
                field="findings_map",
                value=concept,
                remedy=f"Near matches: {', '.join(near)}." if near else remedy,
            )


class _Matcher:
    """What a finding means, by a map and by the concepts' names."""

    def __init__(self, vocabulary: Vocabulary, findings_map: FindingsMap | None) -> None:
        self.vocabulary = vocabulary
        self._map = findings_map
        self._entries = () if findings_map is None else findings_map.entries
        self._mapped = _Names(
            (finding, place) for place, (finding, _) in enumerate(self._entries) if STAR not in finding
        )
        self._patterns = {
            place: with_plain_characters(finding).split(STAR)
            for place, (finding, _) in enumerate(self._entries)
            if STAR in finding
        }
        self._meant = [_united(map(vocabulary.meant, concepts)) for _, concepts in self._entries]

    def match(self, finding: str, images: int) -> MatchedFinding | UnmatchedFinding | None:
        """None for a finding that is known to mean no concept."""
        for way in WAYS:
            entries = self._deciding_entries(finding, way)
            if entries:
                return self._by_map(finding, images, entries)
            patterns = self._fitting_patterns(finding) if way == "same" else []
            if patterns:
                return self._by_patterns(finding, images, patterns)

            concepts = self.vocabulary.concepts(finding, way)
            if len(concepts) == 1 or (concepts and way == "same"):
                return MatchedFinding(finding, images, concepts, way)
            if concepts:
                return self._ambiguous(finding, images, concepts)
        return UnmatchedFinding(finding, images, "names no concept")

    def not_in_set(self) -> Iterator[tuple[str, str]]:
        """Findings and concepts of the map's entries where the set has not that concept.

        Of a map that comes along only those of entries that name no concept of the set at all.
        """
        comes_along = self._map is not None and self._map.comes_along
        for (finding, concepts), meant in zip(self._entries, self._meant, strict=True):
            if comes_along and meant:
                continue
            for concept in concepts:
                if not self.vocabulary.meant(concept):
                    yield finding, concept

    def _deciding_entries(self, finding: str, way: Way) -> list[int]:
        """The entries of the map that are spelled like the finding in that way, as far as they are to decide."""
        return [entry for entry in self._mapped.places(finding, way) if self._decides(entry)]

    def _decides(self, entry: int) -> bool:
        """Not if it comes along and names nothing but concepts that the set has not."""
        comes_along = self._map is not None and self._map.comes_along
        return bool(self._meant[entry]) or not (comes_along and self._entries[entry][1])

    def _by_map(self, finding: str, images: int, entries: list[int]) -> MatchedFinding | UnmatchedFinding | None:
        """Entries that are all spelled like the finding must agree on what it means."""
        concepts = self._entries[entries[0]][1]
        meant = self._meant[entries[0]]
        if any((self._meant[entry], bool(self._entries[entry][1])) != (meant, bool(concepts)) for entry in entries):
            return self._ambiguous(finding, images, _united(self._meant[entry] for entry in entries))

        if not concepts:
            return None
        if not meant:
            return UnmatchedFinding(finding, images, "mapped to no concept of the set", concepts)
        return MatchedFinding(finding, images, meant, "map")

    def _fitting_patterns(self, finding: str) -> list[int]:
        """The entries with a `*` that fit the finding, as far as they are to decide."""
        text = with_plain_characters(finding)
        fitting = (entry for entry, parts in self._patterns.items() if fits(text, parts))
        return [entry for entry in fitting if self._decides(entry)]

    def _by_patterns(self, finding: str, images: int, entries: list[int]) -> MatchedFinding | UnmatchedFinding | None:
        """Entries that fit the finding by a `*` add to each other."""
        meant = _united(self._meant[entry] for entry in entries)
        if meant:
            return MatchedFinding(finding, images, meant, "map")
        concepts = dict.fromkeys(concept for entry in entries for concept in self._entries[entry][1])
        if not concepts:
            return None
        return UnmatchedFinding(finding, images, "mapped to no concept of the set", tuple(concepts))

    def _ambiguous(self, finding: str, images: int, concepts: tuple[int, ...]) -> UnmatchedFinding:
        return UnmatchedFinding(finding, images, "could be several concepts", self.vocabulary.texts(concepts))


def _united(places: Iterable[tuple[int, ...]]) -> tuple[int, ...]:
    return tuple(sorted({place for some in places for place in some}))


def _commonest_first(counts: Mapping[str, int]) -> list[tuple[str, int]]:
    """Of findings that differ in case and blanks only, the first in alphabetical order stands for all."""
    spelling = {folded(finding): finding for finding in sorted(counts, reverse=True)}
    images: dict[str, int] = defaultdict(int)
    for finding, count in counts.items():
        images[spelling[folded(finding)]] += count
    return sorted(images.items(), key=lambda counted: (-counted[1], counted[0]))


def _of_concept(matched: Iterable[MatchedFinding], vocabulary: Vocabulary) -> dict[int, str]:
    """Each concept's findings: first that with its text, then those with its synonyms, then by the alphabet."""
    findings_of: dict[int, list[str]] = defaultdict(list)
    for match in matched:
        for concept in match.concepts:
            findings_of[concept].append(match.finding)

    of_concept = {}
    for concept in sorted(findings_of):
        names = [folded(name) for name in vocabulary.names(concept)]
        order = {name: place for place, name in reversed(list(enumerate(names)))}
        findings = sorted(findings_of[concept], key=lambda name: (order.get(folded(name), len(order)), name))
        of_concept[concept] = joined(findings)
    return of_concept


def concepts_of_findings(findings: Iterable[str], vocabulary: ConceptSet) -> ConceptSet:
    """A concept for each finding of a probe set, with the categories of the vocabulary's concept that it means.

    Of findings that differ in case and blanks only, the first in alphabetical order stands for all. Raises
    InvalidConceptSet where there is none, or one that no concept can be called (see `parse_concept_set`).
    """
    distinct = {folded(finding): finding for finding in sorted(findings, reverse=True)}
    matches = match_findings(vocabulary, dict.fromkeys(distinct.values(), 1))
    index_of_finding = {folded(match.finding): match.concepts[-1] for match in matches.matched}
    plain = concept_set_from_entries("findings", sorted(distinct.values()))

    concepts = []
    for concept in plain.concepts:
        index = index_of_finding.get(folded(concept.text))
        if index is None:
            concepts.append(concept)
        else:
            concepts.append(replace(vocabulary.concepts[index], text=concept.text, synonyms=()))
    return ConceptSet(plain.name, tuple(concepts))
