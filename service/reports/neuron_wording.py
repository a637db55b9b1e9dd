"""What one neuron is called, and how its label came about, in sentences for readers who are not statisticians."""

from collections.abc import Iterable, Iterator

from service.domain.ablations import Dependence
from service.domain.evidence import LEVEL, Evidence, JobEvidence, Qualification, Watched
from service.domain.neurons import Neuron
from service.domain.verdicts import UnitVerdict, Verdict
from service.reports.figures import number, percent, probability, signed


def neuron_sentence(neuron: Neuron) -> str:
    """What the neuron is called, and what that is worth."""
    if neuron.dead:
        return "This neuron answers every image alike. It is dead, and there is nothing to name."
    if neuron.verdict is not None:
        return _verdict_sentence(neuron.verdict)
    if not neuron.concepts:
        return "No concept was ranked for this neuron."

    best = neuron.concepts[0].text
    if neuron.significant is None:
        return f"Its best concept is '{best}'. No label was tested, and even pure noise would have a best concept."
    if not neuron.significant:
        return f"It is labelled no concept: its best one, '{best}', is not beyond chance."
    return (
        f"The images that excite it most show '{best}', more than chance would. It has no verdict, so nobody knows "
        "how often such labels are wrong."
    )


def short_label(concept: str | None, verdict: UnitVerdict | None, *, dead: bool) -> str:
    """What a card or a line calls a neuron: its name where it has one, else its label."""
    if dead:
        return "dead"
    if verdict is not None:
        return verdict.name or _NAMELESS.get(verdict.verdict, "without a name")
    return concept or "no concept"


def qualification_sentence(qualification: Qualification | None) -> str:
    """Whether the dissector is known to see what the label says."""
    if qualification is None or qualification.verdict == "absent":
        return "Nobody knows whether the dissector sees this concept: too few images of the probe set are labelled."
    figures = (
        f"AUROC {number(qualification.auroc)}, {number(qualification.low)} to {number(qualification.high)}, on "
        f"{qualification.positives:,} images with '{qualification.finding}' and {qualification.negatives:,} without"
    )
    if qualification.verdict == "untestable":
        return f"The dissector cannot tell images that show this concept from others ({figures}): do not rely on it."
    return f"The dissector tells images that show this concept from others ({figures})."


def qualification_of(evidence: JobEvidence | None, concept: int) -> Qualification | None:
    """What is known of the dissector and a concept; None where the concept names no finding."""
    qualifications = () if evidence is None else evidence.qualifications
    return next((known for known in qualifications if known.concept == concept), None)


def significant_responses(evidence: Evidence | None) -> tuple[Watched, ...]:
    """The watched concepts that the neuron responds to, the strongest first."""
    watched: Iterable[Watched] = () if evidence is None else evidence.watched
    responses = (response for response in watched if response.q is not None and response.q <= LEVEL)
    return tuple(sorted(responses, key=lambda response: -response.z))


def dependence_sentence(dependence: Dependence | None) -> str:
    """What became of the network's outputs when the neuron was held at one value."""
    if dependence is None:
        return "Nobody has measured yet whether the network's outputs depend on this neuron."
    change = dependence.change
    if change is None or change.absolute is None:
        return "It was held at one value, and no output of the network varies at all."
    interval = ""
    if change.absolute_low is not None and change.absolute_high is not None:
        interval = f" (95 % interval {number(change.absolute_low, 3)} to {number(change.absolute_high, 3)})"
    held = "its mean" if dependence.value == "mean" else "zero"
    return (
        f"Held at {held}, it moves output {change.output}, the one that changes most, by {number(change.absolute, 3)} "
        f"of that output's deviation{interval}; with its sign by {signed(change.change)}."
    )


def significance_words(evidence: Evidence | None) -> Iterator[tuple[str, str, str]]:
    """What speaks for the label: the name of each figure, its word in the glossary, and what it is."""
    if evidence is None:
        return
    significance = evidence.significance
    if significance is not None:
        yield "z", "z", number(significance.z, 1)
        yield "p", "chance", probability(significance.p)
        yield "q-value", "q-value", probability(significance.q)
    stability = evidence.stability
    if stability is not None:
        category = "" if stability.category is None else f"; its category in {percent(stability.category)}"
        yield "stability", "stability", f"label kept in {percent(stability.label)} of the resamples{category}"
    quality = evidence.quality
    if quality is not None:
        yield "clarity", "clarity", number(quality.clarity)
        yield "polysemanticity", "polysemanticity", number(quality.polysemanticity)
        if quality.redundancy is not None:
            yield "redundancy", "redundancy", number(quality.redundancy)


_NAMELESS = {Verdict.UNNAMED: "unnamed", Verdict.NO_SIGNAL: "no signal"}


def _verdict_sentence(called: UnitVerdict) -> str:
    match called.verdict:
        case Verdict.NAMED:
            return f"It follows {_name(called)}, and the dissector is known to see that.{_error(called)}"
        case Verdict.UNVERIFIED:
            return f"It follows {_name(called)}, but nobody knows whether the dissector sees that.{_error(called)}"
        case Verdict.UNNAMED:
            return (
                "It follows something that the dissector sees and no concept says. A person should look at its images."
            )
        case Verdict.NO_SIGNAL:
            return "Nothing that the dissector sees tells what it follows. The network may use it all the same."


def _name(called: UnitVerdict) -> str:
    if called.level == "category":
        return f"something of the category '{called.name}' (which of its concepts is undecided)"
    return f"'{called.name}'"


def _error(called: UnitVerdict) -> str:
    if called.error is None:
        return ""
    return f" Of names as sure as this one {percent(called.error)} are wrong, as estimated."
