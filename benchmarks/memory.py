"""The memory of a dissection does not grow with the number of images: peak resident size at N and at 4 N."""

import multiprocessing
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import overload

import numpy as np
from numpy.typing import NDArray

from benchmarks.table import Row, peak_bytes
from service.domain.concepts import Concept, ConceptSet
from service.domain.evidence import EvidenceOptions
from service.domain.preprocessing import Preprocessing
from service.domain.probes import ProbeItem

_IMAGES = (20_000, 80_000)
_UNITS = 512
_CONCEPTS = 100


class DrawnItems(Sequence[ProbeItem]):
    """Items made when they are asked for: what a manifest holds in memory is not what is measured here."""

    def __init__(self, count: int) -> None:
        self._count = count

    def __len__(self) -> int:
        return self._count

    @overload
    def __getitem__(self, index: int) -> ProbeItem: ...
    @overload
    def __getitem__(self, index: slice) -> Sequence[ProbeItem]: ...
    def __getitem__(self, index: int | slice) -> ProbeItem | Sequence[ProbeItem]:
        if isinstance(index, slice):
            return [self[i] for i in range(*index.indices(self._count))]
        return ProbeItem(str(index), Path("-"), row=index + 1)

    def __iter__(self) -> Iterator[ProbeItem]:
        return (self[i] for i in range(self._count))


@dataclass(frozen=True)
class DrawnImages:
    """Images of 8 x 8 pixels, drawn by their number."""

    items: DrawnItems

    def load(self, index: int, contracts: Sequence[Preprocessing]) -> list[NDArray[np.float32]]:
        image = np.random.default_rng(index).random((3, 8, 8), dtype=np.float32)
        return [image for _ in contracts]


def run() -> list[Row]:
    context = multiprocessing.get_context("spawn")
    peaks = []
    for images in _IMAGES:
        with context.Pool(1) as child:
            peaks.append(child.apply(peak_megabytes, (images,)))
    few, many = peaks
    return [
        Row(
            f"dissection of {_UNITS} units: peak memory at N={_IMAGES[0]} and N={_IMAGES[1]}",
            few,
            many,
            "MB",
            many / few,
            "within 10 %",
            many <= 1.1 * few,
        )
    ]


def peak_megabytes(images: int) -> float:
    """Dissect a small network in this process and return its peak resident size."""
    import torch
    from torch import nn

    from service.domain.jobs import DissectionOptions
    from service.engine.dissect import dissect
    from service.engine.networks.protocols import Target, TokenizedText
    from service.engine.probing.probe import ProbingPass

    class Pixels:
        """A dissector that projects the pixels at random."""

        preprocessing = Preprocessing(8, 8, (0.0,) * 3, (1.0,) * 3)
        digest = "0" * 64
        notes = ()
        projection = torch.randn(192, 32, generator=torch.Generator().manual_seed(1))

        def embed_images(self, images: torch.Tensor) -> torch.Tensor:
            return nn.functional.normalize(torch.mm(images.flatten(1), self.projection), dim=1)

        def embed_texts(self, texts: Sequence[str]) -> torch.Tensor:
            drawn = torch.randn(len(texts), 32, generator=torch.Generator().manual_seed(2))
            return nn.functional.normalize(drawn, dim=1)

        def tokenize(self, texts: Sequence[str]) -> list[TokenizedText]:
            return [TokenizedText(tuple(map(ord, text)), len(text), len(text)) for text in texts]

    torch.manual_seed(0)
    network = nn.Sequential(nn.Conv2d(3, 16, 3), nn.ReLU(), nn.Conv2d(16, _UNITS, 3)).eval()
    probing_pass = ProbingPass(
        target=Target(network, "drawn", Pixels.preprocessing, "0" * 64),
        dissector=Pixels(),
        images=DrawnImages(DrawnItems(images)),
        options=DissectionOptions(("2",), evidence=EvidenceOptions(draws=0)),
        device=torch.device("cpu"),
        batch_size=64,
        most_activations=0,  # what is measured is what a dissection holds that need not keep them
    )
    concept_set = ConceptSet("drawn", tuple(Concept(f"concept {i}") for i in range(_CONCEPTS)))
    dissect(probing_pass, concept_set, progress=lambda _progress: None)
    return peak_bytes() / 1e6
