"""Where the units of a network look: images of findings with known places are shown once more, and maps measured."""

from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from service.domain.localisation import MOST_CELLS, Localisation, PlaceProblems, WhyNot
from service.engine.evidence.localisation import Places, localise
from service.engine.networks.protocols import Target
from service.engine.probing.listening import hooked
from service.engine.probing.maps import MapKeeper, Maps, averaged, cells_of
from service.errors import ImageChanged, UnreadableImage
from service.ports import PlacedImage, PlacedImages, PlacesInInput


@dataclass(frozen=True, slots=True)
class FindingImages:
    """The images of a finding that are to be looked at.

    names: what the manifest's regions call it. items: places in the probe set, those of an exam one after the other in
    an order that is alike in all exams. exams: the exam of each.
    """

    names: tuple[str, ...]
    items: tuple[int, ...]
    exams: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Question:
    """Units of a layer, and the finding that their maps are held against."""

    layer: str
    finding: str
    units: tuple[int, ...]


@dataclass(slots=True)
class Answers:
    """What was measured: by layer, unit and finding. used: images and exams of each finding that could be used."""

    localisations: dict[tuple[str, int, str], Localisation] = field(default_factory=dict)
    used: dict[str, tuple[int, int]] = field(default_factory=dict)


def locate_units(
    target: Target,
    images: PlacedImages,
    findings: Mapping[str, FindingImages],
    questions: Sequence[Question],
    *,
    problems: PlaceProblems,
    device: torch.device,
    check_cancelled: Callable[[], None],
) -> Answers:
    """Show every image once to the target and answer all questions from its maps.

    findings: of every question; there is one question for each finding and layer. problems: takes the images whose
    places cannot be used, and those that can no longer be read or have changed. Every unit of every question is in the
    answer, with figures or with the reason why not.
    check_cancelled: called between images and units; may raise JobCancelled. Raises UnknownLayer.
    """
    seen = {finding: _Seen(of_finding, questions, finding) for finding, of_finding in findings.items()}
    if questions and target.recorded is None:
        _show(target, images, seen, problems, device, check_cancelled)

    answers = Answers()
    for finding, of_finding in seen.items():
        answers.used[finding] = of_finding.used()
    for question in questions:
        of_question = seen[question.finding].localise(question, check_cancelled, is_table=target.recorded is not None)
        answers.localisations.update(of_question)
    return answers


def _show(
    target: Target,
    images: PlacedImages,
    seen: Mapping[str, "_Seen"],
    problems: PlaceProblems,
    device: torch.device,
    check_cancelled: Callable[[], None],
) -> None:
    wanted: dict[int, list[str]] = defaultdict(list)
    for finding, of_finding in seen.items():
        for item in of_finding.images.items:
            wanted[item].append(finding)

    units: dict[str, set[int]] = defaultdict(set)
    for of_finding in seen.values():
        for layer, of_layer in of_finding.units.items():
            units[layer].update(of_layer)

    keeper = MapKeeper(target, units)
    with torch.inference_mode(), hooked(keeper.modules, keeper.keep):
        for item, of_item in sorted(wanted.items()):
            check_cancelled()
            row = images.items[item].row
            try:
                image = images.show(item, target.preprocessing, {name: seen[name].images.names for name in of_item})
            except (UnreadableImage, ImageChanged):
                problems.add(row, "it can no longer be read, or has changed")
                continue

            if image.problems:
                problems.add(row, "; ".join(image.problems))
            if not image.places:
                continue

            keeper.maps.clear()
            target.module(torch.from_numpy(image.array)[None].to(device))
            for finding in image.places:
                seen[finding].take(item, image, keeper.maps)


