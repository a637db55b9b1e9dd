"""The passes of an ablation over a shard: what the network returns as it is, and with units held."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from typing import cast

import torch
from torch import Tensor

from service.domain.probes import ProbeItem
from service.engine.ablation.holding import Held, LayersAtWork, PlaceMeans
from service.engine.ablation.outputs import OwnOutputs, own_outputs, returned_numbers
from service.engine.networks.protocols import Target
from service.engine.probing.batches import ImageBatch, OnUnreadable, image_batches
from service.engine.probing.listening import hooked
from service.errors import InvalidActivations, NoOutputs
from service.ports import ProbeImages


@dataclass(slots=True)
class ShardOutputs:
    """What the network returned for the images of a shard, and what its layers did."""

    output_of: str
    """The layer that returns the outputs."""

    outputs: Tensor
    """float32 [n, O], on the CPU."""

    used: list[int]
    """Positions of the images that were shown, among the shard's probe items."""

    means: dict[str, PlaceMeans] = field(default_factory=dict)
    """Of each layer that was measured."""


@dataclass(frozen=True, slots=True)
class AblationPass:
    """A target whose units are held, and the images that it is shown. The target must be in eval mode."""

    target: Target
    images: ProbeImages
    layers: tuple[str, ...]
    """Whose units are measured or held."""

    device: torch.device
    batch_size: int
    on_unreadable: OnUnreadable

    def outputs(self, span: range, progress: Callable[[int], None]) -> ShardOutputs:
        """Show the items in `span` to the network as it is, and measure the means of its layers.

        progress: told how many of the items are done; what it raises ends the pass.
        Raises NoOutputs where there are none, or where a layer is what returns them; what `image_batches` and
        `LayersAtWork` raise, and InvalidActivations for outputs that are not finite.
        """
        own = own_outputs(self.target)
        layers = LayersAtWork(self.target, self.layers)
        means = {layer: PlaceMeans() for layer in self.layers}
        rows: list[Tensor] = []
        used: list[int] = []

        for batch in self._batches(span, used, progress):
            images = batch.target.to(self.device)
            with torch.inference_mode(), _outputs_beside(own) as beside:
                returned, of_layers = layers.measure(images, means)
                numbers = self._numbers(own, returned, beside)
            self._check_not_last(of_layers, numbers, own)
            rows.append(self._checked(numbers, batch))

        return ShardOutputs(own.layer, _joined(rows, own.count), used, means)

    def ablated(
        self, span: range, held: Sequence[Mapping[str, Held]], progress: Callable[[int], None]
    ) -> tuple[list[Tensor], list[int]]:
        """Show the items in `span` once for each entry of `held`, with its units held.

        Returns the outputs with each, float32 [n, O], and the positions of the images that were shown. Raises what
        `outputs` raises.
        """
        own = own_outputs(self.target)
        layers = LayersAtWork(self.target, self.layers)
        rows: list[list[Tensor]] = [[] for _ in held]
        used: list[int] = []

        for batch in self._batches(span, used, progress):
            images = batch.target.to(self.device)
            for number, units in enumerate(held):
                with torch.inference_mode(), _outputs_beside(own) as beside:
                    numbers = self._numbers(own, layers.hold(images, units), beside)
                rows[number].append(self._checked(numbers, batch))
                progress(batch.indices[0] - span.start)

        return [_joined(parts, own.count) for parts in rows], used

    def _batches(self, span: range, used: list[int], progress: Callable[[int], None]) -> Iterator[ImageBatch]:
        """The batches of the span that have images; `used` grows by theirs once they were worked on."""
        if any(module.training for module in self.target.module.modules()):
            raise ValueError("the target must be in eval mode")

        contract = self.target.preprocessing
        batches = image_batches(
            self.images,
            contract,
            contract,
            span=span,
            batch_size=self.batch_size,
            on_unreadable=self.on_unreadable,
        )
        done = 0
        with closing(batches):
            for batch in batches:
                if batch.indices:
                    yield batch
                    used += [index - span.start for index in batch.indices]
                done += len(batch.indices) + len(batch.skipped)
                progress(done)

    def _numbers(self, own: OwnOutputs, returned: object, beside: Sequence[Tensor]) -> Tensor:
        return beside[-1] if own.beside else returned_numbers(self.target, returned)

    def _check_not_last(self, of_layers: Mapping[str, Tensor], numbers: Tensor, own: OwnOutputs) -> None:
        for layer, output in of_layers.items():
            if output.shape == numbers.shape and torch.equal(output, numbers):
                raise NoOutputs(
                    f"The units of layer '{layer}' are the network's outputs themselves: holding them says nothing.",
                    field="layer",
                    value=layer,
                    remedy=f"Name units of a layer before '{own.layer}'.",
                )

    def _checked(self, numbers: Tensor, batch: ImageBatch) -> Tensor:
        finite = torch.isfinite(numbers).all(dim=1)
        if not bool(finite.all()):
            item: ProbeItem = self.images.items[batch.indices[int((~finite).nonzero()[0, 0])]]
            raise InvalidActivations(
                f"The network's outputs for manifest row {item.row} are not finite.",
                field="target",
                value=f"row {item.row}",
                remedy="Check the checkpoint's weights and the target's preprocessing.",
            )
        return numbers.float().cpu()


@contextmanager
def _outputs_beside(own: OwnOutputs) -> Iterator[list[Tensor]]:
    """What a head that works beside the network returns while the block lasts; nothing of others."""
    seen: list[Tensor] = []

    def keep(_name: str, output: object) -> None:
        seen.append(cast("Tensor", output).clone())

    with hooked({own.layer: own.head} if own.beside else {}, keep):
        yield seen


def _joined(rows: Sequence[Tensor], outputs: int) -> Tensor:
    return torch.cat(list(rows)) if rows else torch.empty(0, outputs)
