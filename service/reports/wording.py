"""The sentences of a report on a dissection, for readers who are not statisticians."""

from collections.abc import Iterable, Iterator, Mapping, Sequence

from service.analysis.coverage import Coverage, Reason
from service.domain.evidence import LEVEL, JobEvidence
from service.domain.json_values import JsonObject
from service.domain.manifests import entries_of
from service.reports.figures import percent
from service.reports.layers import LayerLine, total_composition
from service.reports.watching import WatchSummary

_NAMED = 6
_REASONS: dict[Reason, str] = {
    "not represented": "not represented, though dissector and probe set can show them",
    "untestable": "untestable, because the dissector cannot recognise them",
    "unmatched findings may mean it": "of unknown presence, because unmatched findings may mean them",
    "absent from the probe set": "absent from the probe set",
    "not known": "for an unknown reason, because the probe set has no findings",
    "not in the concept set": "not in the concept set",
}

GENERAL_LIMITS = (
    "This is not a diagnosis of anybody, and it does not clear the network. It says what excites neurons, not whether "
    "the network uses them in a decision, nor whether that decision is right.",
    "Labels rest on the dissector, the image-text model that judges the images. A neuron is named after what the "
    "dissector sees in the images that excite it most, whether it sees right or wrong.",
)
"""What no report of this software says."""

EXAMS_ARE_PATIENTS = (
    "Here an exam is everything that belongs together: every image of a patient where the manifest names patients, and "
    "every copy of an image. Where the manifest names only exams, exams of one patient count as if they were "
    "independent."
)


def counted(count: int, singular: str, plural: str | None = None) -> str:
    """`1 neuron`, `2 neurons`."""
    if count == 1:
        return f"1 {singular}"
    return f"{count:,} {plural or singular + 's'}"


def listed(words: Iterable[str], most: int = _NAMED) -> str:
    """The first words, and how many more there are."""
    all_words = list(words)
    shown = ", ".join(all_words[:most])

    more = len(all_words) - most
    return f"{shown} and {more} more" if more > 0 else shown


def neuron_sentences(lines: Sequence[LayerLine], not_tested_reason: str | None) -> list[str]:
    """How many neurons are alive, how many carry a significant concept, and what they represent.

    not_tested_reason: the reason where no label was tested.
    """
    units = sum(line.summary.units for line in lines)
    living = sum(line.living for line in lines)
    sentences = [
        f"{living:,} of {counted(units, 'neuron')} in {counted(len(lines), 'layer')} are alive; "
        f"{units - living:,} answer every image alike and have no label.",
        _significance(lines, living, not_tested_reason),
    ]

    composition = total_composition(lines)
    if composition:
        tested = any(line.summary.significant is not None for line in lines)
        represent = "they represent" if tested else "their best concepts are"
        categories = ", ".join(f"{name} ({count})" for name, count in composition[:_NAMED])
        sentences.append(f"By broad category {represent}: {categories}.")

    others = sum(line.counts.other for line in lines)
    if others:
        sentences.append(
            f"{others} of them are named after something that no mammogram shows: "
            "a chance hit, an artefact, or a blind spot of the dissector."
        )

    return sentences


def missing_by_reason(coverage: Coverage) -> list[tuple[Reason, list[str]]]:
    """The essential concepts without a neuron; first those that say something about the network."""
    concepts_by_reason: dict[Reason, list[str]] = {reason: [] for reason in _REASONS}
    for missing in coverage.missing:
        concepts_by_reason[missing.reason].append(missing.text)

    return [(reason, concepts) for reason, concepts in concepts_by_reason.items() if concepts]


