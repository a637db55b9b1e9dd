"""The report on a dissection: it says what the figures say, opens from disk, and runs nothing."""

import base64
import hashlib
import json
import re
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest
from PIL import Image

from service.analysis.coverage import NOT_ASKED, cover
from service.analysis.watch_list import watch
from service.domain.concepts import Concept, ConceptSet
from service.domain.evidence import JobEvidence
from service.domain.methods import Method
from service.domain.neurons import LayerDissection, RankedConcept
from service.domain.preprocessing import MAMMO_CLIP
from service.domain.probes import Box, ImagePlace
from service.domain.prompts import Prompts
from service.probes.manifest import read_manifest
from service.reports.cards import CARDS, CARDS_PER_LAYER
from service.reports.dissection import DissectionReport, dissection_html, dissection_json, report_dissection
from service.reports.thumbnails import SIDE, Thumbnails
from tests.probes.dicom_files import write_dicom
from tests.reports.examples import (
    CONCEPTS,
    EVIDENCE,
    FACTS,
    LAYERS,
    SURGICAL_CLIP,
    dead_neuron,
    example_layers,
    example_report,
    untested,
)
from tests.reports.page import Page

JPEG = bytes(cv2.imencode(".jpg", np.zeros((8, 8), np.uint8))[1].tobytes())
REFUSED = "The probe set has 9 exams, fewer than the 20 that inference takes."


def no_picture(_: ImagePlace) -> None:
    return None


@pytest.fixture(scope="module")
def layers() -> list[LayerDissection]:
    return example_layers()


@pytest.fixture(scope="module")
def report(layers: list[LayerDissection]) -> DissectionReport:
    return example_report(layers)


@pytest.fixture(scope="module")
def page(report: DissectionReport) -> Page:
    return Page(dissection_html(report, lambda _: JPEG))


def test_the_file_needs_nothing_else_and_runs_nothing(page: Page) -> None:
    assert {tag for tag, _ in page.tags}.isdisjoint({"script", "link", "iframe", "object", "embed", "form", "base"})
    assert page.attributes("style") == [], "the policy forbids them"
    assert [name for _, attributes in page.tags for name in attributes if name.startswith("on")] == []
    assert {source.split(",")[0] for source in page.attributes("src")} == {"data:image/jpeg;base64"}
    links, names = page.attributes("href"), page.attributes("id")
    assert {link.removeprefix("#") for link in links} <= set(names)
    assert len(set(names)) == len(names)
    assert re.search(r"url\(|@import|https?:", page.style) is None
    policy = next(value for tag, value in page.tags if value.get("http-equiv") == "Content-Security-Policy")
    digest = base64.b64encode(hashlib.sha256(page.style.encode()).digest()).decode()
    assert policy["content"] == (
        f"default-src 'none'; style-src 'sha256-{digest}'; img-src data:; base-uri 'none'; form-action 'none'"
    )


def test_figures_and_twin_agree(page: Page, report: DissectionReport, layers: list[LayerDissection]) -> None:
    twin = json.loads(dissection_json(report))
    shown = [row[:5] for row in page.rows["layers"][1:]]
    told = [
        [str(line["number"]), line["summary"]["layer"], str(line["summary"]["units"]), str(line["living"])]
        for line in twin["layers"]
    ]
    significant = [sum(neuron.significant is True for neuron in layer.neurons) for layer in layers]
    assert [row[:4] for row in shown] == told
    assert [int(row[4].split(" ")[0]) for row in shown] == significant
    assert [line["summary"]["significant"] for line in twin["layers"]] == significant
    assert [int(row[2]) for row in page.rows["composition"][1:]] == significant
    assert sum(count for _, count in twin["composition"]) == sum(significant)
    for line in twin["layers"]:
        assert sum(line["scores"]["significant"]) == line["summary"]["significant"]
        assert sum(line["scores"]["others"]) == line["living"] - line["summary"]["significant"]
        assert sum(line["scores"]["random"]) == pytest.approx(1)
    categories = {one["name"]: one for one in twin["coverage"]["categories"]}
    rows = [row for row in page.rows["coverage"] if row[0] in categories and " of " in row[3]]
    assert len(rows) == len(categories)
    for name, neurons, _, _, *cells in rows:
        per_layer = {count["layer"]: count["neurons"] for count in categories[name]["layers"]}
        assert int(neurons) == categories[name]["neurons"]
        assert [int(cell.replace("·", "0")) for cell in cells] == [per_layer.get(layer, 0) for layer in LAYERS]
    assert [sentence for sentence in twin["summary"] if sentence not in page.text] == []
    assert [sentence for sentence in twin["limits"] if sentence not in page.text] == []


