"""What the naming of all layers of a job rests on, and whether their names can be tested."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

import torch
from torch import Tensor

from service.domain.concepts import ConceptSet
from service.domain.evidence import LEAST_EXAMS, Qualification
from service.domain.findings import parted
from service.domain.groups import ImageGroups, group_images
from service.domain.jobs import DissectionOptions
from service.domain.methods import TESTED_METHODS
from service.domain.probes import ProbeItem
from service.engine.evidence.axes import KeptAxes
from service.engine.evidence.background import Background, background_of
from service.engine.evidence.exams import Exams
from service.engine.evidence.moments import Moments
from service.engine.evidence.qualification import labelled_once, qualify
from service.engine.probing.activations import Blocks, LayerActivations
from service.engine.similarity.contrast_scorer import ConceptSpread, spread_of_embeddings

NOT_KEPT = (
    "All activations of these layers and images take more than may be stored. Ask for fewer layers or images, or raise "
    "ACTIVATIONS_GB."
)

_IMAGES_AT_ONCE = 1024


@dataclass(frozen=True)
class ScoringContext:
    """The concepts, the images that were used, and the options: the same for every layer of a job.

    Whoever scores several layers makes it once: what follows from the images is worked out when it is first needed.
    """

    concept_set: ConceptSet
    concept_embeddings: Tensor
    """The dissector's, of the concept set: float32 [C, D], on the device that scores."""
    items: Sequence[ProbeItem]
    """The N used images, in probe-set order."""
    read_embeddings: Callable[[Tensor], Tensor]
    """Maps positions among the used images (int64 [n], ascending, CPU) to the dissector's embeddings, float32 [n, D].

    Without evidence soft_wpmi and wpmi ask only for images that are among some unit's top, the contrasts for all.
    """
    options: DissectionOptions
    finding_of_concept: Mapping[int, str]
    """For each concept that findings of the probe set mean, these: one, or several `joined`."""
    check_cancelled: Callable[[], None]
    """Called between two blocks of images or concepts and between two resamples; may raise to stop."""
    independent: str | None = None
    """See `ProbeSet`."""
    every_activation: bool = True
    """Were all activations kept, and not only the largest?"""

    @cached_property
    def groups(self) -> ImageGroups:
        """Which images belong together, and what the manifest left out."""
        return group_images(self.items, self.independent)

    @cached_property
    def exams(self) -> Exams:
        """The groups as they are drawn, resampled and split."""
        return Exams.of(self.groups)

    @cached_property
    def findings(self) -> list[frozenset[str] | None]:
        """Of each image, with those of the joined ones of which it has any; None where nothing is known."""
        parts_of = {name: frozenset(parted(name)) for name in self.finding_of_concept.values()}
        several = {name: parts for name, parts in parts_of.items() if len(parts) > 1}
        if not several:
            return [item.findings for item in self.items]

        findings = []
        for item in self.items:
            known = item.findings
            if known is not None:
                known |= {name for name, parts in several.items() if not parts.isdisjoint(known)}
            findings.append(known)
        return findings

    @cached_property
    def qualifications(self) -> tuple[Qualification, ...]:
        """What the dissector can see of the concepts that name findings; none where no findings are known."""
        labelled = labelled_once(self.items)
        if not labelled or not self.finding_of_concept:
            return ()

        positions = torch.tensor(labelled)
        return qualify(
            self.read_embeddings(positions).to(self.concept_embeddings.device),
            self.concept_embeddings,
            self.concept_set.texts,
            self.finding_of_concept,
            [self.findings[position] for position in labelled],
            self.exams.of_image[positions].tolist(),
        )

    @cached_property
    def spread(self) -> ConceptSpread:
        """Of each concept's cosines, for contrast; from a pass over the embeddings."""
        return spread_of_embeddings(self.read_embeddings, len(self.items), self.concept_embeddings)

    @cached_property
    def background(self) -> Background:
        """What the figures of directions share between layers; from passes over the embeddings."""
        return background_of(
            self._embedding_blocks,
            self.exams,
            self.concept_set,
            self.concept_embeddings,
            self.finding_of_concept,
            self.findings,
            {entry.concept: entry.text for entry in self.qualifications if entry.verdict == "qualified"},
        )

    @cached_property
    def axes(self) -> KeptAxes:
        """The axes along which the images' embeddings differ, as layer after layer asks for them."""
        return KeptAxes()

    def _embedding_blocks(self) -> Iterator[Tensor]:
        for start in range(0, len(self.items), _IMAGES_AT_ONCE):
            self.check_cancelled()
            positions = torch.arange(start, min(start + _IMAGES_AT_ONCE, len(self.items)))
            yield self.read_embeddings(positions).cpu()

    def blocks_of(self, activations: LayerActivations) -> Blocks:
        """The embeddings and a layer's activations of all images, in order: see `LayerActivations.blocks`."""
        return activations.with_embeddings(self.read_embeddings)

    def moments_of(self, activations: LayerActivations, units: Tensor, parts_of_image: Tensor, parts: int) -> Moments:
        """Moments of some units of a layer, int64 [u], in parts of the images: see `Moments.of_layer`.

        The images stream by once. Raises what `check_cancelled` raises.
        """

        def blocks() -> Blocks:
            for embeddings, of_layer in self.blocks_of(activations):
                self.check_cancelled()
                yield embeddings, of_layer[:, units]

        return Moments.of_layer(blocks(), parts_of_image, parts)

    @property
    def why_no_activations(self) -> str | None:
        """The reason why nothing can be said that needs all activations, or None if it can."""
        return None if self.every_activation else NOT_KEPT

    @property
    def why_not_tested(self) -> str | None:
        """The reason why labels cannot be tested, or None if they can."""
        similarity = self.options.method.similarity
        if similarity not in TESTED_METHODS:
            return f"Significance cannot be tested with {similarity}, only with {', '.join(TESTED_METHODS)}."
        if self.exams.count < LEAST_EXAMS:
            return f"The probe set has {self.exams.count} {self.exams.unit}s, but at least {LEAST_EXAMS} are needed."
        return None

    @property
    def tests_labels(self) -> bool:
        """Is evidence asked for, and can labels be tested?"""
        return self.options.evidence.asked_for and self.why_not_tested is None