class _Seen:
    """What was seen of a finding: the maps of the units that are asked about it, and its places in their cells."""

    def __init__(self, images: FindingImages, questions: Sequence[Question], finding: str) -> None:
        self.images = images
        self.units = {question.layer: question.units for question in questions if question.finding == finding}
        self._finding = finding
        self._position = {item: position for position, item in enumerate(images.items)}
        self._faces: dict[int, str | None] = {}
        self._layers: dict[str, _OfLayer] = {}

    def take(self, item: int, image: PlacedImage, maps: Mapping[str, Maps]) -> None:
        """Keep what an image shows of the finding."""
        position = self._position[item]
        self._faces[position] = image.faces
        places = image.places[self._finding]

        for layer, units in self.units.items():
            if layer not in maps:
                continue
            of_units = averaged(_chosen(maps[layer], units), MOST_CELLS).cpu().numpy()
            if layer not in self._layers:
                self._layers[layer] = _OfLayer.empty(len(self._position), of_units.shape)
            self._layers[layer].take(position, of_units, places)

    def used(self) -> tuple[int, int]:
        """Images, and their exams."""
        return len(self._faces), len({self.images.exams[position] for position in self._faces})

    def localise(
        self, question: Question, check_cancelled: Callable[[], None], *, is_table: bool
    ) -> dict[tuple[str, int, str], Localisation]:
        """The answer to a question, for each of its units."""
        of_layer = self._layers.get(question.layer)
        images, exams = self.used()
        answer = Localisation(self._finding, from_label=True, images=images, exams=exams)

        why_not = self._why_not(of_layer, is_table=is_table)
        if why_not is not None or of_layer is None:
            refused = replace(answer, why_not=why_not)
            return {(question.layer, unit, self._finding): refused for unit in question.units}

        positions = sorted(self._faces)
        places = Places(
            of_layer.covered[positions],
            of_layer.turned[positions],
            [self._faces[position] for position in positions],
            [self.images.exams[position] for position in positions],
        )
        answers = {}
        for number, unit in enumerate(question.units):
            check_cancelled()
            figures = localise(of_layer.maps[positions, number], places)
            answers[question.layer, unit, self._finding] = replace(
                answer,
                cells=of_layer.cells,
                pointing=figures.pointing,
                iou=figures.iou,
                quantiles=figures.quantiles,
                auroc=figures.auroc,
            )
        return answers

    def _why_not(self, of_layer: "_OfLayer | None", *, is_table: bool) -> WhyNot | None:
        images, exams = self.used()
        if is_table:
            return "no-map"
        if not images:
            return "no-places"
        if of_layer is None:
            return "no-map"
        return "one-exam" if exams < 2 else None


@dataclass(slots=True)
class _OfLayer:
    """What a layer's units did in the images of a finding. P: the cells of a map."""

    cells: tuple[int, int]

    maps: NDArray[np.float32]
    """[n, U, P]"""

    covered: NDArray[np.float32]
    """[n, P]"""

    turned: NDArray[np.float32]
    """[n, P]"""

    @classmethod
    def empty(cls, images: int, shape: tuple[int, ...]) -> "_OfLayer":
        """Room for so many images. shape: of the units' maps of one."""
        units, height, width = shape
        cells = height * width
        return cls(
            cells=(height, width),
            maps=np.empty((images, units, cells), np.float32),
            covered=np.empty((images, cells), np.float32),
            turned=np.empty((images, cells), np.float32),
        )

    def take(self, position: int, maps: NDArray[np.float32], places: PlacesInInput) -> None:
        """Keep an image's. maps: [U, h, w]. Places are averaged over the cells."""
        rows, columns = self.cells
        height, width = places.covered.shape
        down = cells_of(height, rows)
        across = cells_of(width, columns).T

        self.maps[position] = maps.reshape(len(maps), -1)
        self.covered[position] = (down @ places.covered @ across).ravel()
        self.turned[position] = (down @ places.turned @ across).ravel()


def _chosen(maps: Maps, units: Sequence[int]) -> Tensor:
    """The maps of these units, [U, h, w]."""
    if isinstance(maps, Tensor):
        return maps[list(units)]
    return torch.stack([maps[unit] for unit in units])
