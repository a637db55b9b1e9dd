"""The sentences of a report on a dissection, for readers who are no statisticians."""

from collections.abc import Iterable, Iterator, Sequence

from service.analysis.coverage import Coverage, Reason
from service.domain.evidence import LEVEL, JobEvidence
from service.reports.layers import LayerLine, total_composition
from service.reports.watching import WatchSummary

_NAMED = 6
_REASONS: dict[Reason, str] = {
    "not represented": "not represented, though dissector and probe set can show them",
    "untestable": "untestable, because the dissector cannot recognise them",
    "absent from the probe set": "absent from the probe set",
    "not known": "for a reason that cannot be told, because the probe set has no findings",
    "not in the concept set": "not in the concept set",
}

GENERAL_LIMITS = (
    "This is no diagnosis of anybody, and no clearance of the network. It says what excites neurons, not whether "
    "the network uses them in a decision, nor whether that decision is right.",
    "Labels rest on the dissector, the image-text model that judges the images. A neuron is named after what the "
    "dissector sees in the images that excite it most, whether it sees right or wrong.",
)
"""What no report of this software says."""

EXAMS_ARE_PATIENTS = (
    "An exam is here all that belongs together: every image of a patient where the manifest names patients, and every "
    "copy of an image. Where it names exams only, exams of one patient count as if they were independent."
)


def counted(count: int, one: str, many: str | None = None) -> str:
    """`1 neuron`, `2 neurons`."""
    return f"{count:,} {one if count == 1 else many or one + 's'}"


def listed(names: Iterable[str], most: int = _NAMED) -> str:
    """The first names, and how many more there are."""
    known = list(names)
    more = len(known) - most
    return ", ".join(known[:most]) + (f" and {more} more" if more > 0 else "")


def neuron_sentences(lines: Sequence[LayerLine], refused: str | None) -> list[str]:
    """How many neurons are alive, how many carry a significant concept, and what they represent.

    refused: why no label was tested.
    """
    units = sum(line.summary.units for line in lines)
    living = sum(line.living for line in lines)
    sentences = [
        f"{living:,} of {counted(units, 'neuron')} in {counted(len(lines), 'layer')} are alive; "
        f"{units - living:,} answer every image alike and have no label."
    ]
    sentences.append(_significance(lines, living, refused))
    named = total_composition(lines)
    if named:
        what = ", ".join(f"{name} ({count})" for name, count in named[:_NAMED])
        tested = any(line.summary.significant is not None for line in lines)
        sentences.append(f"By broad category {'they represent' if tested else 'their best concepts are'}: {what}.")
    others = sum(line.counts.other for line in lines)
    if others:
        sentences.append(
            f"{others} of them are named after something that no mammogram shows: "
            "a chance hit, an artefact, or a blind spot of the dissector."
        )
    return sentences


def missing_by_reason(coverage: Coverage) -> list[tuple[Reason, list[str]]]:
    """The essential concepts without a neuron, those first that say something about the network."""
    reasons = [(reason, [one.text for one in coverage.missing if one.reason == reason]) for reason in _REASONS]
    return [(reason, texts) for reason, texts in reasons if texts]


def missing_sentences(coverage: Coverage) -> list[str]:
    """Which essential concepts no significant neuron represents, and why; none where nothing was inferred."""
    if coverage.refused is not None or not coverage.must_have:
        return []
    if not coverage.missing:
        return [f"All {coverage.must_have} concepts that a mammography network should know have a significant neuron."]
    reasons = missing_by_reason(coverage)
    why = "; ".join(f"{len(texts)} {_REASONS[reason]} ({listed(texts, 4)})" for reason, texts in reasons)
    return [
        f"{len(coverage.missing)} of {coverage.must_have} concepts that a mammography network should know have no "
        f"significant neuron: {why}."
    ]


def watch_sentences(watched: WatchSummary) -> list[str]:
    """Whether neurons respond to what should not drive a diagnosis; nothing where nothing was inferred."""
    if watched.refused is not None:
        return []
    if not watched.watched:
        return ["The concept set marks no concept to be watched, so nobody looked for shortcuts such as markers."]
    if not watched.responding:
        return [
            f"No neuron responds to any of the {watched.watched} watched concepts, which should not drive a diagnosis."
        ]
    what = listed([concept.text for concept in watched.concepts])
    named = f"{counted(watched.named, 'neuron')} {'is' if watched.named == 1 else 'are'} named after"
    respond = f"{watched.responding:,} {'responds' if watched.responding == 1 else 'respond'}"
    return [
        f"Watch-list: {named} something that should not drive a diagnosis, and {respond} to such a thing whatever "
        f"the label; strongest: {what}."
    ]


