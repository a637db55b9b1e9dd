"""Ablations: what becomes of a network's own outputs when units of its layers are held at one value.

The field names of the stored types are columns of the database and wire format at once:
`tests/domain/test_stored_names.py` says what a rename costs.
"""

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Literal
from uuid import UUID

from service.domain.evidence import DrawnUnit
from service.domain.table_targets import is_table
from service.domain.verdicts import Verdict
from service.errors import InvalidInput, NoOutputs, ProblemFields

Replacement = Literal["mean", "zero"]
"""What takes the place of a unit's values: their mean over the probe set, or zero."""

ONNX = "onnx"
"""The architecture of a graph that onnxruntime computes as a whole."""

TOWERS = ("open_clip", "mammo-clip")
"""Families of architectures that are image towers of image-text models: what they return is an embedding."""

ANOTHER_TARGET = (
    "Dissect a target that ends in a classifier: its file has the head's weights, and its architecture is the one "
    "that it was trained as."
)
"""What to do where a network has no outputs of its own."""

MOST_EACH = 64
"""Units that one ablation takes by themselves: each costs a forward pass for every image."""

MOST_OUTPUTS = 1_000
"""Outputs whose changes are listed, those that change most."""

MOST_OUTPUTS_OF_A_UNIT = 32
"""The same for a unit by itself."""

MOST_AUROC_OUTPUTS = 32
"""Outputs whose AUROCs are listed, those that change most."""

MOST_AUROC_OUTPUTS_OF_A_UNIT = 4
"""The same for a unit by itself."""


class AblationStatus(StrEnum):
    """Where an ablation stands. A failed or cancelled one that is asked for again goes on where it stopped."""

    QUEUED = "queued"
    RUNNING = "running"
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    CANCELLED = "cancelled"


class AblationStage(StrEnum):
    """What the work items of an ablation do, in order.

    Outputs: what the network returns for a shard's images, and the means of the layers. Ablate: the same with the units
    held. Conclude: what changed.
    """

    OUTPUTS = "outputs"
    ABLATE = "ablate"
    CONCLUDE = "conclude"


@dataclass(frozen=True, slots=True)
class UnitChoice:
    """What was asked for, in the caller's words (stored). One of units, concept, verdict and watched is given."""

    layer: str | None = None
    """Where the units are; None for all layers of the job, with concept and watched."""

    units: tuple[int, ...] | None = None
    """These units of the layer."""

    concept: str | None = None
    """The units with this label."""

    verdict: Verdict | None = None
    """The units of the layer with this verdict."""

    watched: bool = False
    """The units that respond to watched concepts."""


@dataclass(frozen=True, slots=True)
class LayerUnits:
    """Units of a layer that are held (stored)."""

    layer: str
    units: tuple[int, ...]
    """Ascending."""

    dead: tuple[int, ...] = ()
    """Those of them whose pooled activation is the same for every image."""


@dataclass(frozen=True, slots=True)
class AblationRequest:
    """An ablation of a job, with its units resolved (stored)."""

    choice: UnitChoice
    layers: tuple[LayerUnits, ...]
    """In the order of the dissection."""

    value: Replacement = "mean"
    each: bool = False
    """Whether each unit is held by itself as well."""

    left_out: int = 0
    """Watched units that are not held, because there are more than `MOST_EACH`: those that respond least."""

    @property
    def count(self) -> int:
        """How many units are held at once."""
        return sum(len(layer.units) for layer in self.layers)

    @property
    def single_units(self) -> list[tuple[str, int]]:
        """The units that are held by themselves, with their layers."""
        return [(layer.layer, unit) for layer in self.layers for unit in layer.units] if self.each else []


@dataclass(frozen=True, slots=True)
class OutputChange:
    """How an output of the network changes, in its own deviations over the probe set (stored).

    Figures are None for an output that is the same for every image, ends of intervals where there are none.
    """

    output: int
    """Its index, counted from 0."""

    std: float
    """Its deviation over the probe set, in its own units."""

    change: float | None
    """The mean of the change, with its sign."""

    low: float | None
    high: float | None
    """The 95 % interval of the same."""

    absolute: float | None
    """The mean of the change without its sign."""

    absolute_low: float | None
    absolute_high: float | None
    """The 95 % interval of the same."""


