"""The probing pass: every image once through target and dissector, reduced to what scoring needs."""

from collections.abc import Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, field

import torch
from torch import Tensor

from service.domain.jobs import Progress, Stage
from service.domain.methods import Method
from service.domain.probes import ProbeItem
from service.engine.activations import FullActivations, RunningSummary, check_full_matrix_fits
from service.engine.batches import OnUnreadable, image_batches
from service.engine.hooks import PooledForward
from service.engine.networks import Dissector, Target
from service.engine.top_k import RunningTopK
from service.errors import InvalidActivations
from service.ports import ProbeImages, ProgressListener


@dataclass(slots=True)
class LayerRecord:
    """What one layer did: its units' most activating images, their summary, and all activations where asked for.

    Image indices count the images that were used, in probe-set order.
    """

    top: RunningTopK
    summary: RunningSummary
    full: FullActivations | None

    def update(self, activations: Tensor) -> None:
        """Take the next images, float32 [B, U]."""
        self.top.update(activations)
        self.summary.update(activations)
        if self.full is not None:
            self.full.update(activations)


@dataclass(slots=True)
class Probing:
    """The outcome of the probing pass.

    layers: in the order of the request. embeddings: the dissector's, float32 [images used, D], on the CPU.
    used, skipped: indices of the probe items that were shown, and of those that could not be decoded.
    """

    layers: dict[str, LayerRecord] = field(default_factory=dict)
    embeddings: Tensor = field(default_factory=lambda: torch.empty(0))
    used: list[int] = field(default_factory=list)
    skipped: list[int] = field(default_factory=list)


def probe(
    target: Target,
    forward: PooledForward,
    dissector: Dissector,
    images: ProbeImages,
    method: Method,
    *,
    keep_top: int,
    device: torch.device,
    batch_size: int,
    on_unreadable: OnUnreadable,
    progress: ProgressListener,
) -> Probing:
    """Show every image to both networks. forward: the target's pooled layers, see `pooled_layers`.

    Memory: keep_top numbers a unit and D an image, not a number per unit and image (unless the method needs them all).
    Raises what image_batches, forward and progress raise, InvalidActivations for a NaN or infinite number, and
    InvalidInput when the method needs more activations at once than there is room for.
    """
    total = len(images.items)
    result = Probing()
    batches = image_batches(
        images, target.preprocessing, dissector.preprocessing, batch_size=batch_size, on_unreadable=on_unreadable
    )
    progress(Progress(Stage.PROBE, 0, total))
    with closing(batches):
        for batch in batches:
            result.skipped += batch.skipped
            if batch.indices:
                shown = [images.items[index] for index in batch.indices]
                for_target = batch.target.to(device)
                for_dissector = for_target if batch.dissector is batch.target else batch.dissector.to(device)
                outputs = forward(for_target)
                if not result.layers:
                    result.layers = _empty_records(outputs, total, method, keep_top)
                for layer, activations in outputs.items():
                    _check_finite(activations, layer, shown)
                    result.layers[layer].update(activations)
                _keep_embeddings(result, dissector.embed_images(for_dissector), shown, total)
                result.used += batch.indices
            progress(Progress(Stage.PROBE, len(result.used) + len(result.skipped), total))
    result.embeddings = result.embeddings[: len(result.used)]
    return result


def _empty_records(outputs: Mapping[str, Tensor], images: int, method: Method, keep_top: int) -> dict[str, LayerRecord]:
    needs_all = method.similarity not in {"soft_wpmi", "wpmi"}
    if needs_all:
        check_full_matrix_fits(images, sum(output.shape[1] for output in outputs.values()), method.similarity)
    return {
        layer: LayerRecord(RunningTopK(keep_top), RunningSummary(), FullActivations(images) if needs_all else None)
        for layer in outputs
    }


def _keep_embeddings(result: Probing, embeddings: Tensor, shown: Sequence[ProbeItem], images: int) -> None:
    finite = torch.isfinite(embeddings).all(dim=1)
    if not bool(finite.all()):
        row = shown[int((~finite).nonzero()[0, 0])].row
        raise InvalidActivations(
            f"The dissector's embedding of manifest row {row} is not finite.", field="dissector", value=f"row {row}"
        )
    if not result.used:
        result.embeddings = torch.empty(images, embeddings.shape[1])
    result.embeddings[len(result.used) : len(result.used) + len(shown)] = embeddings


def _check_finite(activations: Tensor, layer: str, shown: Sequence[ProbeItem]) -> None:
    finite = torch.isfinite(activations)
    if bool(finite.all()):
        return
    image, unit = (int(position) for position in (~finite).nonzero()[0])
    raise InvalidActivations(
        f"Layer '{layer}', unit {unit}, is {float(activations[image, unit])} for manifest row {shown[image].row}.",
        field="layers",
        value=layer,
        remedy="Check the checkpoint's weights and the target's preprocessing.",
    )