def test_the_summary_answers_in_plain_words(report: DissectionReport) -> None:
    text = " ".join(report.summary)
    assert "174 of 180 neurons in 3 layers are alive; 6 answer every image alike" in text
    significant = sum(line.summary.significant or 0 for line in report.layers)
    assert f"{significant} neurons ({100 * significant / 174:.0f} % of the living) carry a significant concept" in text
    for reason, words in (("not represented", "not represented, though"), ("absent from the probe set", "absent from")):
        missing = [one.text for one in report.coverage.missing if one.reason == reason]
        assert f"{len(missing)} {words}" in text
        assert missing[0] in text
    assert f"{report.watched.responding} respond to such a thing whatever the label; strongest: surgical clip." in text
    assert "cannot recognise 1 of 5 tested concepts (architectural distortion)" in text


INDEPENDENT: dict[str, tuple[JobEvidence, str]] = {
    "patients": (replace(EVIDENCE, drawn_by="patient", units=24), "only its 24 patients count as independent."),
    "some nameless": (
        replace(EVIDENCE, drawn_by="patient", units=24, nameless=3),
        "24 patients count as independent; 3 of them are single images that name neither patient nor exam.",
    ),
    "exams": (EVIDENCE, "only its 60 exams count as independent; its manifest knows no patients, so exams of one"),
    "a column": (
        replace(EVIDENCE, drawn_by="group", units=192, independent="study_id", nameless=2),
        "its 192 groups by 'study_id' count as independent, because that was chosen; 2 of them have no value in that",
    ),
    "images, as chosen": (
        replace(EVIDENCE, drawn_by="image", units=24, independent="image"),
        "its 24 images count as independent, because that was chosen.",
    ),
    "images": (replace(EVIDENCE, drawn_by="image"), "its manifest knows neither patients nor exams, so images of one"),
    "copies": (replace(EVIDENCE, repeated=72), "72 images repeat the bytes of others."),
}


@pytest.mark.parametrize(("evidence", "words"), INDEPENDENT.values(), ids=INDEPENDENT.keys())
def test_the_limits_say_what_counts_as_independent(
    layers: list[LayerDissection], evidence: JobEvidence, words: str
) -> None:
    report = example_report(layers, evidence)
    assert words in " ".join(report.limits)
    assert words in Page(dissection_html(report, no_picture)).text


def test_no_copies_are_not_mentioned(layers: list[LayerDissection]) -> None:
    for repeated in (0, None):
        report = example_report(layers, replace(EVIDENCE, repeated=repeated))
        assert "bytes of others" not in " ".join(report.limits)


def test_neurons_that_are_named_after_a_watched_concept_are_counted(layers: list[LayerDissection]) -> None:
    clip = RankedConcept(SURGICAL_CLIP, "surgical clip", 9.0)
    neurons = [one for one in layers[2].neurons if one.significant]
    renamed = (replace(neurons[0], concepts=(clip,)), *neurons[1:])
    before, after = (example_report([LayerDissection("a", its)]) for its in (tuple(neurons), renamed))
    assert after.watched.named == before.watched.named + 1