@dataclass(frozen=True, slots=True)
class AurocChange:
    """How well an output tells images with a finding from images without, before and after (stored)."""

    output: int
    finding: str
    before: float
    after: float
    change: float
    low: float | None
    high: float | None
    """The 95 % interval of the change; before and after are of the same exams."""


@dataclass(frozen=True, slots=True)
class Effect:
    """What holding some units does to the outputs (stored)."""

    outputs: tuple[OutputChange, ...]
    """By index: all, or those that change most."""

    aurocs: tuple[AurocChange, ...]
    """Of the outputs that change most, by finding and index."""

    same: bool = False
    """Whether every output of every image stays the same bit by bit."""

    @property
    def most(self) -> OutputChange | None:
        """The output that changes most; None where none varies."""
        changes = [change for change in self.outputs if change.absolute is not None]
        return max(changes, key=lambda change: change.absolute or 0.0) if changes else None


@dataclass(frozen=True, slots=True)
class UnitEffect:
    """What holding one unit by itself does (stored)."""

    layer: str
    unit: int
    effect: Effect


@dataclass(frozen=True, slots=True)
class FindingCount:
    """A finding of the probe set whose AUROCs are given, and the images that decide them (stored)."""

    finding: str
    positives: int
    negatives: int


@dataclass(frozen=True, slots=True)
class AblationResult:
    """What an ablation found (stored)."""

    outputs: int
    """How many the network has."""

    output_of: str
    """The layer that returns them."""

    images: int
    drawn_by: DrawnUnit
    drawn: int
    """How many of that kind the images are, which are resampled whole."""

    resamples: int
    """0 where there are no intervals."""

    effect: Effect
    """Of all units at once."""

    findings: tuple[FindingCount, ...]
    units: tuple[UnitEffect, ...]
    """Of each unit by itself, where that was asked for."""

    device: str
    notes: tuple[str, ...] = ()
    """What is to be known of these figures, in whole sentences."""


@dataclass(frozen=True, slots=True)
class Ablation:
    """An ablation as the database knows it."""

    id: UUID
    job: UUID
    request: AblationRequest
    status: AblationStatus
    done: int
    total: int
    """Images shown, and to be shown, over its stages so far."""

    result: AblationResult | None
    """None until it succeeded, and in lists."""

    problem: ProblemFields | None
    created_at: datetime
    finished_at: datetime | None


@dataclass(frozen=True, slots=True)
class Dependence:
    """How much the outputs depend on one unit, by the newest ablation of it alone."""

    ablation: UUID
    layer: str
    unit: int
    value: Replacement
    change: OutputChange | None
    """Of the output that changes most; None where no output varies."""


def check_can_be_asked(architecture: str) -> None:
    """Raise NoOutputs for an architecture of which it is known that no unit can be held while it runs."""
    if is_table(architecture):
        raise NoOutputs(
            "The target is a table of activations, so there is no network whose outputs could change.",
            field="target",
            value=architecture,
            remedy="Register the network's weights, dissect it, and ask again.",
        )
    if architecture == ONNX:
        raise NoOutputs(
            "The target is an ONNX graph, whose units cannot be held while it runs.",
            field="target",
            value=architecture,
            remedy="Register the network's weights with its architecture, dissect it, and ask again.",
        )
    if architecture.partition("/")[0] in TOWERS:
        raise NoOutputs(
            "The target is the image tower of an image-text model, which returns an embedding and has no outputs of "
            "its own.",
            field="target",
            value=architecture,
            remedy=ANOTHER_TARGET,
        )


def latents_are_beside(layer: str) -> InvalidInput:
    """The error for units that are latents of an autoencoder."""
    return InvalidInput(
        f"The units of '{layer}' are latents of an autoencoder beside the network, so nothing in the network depends "
        "on them.",
        field="layer",
        value=layer,
        remedy="Name units of the layer that the autoencoder reads.",
    )
