"""The probing pass: images once through target and dissector, reduced to what scoring needs."""

from collections.abc import Callable, Generator, Iterable, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass, field

import torch
from torch import Tensor

from service.domain.digests import digest_of
from service.domain.jobs import BATCH_SIZE, DissectionOptions
from service.domain.layers import is_selector
from service.domain.methods import CONTRASTS, PRIOR_METHODS
from service.domain.probes import ProbeItem
from service.engine.networks.protocols import Dissector, Target
from service.engine.networks.recorded.matching import Match, check_all_have_rows, match_rows
from service.engine.probing.activations import MOST_IN_MEMORY, LayerActivations, RunningSummary
from service.engine.probing.batches import ImageBatch, OnUnreadable, image_batches
from service.engine.probing.hooks import pooled_layers
from service.engine.probing.listing import choose_layers
from service.engine.probing.recorded import ImagesWithRow, row_lookup
from service.engine.top_k import RunningTopK
from service.errors import InvalidActivations, InvalidInput
from service.ports import ProbeImages

Forward = Callable[[Sequence[int], Tensor], Mapping[str, Tensor]]
"""From a batch, the places of its items and its images for the target, to each layer's activations, [B, U]."""


@dataclass(slots=True)
class LayerRecord:
    """What one layer did: the summary of its units, and all its activations or, where these are too many, the largest.

    Image indices count the images that were used, in probe-set order, from the first of the shard.
    """

    top: RunningTopK | None
    """Each unit's most activating images; None where all activations are kept."""
    summary: RunningSummary
    activations: LayerActivations | None
    """None where they are too many to keep."""

    def update(self, activations: Tensor) -> None:
        """Take the next images, float32 [B, U]."""
        self.summary.update(activations)
        if self.top is not None:
            self.top.update(activations)
        if self.activations is not None:
            self.activations.update(activations)

    def merge(self, following: "LayerRecord", keep: int) -> None:
        """Take the record of the shard that follows.

        keep: images of a unit that are kept where the one record has all activations and the other only the largest.
        """
        self.summary.merge(following.summary)
        if self.activations is not None and following.activations is not None:
            self.activations.merge(following.activations)
            return

        top = self.most_activating(keep)
        top.merge(following.most_activating(keep))
        self.top, self.activations = top, None

    def most_activating(self, count: int) -> RunningTopK:
        """Each unit's most activating images, so many at least; where only the largest were kept, these."""
        if self.top is not None:
            return self.top
        if self.activations is None:
            raise ValueError("neither activations nor the largest of them were kept")

        top = RunningTopK(count)
        for block in self.activations.blocks():
            top.update(block)
        return top


def merge_records(records: Iterable[LayerRecord], keep: int) -> LayerRecord:
    """The record of a layer over shards in order; the first is changed. Raises ValueError where there is none.

    keep: see `LayerRecord.merge`.
    """
    merged: LayerRecord | None = None
    for record in records:
        if merged is None:
            merged = record
        else:
            merged.merge(record, keep)

    if merged is None:
        raise ValueError("no shard has the layer")
    return merged


@dataclass(slots=True)
class Probing:
    """The outcome of probing a shard, or several shards in order."""

    layers: dict[str, LayerRecord] = field(default_factory=dict)
    """In the order of the request; empty where no image was used."""

    embeddings: list[Tensor] = field(default_factory=list)
    """The dissector's, float32 [n, D] each, on the CPU; together they are those of the used images."""

    used: list[int] = field(default_factory=list)
    """Positions of the images that were shown, among the shard's probe items."""

    skipped: list[int] = field(default_factory=list)
    """Positions of the images that could not be decoded, among the shard's probe items."""

    @property
    def has_every_activation(self) -> bool:
        """Were all activations kept, and not only the largest?"""
        return all(record.activations is not None for record in self.layers.values())

    def merge(self, following: "Probing", first: int) -> None:
        """Take the shard that follows, of the same pass, whose items begin with the probe set's item `first`."""
        for layer, record in following.layers.items():
            if layer in self.layers:
                own = self.layers[layer]
                own.merge(record, keep=0 if own.top is None else own.top.k)
            else:
                self.layers[layer] = record

        self.embeddings += following.embeddings
        self.used += [first + index for index in following.used]
        self.skipped += [first + index for index in following.skipped]