def missing_sentences(coverage: Coverage) -> list[str]:
    """Which essential concepts no neuron represents, and why; none where nothing was inferred."""
    if coverage.refused is not None or not coverage.must_have:
        return []
    kind = "named" if coverage.counted == "named" else "significant"
    if not coverage.missing:
        return [f"All {coverage.must_have} concepts that a mammography network should know have a {kind} neuron."]

    reasons = [
        f"{len(concepts)} {_REASONS[reason]} ({listed(concepts, 4)})"
        for reason, concepts in missing_by_reason(coverage)
    ]
    return [
        f"{len(coverage.missing)} of {coverage.must_have} concepts that a mammography network should know have no "
        f"{kind} neuron: {'; '.join(reasons)}."
    ]


def watch_sentences(watched: WatchSummary) -> list[str]:
    """Whether neurons respond to what should not drive a diagnosis; nothing where nothing was inferred."""
    if watched.refused is not None:
        return []
    if not (watched.watched or watched.unknown or watched.rare or watched.unseen):
        return ["The concept set marks no concept to be watched, so nobody looked for shortcuts such as markers."]

    not_looked_for = _not_looked_for(watched)
    if not watched.watched:
        return ["Nobody looked for shortcuts such as markers: none of the watched concepts can be.", *not_looked_for]
    if not watched.responding:
        concepts = counted(watched.watched, "watched concept")
        return [
            f"Watch-list: no neuron responds to any of the {concepts} that could be looked for, which should not drive "
            "a diagnosis.",
            *not_looked_for,
        ]

    named = f"{counted(watched.named, 'neuron')} {'is' if watched.named == 1 else 'are'} named after"
    respond = f"{watched.responding:,} {'responds' if watched.responding == 1 else 'respond'}"
    strongest = listed(concept.text for concept in watched.concepts)
    return [
        f"Watch-list: {named} something that should not drive a diagnosis, and {respond} to such a thing whatever "
        f"the label; strongest: {strongest}.",
        *not_looked_for,
    ]


def _not_looked_for(watched: WatchSummary) -> Iterator[str]:
    """Which watched concepts do not count, and why."""
    reasons = {
        "no finding and no column of the manifest says which images show them": watched.unknown,
        "too few images show them, or too few do not": watched.rare,
        "the dissector cannot tell them": watched.unseen,
    }
    for reason, concepts in reasons.items():
        if concepts:
            number = counted(len(concepts), "watched concept")
            yield f"{number} could not be looked for, because {reason}: {listed(concepts)}."


def untestable_sentence(evidence: JobEvidence | None) -> str:
    """Which concepts the dissector cannot recognise."""
    qualifications = () if evidence is None else evidence.qualifications
    tested = [qualification for qualification in qualifications if qualification.verdict != "absent"]
    if not tested:
        return (
            "Whether the dissector can recognise the concepts was not tested: no image of the probe set has "
            "a finding that a concept names."
        )

    unrecognised = [qualification.text for qualification in tested if qualification.verdict == "untestable"]
    if not unrecognised:
        return f"The dissector recognises all {len(tested)} concepts that it could be tested for."
    return (
        f"The dissector cannot recognise {len(unrecognised)} of {len(tested)} tested concepts "
        f"({listed(unrecognised)}): "
        "nothing can be said about them."
    )


def limits(evidence: JobEvidence | None, images: int | None) -> tuple[str, ...]:
    """What this report does not say."""
    probe_set = "The probe set" if images is None else f"The probe set of {counted(images, 'image')}"
    independent = "" if evidence is None else _independent(evidence)

    return (
        *GENERAL_LIMITS,
        "Not significant does not mean absent. A neuron labelled no concept may represent something that the concept "
        "set has no words for, that the probe set rarely shows, or that the dissector does not see.",
        f"Of the significant labels up to {percent(LEVEL)} are expected to be chance hits (false-discovery rate). "
        "That is a low bar: it says that a unit's images have something in common that the dissector can name. A "
        "network that learned nothing has such units, too; dissect it with shuffled weights to see how many.",
        *_names(evidence),
        "Untestable concepts are those that the dissector itself cannot recognise on labelled images. They are "
        "neither represented nor missing: nothing is known.",
        "A response to a watched concept may be to something that the dissector takes for it, or that goes with it in "
        "the probe set. Look at the images before believing it.",
        f"{probe_set} decides what can be found{independent}. What it does not show cannot be found.",
        *_copies(evidence),
        "Scores and mean similarities can be compared only within one dissector, concept set, probe set and method; "
        "z can be compared between layers. The paper's threshold, a layer's mean similarity, is reached by about half "
        "of the units even where they respond to noise.",
    )