def untestable_sentence(evidence: JobEvidence | None) -> str:
    """Which concepts the dissector cannot recognise."""
    known = () if evidence is None else evidence.qualifications
    tested = [one for one in known if one.verdict != "absent"]
    blind = [one.text for one in tested if one.verdict == "untestable"]
    if not tested:
        return (
            "Whether the dissector can recognise the concepts was not tested: no image of the probe set has "
            "a finding that a concept names."
        )
    if not blind:
        return f"The dissector recognises all {len(tested)} concepts that it could be tested for."
    return (
        f"The dissector cannot recognise {len(blind)} of {len(tested)} tested concepts ({listed(blind)}): "
        "nothing can be said about them."
    )


def limits(evidence: JobEvidence | None, images: int | None) -> tuple[str, ...]:
    """What this report does not say."""
    size = "The probe set decides what can be found"
    if images is not None:
        size = f"The probe set of {counted(images, 'image')} decides what can be found"
    if evidence is not None:
        size += _independent(evidence)
    return (
        *GENERAL_LIMITS,
        "Not significant does not mean absent. A neuron labelled no concept may represent something that the concept "
        "set has no words for, that the probe set rarely shows, or that the dissector does not see.",
        f"Of the significant labels up to {_percent(LEVEL)} are expected to be chance hits (false-discovery rate). "
        "That is a low bar: it says that a unit's images have something in common that the dissector can name. A "
        "network that learned nothing has such units, too; dissect it with shuffled weights to see how many.",
        "Untestable concepts are those that the dissector itself cannot recognise on labelled images. They are "
        "neither represented nor missing: nothing is known.",
        "A response to a watched concept may be to something that the dissector takes for it, or that goes with it in "
        "the probe set. Look at the images before believing it.",
        f"{size}. What it does not show cannot be found.",
        *_copies(evidence),
        "Scores and mean similarities can be compared only within one dissector, concept set, probe set and method; "
        "z can be compared between layers. The paper's threshold, a layer's mean similarity, is reached by about half "
        "of the units even where they respond to noise.",
    )


def _independent(evidence: JobEvidence) -> str:
    """What counts as independent, and what only seems to be."""
    if evidence.drawn_by == "image":
        return (
            "; its manifest knows neither patients nor exams, so images of one patient count as if they were "
            "independent"
        )

    words = f", and only its {counted(evidence.units, evidence.drawn_by)} count as independent"
    if evidence.drawn_by == "exam":
        words += "; its manifest knows no patients, so exams of one patient count as if they were independent"
    if evidence.nameless:
        words += (
            f"; {evidence.nameless:,} of them {'is' if evidence.nameless == 1 else 'are'} single images that name "
            "neither patient nor exam"
        )
    return words


def _copies(evidence: JobEvidence | None) -> Iterator[str]:
    if evidence is not None and evidence.repeated:
        yield (
            f"{counted(evidence.repeated, 'image')} {'repeats' if evidence.repeated == 1 else 'repeat'} the bytes of "
            "others. Copies count as one image where something is called independent, but each is a top image of its "
            "own."
        )


def _significance(lines: Sequence[LayerLine], living: int, refused: str | None) -> str:
    if not living:
        return "There is nothing to name."
    known = [line.summary.significant for line in lines if line.summary.significant is not None]
    if known:
        found = sum(known)
        share = f" ({_percent(found / living)} of the living)"
        return (
            f"{counted(found, 'neuron')}{share} {'carries' if found == 1 else 'carry'} a significant concept; the "
            f"other {living - found:,} are labelled no concept."
        )
    why = f": {refused}" if refused else "."
    return (
        f"No label was tested{why} A label below is the best-scoring concept of its neuron, which pure noise would "
        "have, too; neurons count here where they reach the paper's threshold."
    )


def _percent(share: float) -> str:
    return f"{100 * share:.0f} %"