def test_cards_are_the_strongest_significant_neurons(report: DissectionReport, layers: list[LayerDissection]) -> None:
    for number, layer in enumerate(layers, start=1):
        z = [
            one.evidence.significance.z
            for one in layer.neurons
            if one.significant and one.evidence and one.evidence.significance
        ]
        shown = [card.significance.z for card in report.cards if card.layer_number == number and card.significance]
        assert shown == sorted(z, reverse=True)[:CARDS_PER_LAYER]


def test_forty_cards_at_most(layers: list[LayerDissection]) -> None:
    many = [replace(layers[2], layer=f"blocks.{number}") for number in range(12)]
    assert len(example_report(many).cards) == CARDS


def test_images_are_named_by_row_alone(page: Page, report: DissectionReport) -> None:
    rows = {image.row for card in report.cards for image in card.images}
    assert all(f"row {row}" in page.text for row in rows)
    assert "secret" not in page.text + str(page.tags)
    assert b"secret" not in dissection_json(report)


def test_the_region_is_outlined_where_it_is_known(report: DissectionReport) -> None:
    card = next(card for card in report.cards if card.images[0].region)
    only = replace(report, cards=(card,), watched=replace(report.watched, neurons=()))
    page = Page(dissection_html(only, lambda _: JPEG))
    outlines = [attributes for tag, attributes in page.tags if tag == "rect" and attributes.get("class") == "region"]
    assert len(outlines) == len(card.images)
    assert [outlines[0][name] for name in ("x", "y", "width", "height")] == ["0.3", "0.4", "0.25", "0.2"]


def test_an_image_that_is_not_there_is_said_to_be_missing(report: DissectionReport) -> None:
    page = Page(dissection_html(report, no_picture))
    assert page.attributes("src") == []
    assert "image not available here" in page.text


def test_names_cannot_become_markup(layers: list[LayerDissection]) -> None:
    evil = "<script>alert('&\"')</script>"
    concepts = ConceptSet("x", tuple(Concept(evil, evil, evil, True) for _ in CONCEPTS.concepts))
    renamed = [
        LayerDissection(
            f"{layer.layer} {evil}",
            tuple(
                replace(one, concepts=tuple(RankedConcept(c.concept, evil, c.score) for c in one.concepts))
                for one in layer.neurons
            ),
            layer.null,
        )
        for layer in layers
    ]
    facts = replace(FACTS, target=evil, probe_set=evil, manifest={evil: evil})
    evidence = replace(EVIDENCE, no_agreement=evil)
    report = report_dissection(
        facts,
        renamed,
        concepts,
        evidence,
        cover(renamed, concepts, evidence, [(evil, None)]),
        watch(renamed, concepts, evidence),
    )
    html = dissection_html(report, no_picture)
    assert "<script" not in html
    assert evil in Page(html).text
    assert any(evil in label for label in Page(html).attributes("aria-label"))


@pytest.mark.parametrize(
    ("evidence", "why"),
    [(None, NOT_ASKED), (replace(EVIDENCE, refused=REFUSED, tests=0, largest_p=None), REFUSED)],
)
def test_without_tested_labels_the_report_says_why(
    layers: list[LayerDissection], evidence: JobEvidence | None, why: str
) -> None:
    report = example_report([untested(layer) for layer in layers], evidence)
    page = Page(dissection_html(report, no_picture))
    assert f"No label was tested: {why}" in report.summary[1]
    assert [row[4] for row in page.rows["layers"][1:]] == ["not tested"] * 3
    assert report.coverage.missing == (), "nothing is called missing where nothing was inferred"
    assert page.text.count(why) >= 4, "in the summary, beside scores, coverage and watch-list"
    assert report.cards, "the best labels are still shown"
    assert "not tested; score" in page.text


