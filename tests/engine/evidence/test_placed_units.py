"""Images with places shown to small networks: what is measured, and why something is not."""

from collections.abc import Mapping, Sequence

import numpy as np
import pytest
import torch
from torch import nn

from service.domain.localisation import Localisation, PlaceProblems
from service.domain.preprocessing import Preprocessing
from service.engine.evidence.placed_units import Answers, FindingImages, Question, locate_units
from service.errors import JobCancelled, UnreadableImage
from service.ports import PlacedImage, PlacesInInput
from tests.engine.toys import Conv, grey_images, hooks_left, target_of

CPU = torch.device("cpu")
SIDE = 8
IMAGES = 40
MASS = "mass"


class Spots:
    """Images that are dark but for a square of 2 x 2 pixels, where the mass is; some are broken."""

    def __init__(self, *, broken: Sequence[int] = (), wrong: Sequence[int] = ()) -> None:
        self.items = grey_images(*range(IMAGES)).items
        self.shown: list[int] = []
        self._broken, self._wrong = broken, wrong

    def show(self, index: int, contract: Preprocessing, findings: Mapping[str, Sequence[str]]) -> PlacedImage:
        self.shown.append(index)
        if index in self._broken:
            raise UnreadableImage("It cannot be decoded.")
        row, column = np.random.default_rng(index).integers(0, SIDE - 1, 2)
        covered = np.zeros((SIDE, SIDE), np.float32)
        covered[row : row + 2, column : column + 2] = 1.0
        array = np.repeat(covered[None], 3, axis=0)
        assert set(findings) == {MASS}
        if index in self._wrong:
            return PlacedImage(array, "left", {}, ("its box is wrong",))
        return PlacedImage(array, "left", {MASS: PlacesInInput(covered, covered[:, ::-1])}, ())


def look(
    images: Spots, module: nn.Module, questions: Sequence[Question], *, layers: Sequence[str], exams: int = IMAGES // 2
) -> tuple[Answers, PlaceProblems]:
    problems = PlaceProblems()
    of_mass = FindingImages((MASS,), tuple(range(IMAGES)), tuple(item % exams for item in range(IMAGES)))
    answers = locate_units(
        target_of(module, CPU, *layers),
        images,
        {MASS: of_mass},
        questions,
        problems=problems,
        device=CPU,
        check_cancelled=lambda: None,
    )
    return answers, problems


def test_a_unit_that_follows_the_bright_spot_points_at_it_and_its_opposite_does_not() -> None:
    images = Spots(broken=[3], wrong=[5])
    network = Conv((1, -1), (0, 0))
    questions = [Question("blocks.0", MASS, (0, 1)), Question("blocks.1", MASS, (1,))]
    answers, problems = look(images, network, questions, layers=["blocks.0", "blocks.1"])

    follows = answers.localisations["blocks.0", 0, MASS]
    assert (follows.images, follows.exams, follows.cells) == (38, 20, (SIDE, SIDE))
    assert follows.pointing is not None
    assert follows.pointing.value == 1.0
    assert follows.pointing.exchanged < 0.3
    assert follows.pointing.p == 0.001
    assert follows.auroc is not None
    assert follows.auroc.value == 1.0
    assert follows.above_exchanged

    opposite = answers.localisations["blocks.0", 1, MASS]
    assert opposite.auroc is not None
    assert opposite.auroc.value == 0.0
    assert opposite.auroc.p == 1.0
    assert not opposite.above_exchanged
    assert ("blocks.1", 1, MASS) in answers.localisations

    assert images.shown == list(range(IMAGES)), "each image once, however many units are asked"
    assert answers.used == {MASS: (38, 20)}
    assert problems.count == 2
    assert problems.named == [
        {"row": 4, "why": "it can no longer be read, or has changed"},
        {"row": 6, "why": "its box is wrong"},
    ]
    assert hooks_left(network) == 0


@pytest.mark.parametrize(
    ("module", "layer", "wrong", "exams", "why"),
    [
        (nn.Sequential(nn.Flatten(), nn.Linear(3 * SIDE * SIDE, 2)), "1", [], 20, "no-map"),
        (Conv((1, -1), (0, 0)), "blocks.0", range(IMAGES), 20, "no-places"),
        (Conv((1, -1), (0, 0)), "blocks.0", [], 1, "one-exam"),
    ],
    ids=["a linear layer", "no usable place", "one exam"],
)
def test_what_cannot_be_measured_says_why(
    module: nn.Module, layer: str, wrong: Sequence[int], exams: int, why: str
) -> None:
    answers, _ = look(Spots(wrong=wrong), module, [Question(layer, MASS, (0, 1))], layers=[layer], exams=exams)
    assert {answer.why_not for answer in answers.localisations.values()} == {why}
    assert len(answers.localisations) == 2
    assert all(
        answer == Localisation(MASS, True, answer.images, answer.exams, why_not=answer.why_not)
        for answer in answers.localisations.values()
    )


def test_a_cancelled_job_leaves_no_hook() -> None:
    network = Conv((1, -1), (0, 0))

    def cancel() -> None:
        raise JobCancelled("The job was cancelled.")

    with pytest.raises(JobCancelled):
        locate_units(
            target_of(network, CPU, "blocks.0"),
            Spots(),
            {MASS: FindingImages((MASS,), (0, 1), (0, 1))},
            [Question("blocks.0", MASS, (0,))],
            problems=PlaceProblems(),
            device=CPU,
            check_cancelled=cancel,
        )
    assert hooks_left(network) == 0