def _names(evidence: JobEvidence | None) -> Iterator[str]:
    if evidence is None or evidence.verdicts is None or evidence.verdicts.refused is not None:
        return
    yield (
        "A name says what a neuron follows among the things that the concept set has words for and the probe set "
        "shows. It does not say that the neuron follows nothing else, nor that the network uses it. The error is "
        "estimated over all names together: of one name it says how often names as sure as it are wrong."
    )


def _independent(evidence: JobEvidence) -> str:
    """What counts as independent, and what only seems to be."""
    if evidence.independent is not None:
        words = f", and its {evidence.units_in_words} count as independent, because that was chosen"
        if evidence.nameless and evidence.drawn_by == "group":
            verb = "has" if evidence.nameless == 1 else "have"
            words += f"; {evidence.nameless:,} of them {verb} no value in that column"
        return words

    if evidence.drawn_by == "image":
        return (
            "; its manifest knows neither patients nor exams, so images of one patient count as if they were "
            "independent"
        )

    words = f", and only its {evidence.units_in_words} count as independent"
    if evidence.drawn_by == "exam":
        words += "; its manifest knows no patients, so exams of one patient count as if they were independent"
    if evidence.nameless:
        verb = "is" if evidence.nameless == 1 else "are"
        words += f"; {evidence.nameless:,} of them {verb} single images that name neither patient nor exam"
    return words


def _copies(evidence: JobEvidence | None) -> Iterator[str]:
    if evidence is not None and evidence.repeated:
        verb = "repeats" if evidence.repeated == 1 else "repeat"
        yield (
            f"{counted(evidence.repeated, 'image')} {verb} the bytes of others. "
            "Copies count as one image where something is called independent, but each is a top image of its own."
        )


def _significance(lines: Sequence[LayerLine], living: int, not_tested_reason: str | None) -> str:
    if not living:
        return "There is nothing to name."

    significant_by_layer = [line.summary.significant for line in lines if line.summary.significant is not None]
    if significant_by_layer:
        significant = sum(significant_by_layer)
        share = percent(significant / living)
        verb = "carries" if significant == 1 else "carry"
        return (
            f"{counted(significant, 'neuron')} ({share} of the living) {verb} a "
            f"significant concept; the other {living - significant:,} are labelled no concept."
        )

    why = f": {not_tested_reason}" if not_tested_reason else "."
    return (
        f"No label was tested{why} The labels below are the neurons' best-scoring concepts, which even pure "
        "noise would have; neurons count here where they reach the paper's threshold."
    )


def dissector_sentences(manifest: JsonObject) -> Iterator[str]:
    """Which texts the dissector read only in part, and what was concluded or decided when it was opened."""
    cut = manifest.get("texts_cut")
    for entry in cut if isinstance(cut, list | tuple) else ():
        if isinstance(entry, Mapping):
            yield f"Of '{entry.get('text')}' the dissector reads {entry.get('read')} of {entry.get('tokens')} tokens."

    notes = entries_of(manifest, "dissector").get("notes")
    for note in notes if isinstance(notes, list | tuple) else ():
        yield f"About the dissector: {note}"


def reading_sentences(manifest: JsonObject) -> Iterator[str]:
    """What was decided for the user where the manifest and the concept set were read."""
    of_probes = entries_of(manifest, "probe_set").get("table_notes")
    of_concepts = manifest.get("concept_notes")
    for thing, notes in (("manifest", of_probes), ("concept set", of_concepts)):
        for note in notes if isinstance(notes, list | tuple) else ():
            yield f"About the {thing}: {note}"