@dataclass(frozen=True, slots=True)
class ProbingPass:
    """Two networks and the images that both are shown: whatever part of them is shown, it is shown in the same way.

    The target must be in eval mode.
    """

    target: Target
    dissector: Dissector
    images: ProbeImages
    """Of the probe set that is dissected."""
    options: DissectionOptions
    """They say which layers are watched and how these are pooled; where not all activations are kept, how many are."""
    device: torch.device
    """Where both networks are."""
    batch_size: int = BATCH_SIZE
    """Images per forward pass; rounding follows it."""
    on_unreadable: OnUnreadable = "fail"
    """What an image that cannot be decoded does to the pass."""
    match: Match | None = None
    """The rows of the images' items in a target that is a table, where they are known already."""
    most_activations: int = MOST_IN_MEMORY
    """Bytes that the activations of the whole probe set may take; where it is less, only the largest are kept."""

    @property
    def layers(self) -> tuple[str, ...]:
        """The names of the layers that are watched: those asked for, else the target's main layers."""
        if self.options.layers is None:
            return self.target.main_layers
        if not any(map(is_selector, self.options.layers)):
            return self.options.layers
        return self.target.chosen_layers or choose_layers(self.target, self.options.layers)

    def digest_of_rows(self, span: range) -> str | None:
        """Of the rows that the span's items have in the target's table; None where the target is none.

        Raises what `match_rows` and `check_all_have_rows` raise.
        """
        match = self._matched()
        return None if match is None else digest_of(match.rows[span.start : span.stop].tolist())

    def run(self, span: range, progress: Callable[[int], None]) -> Probing:
        """Show the probe items in `span` to both networks; the outcome does not say where in the probe set they lie.

        progress: told how many of the span's items are done; what it raises ends the pass. No hook and no thread is
        left behind, however it ends.
        Memory: a number per unit and image of the span; where those of the whole probe set take more than
        `most_activations`, `kept_top` numbers a unit.
        Where the target is a table, rows are looked up in place of its forward pass; images without a row are taken as
        unreadable, and where they may not be skipped, InvalidActivations names them before any image is decoded.
        Raises what image_batches, pooled_layers and progress raise, InvalidActivations for a NaN or infinite number,
        InvalidInput when the method needs all activations and these take more than `most_activations`, and ValueError
        for a target that is not in eval mode.
        """
        if any(module.training for module in self.target.module.modules()):
            raise ValueError("the target must be in eval mode")

        probing = Probing()
        match = self._matched()

        with (
            torch.inference_mode(),
            self._forward(match) as forward,
            closing(self._batches(span, match)) as batches,
        ):
            for batch in batches:
                probing.skipped += [index - span.start for index in batch.skipped]
                if batch.indices:
                    self._show(batch, forward, probing)
                    probing.used += [index - span.start for index in batch.indices]
                progress(len(probing.used) + len(probing.skipped))

        for record in probing.layers.values():
            if record.activations is not None:
                record.activations.join()
        return probing

    def _matched(self) -> Match | None:
        """The rows of all items in a target that is a table. Raises InvalidActivations where some lack and may not."""
        recorded = self.target.recorded
        if recorded is None:
            return None
        match = match_rows(recorded, self.images.items) if self.match is None else self.match
        if self.on_unreadable == "fail":
            check_all_have_rows(match, self.images.items)
        return match

    @contextmanager
    def _forward(self, match: Match | None) -> Iterator[Forward]:
        """match: of a target that is a table."""
        recorded = self.target.recorded
        if recorded is None or match is None:
            with pooled_layers(self.target, self.layers, self.options.method.pooling) as forward:
                yield lambda _places, images: forward(images)
        else:
            look_up = row_lookup(self.target, recorded, match, self.layers, self.device)
            yield lambda places, _images: look_up(places)

    def _batches(self, span: range, match: Match | None) -> Generator[ImageBatch, None, None]:
        """match: of a target that is a table; it needs no images of its own."""
        seen = self.dissector.preprocessing
        return image_batches(
            self.images if match is None else ImagesWithRow(self.images, match),
            self.target.preprocessing if match is None else seen,
            seen,
            span=span,
            batch_size=self.batch_size,
            on_unreadable=self.on_unreadable,
        )

    def _show(self, batch: ImageBatch, forward: Forward, probing: Probing) -> None:
        """Add what both networks make of a batch."""
        shown = [self.images.items[index] for index in batch.indices]
        for_target = batch.target.to(self.device)
        for_dissector = for_target if batch.dissector is batch.target else batch.dissector.to(self.device)

        outputs = forward(batch.indices, for_target)
        if not probing.layers:
            probing.layers = self._empty_records(outputs)
        for layer, activations in outputs.items():
            _check_finite(activations, layer, shown)
            probing.layers[layer].update(activations)

        probing.embeddings.append(_checked(self.dissector.embed_images(for_dissector), shown))

    def _empty_records(self, outputs: Mapping[str, Tensor]) -> dict[str, LayerRecord]:
        units = sum(output.shape[1] for output in outputs.values())
        images = len(self.images.items)
        needed = 4 * images * units
        if needed <= self.most_activations:
            return {layer: LayerRecord(None, RunningSummary(), LayerActivations()) for layer in outputs}

        similarity = self.options.method.similarity
        if similarity not in PRIOR_METHODS:
            raise InvalidInput(
                f"'{similarity}' needs the activations of all {images} images and {units} units: {_size(needed)}, "
                f"and {_size(self.most_activations)} may be kept.",
                field="method.similarity",
                value=similarity,
                remedy=f"Use {' or '.join(CONTRASTS)}, which need only the top images, ask for fewer layers or images, "
                "or let more be kept (ACTIVATIONS_GB).",
            )
        keep = kept_top(self.options)
        return {layer: LayerRecord(RunningTopK(keep), RunningSummary(), None) for layer in outputs}


def kept_top(options: DissectionOptions) -> int:
    """How many of a unit's most activating images are kept: three times top-k where exams are to be resampled.

    A resample lacks some of them and repeats others; of three times as many, enough are left.
    """
    resampled = options.evidence.resamples + options.evidence.halves > 0
    times = 3 if options.evidence.asked_for and resampled else 1
    return max(times * options.method.top_k, options.images_per_neuron)


def _size(amount: int) -> str:
    """Bytes in words, to three digits."""
    return f"{amount / 2**30:.3g} GiB"


def _checked(embeddings: Tensor, shown: Sequence[ProbeItem]) -> Tensor:
    """The embeddings on the CPU. Raises InvalidActivations unless all are finite."""
    finite = torch.isfinite(embeddings).all(dim=1)
    if not bool(finite.all()):
        row = shown[int((~finite).nonzero()[0, 0])].row
        raise InvalidActivations(
            f"The dissector's embedding of manifest row {row} is not finite.", field="dissector", value=f"row {row}"
        )
    return embeddings.cpu()


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