@pytest.mark.parametrize("shown", [[LayerDissection("head", (dead_neuron(0), dead_neuron(1)))], []])
def test_without_living_neurons_there_is_a_report_all_the_same(shown: Sequence[LayerDissection]) -> None:
    report = example_report(shown)
    page = Page(dissection_html(report, no_picture))
    assert report.summary[0].startswith("0 of ")
    assert report.summary[1] == "There is nothing to name."
    assert report.cards == ()
    assert "No neuron is named" in page.text
    assert json.loads(dissection_json(report))["composition"] == []


@pytest.mark.parametrize(
    ("method", "words"),
    [
        (Method(top_k=24), "soft wpmi over their 24 most activating images (temperature 10, lambda 1)"),
        (Method.of("contrast", lam=0.5), "contrast over their 100 most activating images (lambda 0.5)"),
        (Method.of("contrast_scan"), "contrast scan over their 400 most activating images (lambda 1)"),
        (Method.of("cosine_cubed", pooling="max"), "cosine cubed over all images, after maximum pooling."),
        (
            Method.of("cosine", prompts=Prompts.of(["a {}"])),
            "pooling. A concept's text is put into the template 'a {}'.",
        ),
        (Method.of(prompts=Prompts.of(synonyms=True)), "pooling. A concept's text and its synonyms are put into the"),
    ],
)
def test_the_method_is_told_with_the_parameters_it_has(report: DissectionReport, method: Method, words: str) -> None:
    page = Page(dissection_html(replace(report, facts=replace(report.facts, method=method)), no_picture))
    assert words in page.text
    assert ("the method of Mammo-CLIP Dissect" in page.text) == (method.similarity == "soft_wpmi")


def test_many_layers_go_into_several_maps(layers: list[LayerDissection]) -> None:
    many = [replace(layers[2], layer=f"blocks.{number}") for number in range(20)]
    page = Page(dissection_html(example_report(many), no_picture))
    columns = [row for row in page.rows["coverage"] if row and all(cell.isdigit() for cell in row)]
    assert [cell for row in columns[:2] for cell in row] == [str(number) for number in range(1, 21)]


def test_thumbnails_show_the_patch_in_small(tmp_path: Path) -> None:
    pixels = np.zeros((400, 600), np.uint8)
    pixels[100:200, 300:500] = 200
    Image.fromarray(pixels).save(tmp_path / "a.png")
    (tmp_path / "b.png").write_bytes(b"no image")
    (tmp_path / "manifest.csv").write_text("image\na.png\nb.png\n")
    thumbnails = Thumbnails(read_manifest(tmp_path / "manifest.csv", name="two"), MAMMO_CLIP)
    whole, patch = (drawn(thumbnails(ImagePlace(1, box))) for box in (None, Box(300, 100, 200, 100)))
    assert whole.shape == (round(SIDE * 400 / 600), SIDE)
    assert patch.shape == (SIDE // 2, SIDE)
    assert abs(int(patch.min()) - 200) < 5
    assert thumbnails(ImagePlace(2, None)) is None
    assert thumbnails(ImagePlace(3, None)) is None


def test_thumbnails_of_dicom_images_show_what_the_target_sees(tmp_path: Path) -> None:
    pixels = np.zeros((100, 80), np.uint8)
    pixels[20:90, 10:45] = np.random.default_rng(0).integers(100, 255, (70, 35))
    write_dicom(tmp_path / "a.dcm", pixels, bits=8)
    (tmp_path / "manifest.csv").write_text("image\na.dcm\n")
    probe_set = read_manifest(tmp_path / "manifest.csv", name="one")
    image = ImagePlace(1, None)
    shapes = [
        drawn(Thumbnails(probe_set, replace(MAMMO_CLIP, crop_to_breast=cut))(image)).shape for cut in (False, True)
    ]
    assert shapes == [(90, 70), (70, 35)], "without the frame; without the air"


def drawn(jpeg: bytes | None) -> np.ndarray:
    assert jpeg is not None
    return np.asarray(cv2.imdecode(np.frombuffer(jpeg, np.uint8), cv2.IMREAD_UNCHANGED))
