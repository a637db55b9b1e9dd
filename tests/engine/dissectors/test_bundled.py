"""The dissector that ships: it opens, is small, and recognises what its figures say on phantoms made now."""

import json

import numpy as np
import torch

from service.domain.models import DissectorSpec
from service.engine.dissectors import open_dissector
from service.engine.dissectors.bundled import PHANTOM_DISSECTOR
from service.probes.phantoms import FINDINGS, generate_range
from service.probes.pixels import DecodedImage
from service.probes.prepare import prepare, to_eight_bit

FRESH_SERIES = 77


def test_the_shipped_dissector_carries_figures_for_every_finding_and_recognises_four_fifths() -> None:
    config = json.loads((PHANTOM_DISSECTOR / "dissector.json").read_text())
    findings = config["held_out"]["findings"]
    assert set(findings) == set(FINDINGS)
    recognised = [name for name, one in findings.items() if one["low"] >= 0.8]
    assert len(recognised) == config["held_out"]["recognised"] >= 0.8 * len(FINDINGS)


def test_the_shipped_dissector_takes_at_most_8_megabytes() -> None:
    assert sum(file.stat().st_size for file in PHANTOM_DISSECTOR.iterdir()) <= 8_000_000


def test_the_shipped_dissector_tells_fresh_phantoms_apart() -> None:
    dissector = open_dissector(DissectorSpec(PHANTOM_DISSECTOR), torch.device("cpu"))
    phantoms = list(generate_range(FRESH_SERIES, 0, 96))
    embedded = torch.cat(
        [
            dissector.embed_images(torch.from_numpy(prepare(eight_bit, dissector.preprocessing, None))[None])
            for eight_bit in (to_eight_bit(DecodedImage(one.pixels, from_dicom=False)) for one in phantoms)
        ]
    )
    names = ["skin thickening", "nipple retraction", "extremely dense", "lymph node", "diffuse calcifications"]
    scores = (embedded @ dissector.embed_texts(names).T).numpy()
    for column, name in enumerate(names):
        labels = np.array([name in one.findings for one in phantoms])
        assert 3 <= labels.sum() <= 93
        beaten = scores[labels, column][:, None] > scores[~labels, column][None]
        assert beaten.mean() > 0.9, name
