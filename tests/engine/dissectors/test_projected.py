"""Projected dissectors: fitted on small phantoms, written, opened, refused when something is wrong."""

import csv
import json
import shutil
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import torch

from service.domain.groups import group_images
from service.domain.jobs import Progress, Stage
from service.domain.models import DissectorSpec
from service.domain.preprocessing import Preprocessing
from service.domain.probes import ProbeSet
from service.engine.dissectors import open_dissector
from service.engine.dissectors.encoders import (
    ImageEncoderSpec,
    ImageFeatures,
    SentenceEncoder,
    TextEncoderSpec,
    pool_statistics,
)
from service.engine.dissectors.heads import Heads
from service.engine.dissectors.projected import Bundle, check_place, write_bundle
from service.engine.fitting.encoder import TrainingOptions
from service.engine.fitting.heads import HeadOptions
from service.errors import DigestMismatch, InvalidDissector, InvalidInput
from service.ports import ProbeImages
from service.probes.images import open_images
from service.probes.manifest import read_manifest
from service.probes.phantoms import Phantom, generate
from service.studies.fit_dissector import FitOptions, FitReport, fit_dissector
from service.studies.patients import split_by_patient

CPU = torch.device("cpu")
SIZE = (160, 96)
OPTIONS = FitOptions(
    height=SIZE[0], width=SIZE[1], heads=HeadOptions(width=32, epochs=4), held_out_share=0.35, held_back_share=0.1
)


def ignore(_: Progress) -> None:
    """A listener that does nothing."""


def phantoms_with_and_without_implants(exams: int) -> Iterator[Phantom]:
    """One view of every exam with implants and of some more without."""
    plain = 0
    for exam in range(exams):
        first = generate(21, 4 * exam, SIZE)
        has_it = "implant" in first.findings
        if has_it or plain < 60:
            plain += not has_it
            yield first


@pytest.fixture(scope="module")
def probe_set(tmp_path_factory: pytest.TempPathFactory) -> ProbeSet:
    folder = tmp_path_factory.mktemp("phantoms")
    rows = []
    for one in phantoms_with_and_without_implants(220):
        cv2.imwrite(str(folder / f"{one.image_id}.png"), one.pixels)
        image = f"{one.image_id}.png"
        rows.append([image, one.image_id, one.exam_id, one.patient_id, "|".join(sorted(one.findings)), one.report])
    with (folder / "manifest.csv").open("w", newline="") as file:
        csv.writer(file).writerows([["image", "image_id", "exam_id", "patient_id", "findings", "text"], *rows])
    return read_manifest(folder / "manifest.csv", name="phantoms")


@pytest.fixture(scope="module")
def images(probe_set: ProbeSet) -> ProbeImages:
    return open_images(probe_set)


@pytest.fixture(scope="module")
def report(images: ProbeImages, tmp_path_factory: pytest.TempPathFactory) -> FitReport:
    return fit_dissector(images, tmp_path_factory.mktemp("fit") / "small", OPTIONS, device=CPU, progress=ignore)


@pytest.fixture
def bundle(report: FitReport, tmp_path: Path) -> Path:
    """A copy that a test may spoil."""
    return Path(shutil.copytree(report.path, tmp_path / "bundle"))


def edit(bundle: Path, **changes: object) -> None:
    config = json.loads((bundle / "dissector.json").read_text())
    (bundle / "dissector.json").write_text(json.dumps({**config, **changes}))


def test_a_small_fit_learns_to_see_implants(report: FitReport) -> None:
    assert report.held_out["findings"]["implant"]["auroc"] > 0.9
    assert sum(report.images.values()) >= 70


def test_the_bundle_carries_provenance_and_figures(report: FitReport) -> None:
    config = json.loads((report.path / "dissector.json").read_text())
    assert config["kind"] == "projected"
    assert config["held_out"] == report.held_out
    assert config["provenance"]["images"]["fit"] == report.images["fit"]
    assert set(config["held_out"]["retrieval"]) >= {"image_to_text_recall_at_10", "text_to_image_median_rank"}


def test_a_bundle_opens_as_a_dissector_that_agrees_with_its_figures(
    report: FitReport, images: ProbeImages, probe_set: ProbeSet
) -> None:
    dissector = open_dissector(DissectorSpec(report.path), CPU)
    batch = torch.from_numpy(np.stack([images.load(row, [dissector.preprocessing])[0] for row in range(24)]))
    embedded, text = dissector.embed_images(batch), dissector.embed_texts(["implant"])
    torch.testing.assert_close(embedded.norm(dim=1), torch.ones(24))
    assert embedded.dtype == torch.float32
    scores = (embedded @ text.T)[:, 0]
    has_it = torch.tensor(["implant" in (item.findings or ()) for item in probe_set.items[:24]])
    assert scores[has_it].mean() > scores[~has_it].mean() + 0.2


def test_texts_are_embedded_alike_in_any_company(report: FitReport) -> None:
    dissector = open_dissector(DissectorSpec(report.path), CPU)
    alone = dissector.embed_texts(["spiculated mass"])
    together = dissector.embed_texts(
        ["a much longer text about an implant in place", "spiculated mass", "spiculated mass"]
    )
    torch.testing.assert_close(alone[0], together[1], atol=1e-5, rtol=0)
    assert torch.equal(together[1], together[2])


def test_equal_fits_give_equal_files(report: FitReport, images: ProbeImages, tmp_path: Path) -> None:
    again = fit_dissector(images, tmp_path / "again", OPTIONS, device=CPU, progress=ignore)
    for name in ("dissector.json", "heads.safetensors"):
        assert (again.path / name).read_bytes() == (report.path / name).read_bytes()


def test_the_digest_tells_heads_apart_but_not_figures(report: FitReport, bundle: Path) -> None:
    original = open_dissector(DissectorSpec(report.path), CPU).digest
    edit(bundle, held_out={}, provenance={"note": "another"})
    assert open_dissector(DissectorSpec(bundle), CPU).digest == original
    config = json.loads((bundle / "dissector.json").read_text())
    edit(bundle, preprocessing={**config["preprocessing"], "crop_to_breast": True})
    assert open_dissector(DissectorSpec(bundle), CPU).digest != original


def test_spoiled_heads_are_refused(bundle: Path) -> None:
    data = bytearray((bundle / "heads.safetensors").read_bytes())
    data[-1] ^= 1
    (bundle / "heads.safetensors").write_bytes(data)
    with pytest.raises(InvalidDissector, match="heads differ from those"):
        open_dissector(DissectorSpec(bundle), CPU)


def test_missing_parts_are_named(bundle: Path) -> None:
    (bundle / "heads.safetensors").unlink()
    with pytest.raises(InvalidDissector, match=r"heads\.safetensors"):
        open_dissector(DissectorSpec(bundle), CPU)


def test_an_incomplete_description_is_refused(bundle: Path) -> None:
    edit(bundle, text_encoder={})
    with pytest.raises(InvalidDissector, match=r"The entry text_encoder\.package of dissector\.json is missing"):
        open_dissector(DissectorSpec(bundle), CPU)


WRONG_ENTRIES: list[tuple[tuple[str, ...], object, str]] = [
    (("preprocessing",), "x", "preprocessing of dissector.json must be an object"),
    (("preprocessing",), [], "preprocessing of dissector.json must be an object"),
    (("preprocessing", "mean"), 0.5, "preprocessing.mean of dissector.json must be a list"),
    (("preprocessing", "mean"), [0.5, 0.5], "preprocessing.mean of dissector.json must be for 3 channels, not 2"),
    (("preprocessing", "std"), [0.5, 0.5, "x"], "preprocessing.std.2 of dissector.json must be a number"),
    (("preprocessing", "height"), "160", "preprocessing.height of dissector.json must be a whole number"),
    (("preprocessing", "height"), True, "preprocessing.height of dissector.json must be a whole number"),
    (
        ("preprocessing", "resize"),
        "cut",
        "preprocessing.resize of dissector.json must be 'area', 'bicubic', 'pad' or 'none'",
    ),
    (("preprocessing", "depth"), 3, "preprocessing.depth of dissector.json is not known"),
    (("format",), "x", "format of dissector.json must be 1"),
    (("format",), 2, "format of dissector.json must be 1"),
    (("image_encoder", "layers"), "_bn0", "image_encoder.layers of dissector.json must be a list"),
    (("image_encoder", "layers"), [], "image_encoder.layers of dissector.json must be a list of at least 1 item"),
    (("image_encoder", "weights"), ["x"], "image_encoder.weights of dissector.json must be a text"),
    (("image_encoder", "sha256"), {"a": {}}, "image_encoder.sha256 of dissector.json must be a text"),
    (("text_encoder", "sha256"), "0", "text_encoder.sha256 of dissector.json must be an object"),
    (("text_encoder", "max_tokens"), 10**30, "text_encoder.max_tokens of dissector.json must be a"),
    (("heads",), None, "heads of dissector.json must be an object"),
]


@pytest.mark.parametrize(("place", "value", "words"), WRONG_ENTRIES)
def test_an_entry_of_the_wrong_kind_is_named(bundle: Path, place: tuple[str, ...], value: object, words: str) -> None:
    config = json.loads((bundle / "dissector.json").read_text())
    part, *rest = place
    edit(bundle, **{part: {**config[part], rest[0]: value} if rest else value})
    with pytest.raises(InvalidDissector) as caught:
        open_dissector(DissectorSpec(bundle), CPU)
    assert words in caught.value.detail
    assert caught.value.remedy


def test_files_outside_the_bundle_are_refused(bundle: Path) -> None:
    edit(bundle, heads={"file": "../heads.safetensors", "sha256": ""})
    with pytest.raises(InvalidDissector, match="is missing"):
        open_dissector(DissectorSpec(bundle), CPU)


@pytest.mark.parametrize("part", ["image_encoder", "text_encoder"])
def test_other_encoder_weights_are_refused(bundle: Path, part: str) -> None:
    config = json.loads((bundle / "dissector.json").read_text())
    wrong: object = "0" * 64
    if part == "text_encoder":
        wrong = {**config[part]["sha256"], "model.safetensors": wrong}
    edit(bundle, **{part: {**config[part], "sha256": wrong}})
    with pytest.raises(DigestMismatch):
        open_dissector(DissectorSpec(bundle), CPU)


def test_heads_for_other_layers_are_refused(bundle: Path) -> None:
    config = json.loads((bundle / "dissector.json").read_text())
    edit(bundle, image_encoder={**config["image_encoder"], "layers": ["_blocks.3"]})
    with pytest.raises(InvalidDissector, match="features"):
        open_dissector(DissectorSpec(bundle), CPU)


def test_an_encoder_that_is_not_installed_is_named() -> None:
    with pytest.raises(InvalidDissector, match="no_such_package"):
        ImageFeatures(ImageEncoderSpec(package="no_such_package"), CPU)
    with pytest.raises(InvalidDissector, match="no_such_package"):
        SentenceEncoder(TextEncoderSpec(package="no_such_package"), CPU)


@pytest.mark.parametrize(
    ("part", "change"),
    [
        ("image_encoder", {"file": "/etc/hostname"}),
        ("image_encoder", {"file": "../torch/__init__.py"}),
        ("image_encoder", {"package": "os.path"}),
        ("image_encoder", {"weights": "../encoder.safetensors"}),
        ("image_encoder", {"weights": "/etc/hostname"}),
        ("image_encoder", {"layers": ["_blocks.99"]}),
        ("text_encoder", {"folder": "/usr"}),
        ("text_encoder", {"folder": "../transformers"}),
        ("text_encoder", {"package": "someone/something"}),
        ("text_encoder", {"package": None}),
        ("preprocessing", {"height": 10**6}),
        ("preprocessing", {"width": "160"}),
    ],
)
def test_parts_from_elsewhere_are_refused(bundle: Path, part: str, change: dict[str, object]) -> None:
    config = json.loads((bundle / "dissector.json").read_text())
    edit(bundle, **{part: {**config[part], **change}})
    with pytest.raises(InvalidDissector):
        open_dissector(DissectorSpec(bundle), CPU)


def test_a_trained_encoder_travels_with_the_bundle(images: ProbeImages, tmp_path: Path) -> None:
    options = replace(OPTIONS, image_encoder="trained", training=TrainingOptions(epochs=1))
    trained = fit_dissector(images, tmp_path / "trained", options, device=CPU, progress=ignore)
    assert (trained.path / "encoder.safetensors").stat().st_size < 10_000_000
    assert len(trained.losses) == 2
    dissector = open_dissector(DissectorSpec(trained.path), CPU)
    assert trained.held_out["findings"]["implant"]["auroc"] > 0.8
    batch = torch.from_numpy(images.load(0, [dissector.preprocessing])[0])[None]
    torch.testing.assert_close(dissector.embed_images(batch).norm(), torch.tensor(1.0))


def test_another_fit_replaces_a_bundle_has_another_digest_and_tells_its_progress(
    report: FitReport, bundle: Path, images: ProbeImages
) -> None:
    told: list[Progress] = []
    options = replace(OPTIONS, heads=HeadOptions(width=8, epochs=1))
    fit_dissector(images, bundle, options, device=CPU, progress=told.append)
    assert [path.name for path in bundle.parent.iterdir()] == ["bundle"]
    other = open_dissector(DissectorSpec(bundle), CPU)
    assert other.embed_texts(["mass"]).shape == (1, 8)
    assert other.digest != open_dissector(DissectorSpec(report.path), CPU).digest
    assert [stage for stage in Stage if any(one.stage == stage for one in told)] == list(Stage)
    probed = [one.done for one in told if one.stage == Stage.PROBE]
    assert probed == sorted(probed)
    assert probed[-1] == len(images.items)


def test_a_directory_of_something_else_is_left_alone(report: FitReport, tmp_path: Path) -> None:
    (tmp_path / "mine.txt").write_text("keep")
    with pytest.raises(InvalidDissector, match="is not a dissector"):
        check_place(tmp_path)
    check_place(report.path)
    check_place(tmp_path / "new")
    assert (tmp_path / "mine.txt").read_text() == "keep"


@pytest.mark.parametrize(
    ("part", "wrong", "words"),
    [
        ("held_out", {"findings": [{"auroc": float("nan")}]}, "held_out.findings.0.auroc"),
        ("provenance", {"held_back_losses": [0.5, float("inf")]}, "provenance.held_back_losses.1"),
        ("provenance", {"source": "a\0b"}, "provenance.source"),
    ],
)
def test_a_fit_with_figures_that_are_no_numbers_writes_nothing(
    part: str, wrong: dict[str, Any], words: str, tmp_path: Path
) -> None:
    parts: dict[str, dict[str, Any]] = {"provenance": {}, "held_out": {}, part: wrong}
    bundle = Bundle(
        image_encoder=ImageEncoderSpec(),
        image_encoder_sha256="0" * 64,
        text_encoder=TextEncoderSpec(),
        text_encoder_sha256={},
        preprocessing=Preprocessing(64, 32, (0.5, 0.5, 0.5), (0.5, 0.5, 0.5)),
        heads=Heads.of(torch.zeros(3), torch.ones(3), torch.ones(2, 3), torch.zeros(4), torch.ones(2, 4)),
        provenance=parts["provenance"],
        held_out=parts["held_out"],
    )
    with pytest.raises(InvalidDissector, match="The fit gave") as caught:
        write_bundle(bundle, tmp_path / "new" / "bundle")
    assert caught.value.field == words
    assert list(tmp_path.iterdir()) == []


def test_no_patient_is_in_two_parts(images: ProbeImages) -> None:
    split = split_by_patient(images.items, held_back_share=0.2, held_out_share=0.3, seed=4)
    whose = group_images(images.items).of_item
    parts = [{whose[row] for row in rows} for rows in (split.fit, split.held_back, split.held_out)]
    assert all(parts)
    assert sum(len(part) for part in parts) == len(set().union(*parts))
    assert sorted([*split.fit, *split.held_back, *split.held_out]) == list(range(len(images.items)))
    assert split == split_by_patient(images.items, held_back_share=0.2, held_out_share=0.3, seed=4)
    assert split != split_by_patient(images.items, held_back_share=0.2, held_out_share=0.3, seed=5)


def changed(probe_set: ProbeSet, **fields: object) -> ProbeImages:
    items = tuple(replace(item, **fields) for item in probe_set.items)  # type: ignore[arg-type]
    return open_images(replace(probe_set, items=items))


@pytest.mark.parametrize(
    ("fields", "count", "field"),
    [
        ({"text": None}, None, "text"),
        ({"text": "  "}, None, "text"),
        ({}, 20, "text"),
        ({"patient_id": "one"}, None, "patient_id"),
        ({"patient_id": None, "exam_id": None}, None, "patient_id"),
    ],
)
def test_unusable_manifests_name_the_column(
    probe_set: ProbeSet, tmp_path: Path, fields: dict[str, object], count: int | None, field: str
) -> None:
    usable = changed(replace(probe_set, items=probe_set.items[:count]), **fields)
    with pytest.raises(InvalidInput) as error:
        fit_dissector(usable, tmp_path / "none", OPTIONS, device=CPU, progress=ignore)
    assert error.value.field == field
    assert not list(tmp_path.iterdir())


FEW_STEPS = replace(OPTIONS, heads=HeadOptions(width=8, epochs=2))


def test_images_without_a_report_leave_the_fit_as_it_is(probe_set: ProbeSet, tmp_path: Path) -> None:
    items = probe_set.items[:64]
    silent = tuple(replace(item, image_id=f"{item.image_id}-silent", text=None) for item in items)
    fits = [
        fit_dissector(
            open_images(replace(probe_set, items=chosen)), tmp_path / name, FEW_STEPS, device=CPU, progress=ignore
        )
        for name, chosen in (("spoken", items), ("both", (*items, *silent)))
    ]
    spoken, both = fits
    assert (both.path / "heads.safetensors").read_bytes() == (spoken.path / "heads.safetensors").read_bytes()
    assert both.losses == spoken.losses
    assert both.images == {**spoken.images, "held_out": 2 * spoken.images["held_out"]}


@pytest.mark.parametrize("part", ["fit", "held_back"])
def test_a_part_of_the_fit_without_reports_is_refused(probe_set: ProbeSet, tmp_path: Path, part: str) -> None:
    split = split_by_patient(probe_set.items, held_back_share=0.4, held_out_share=0.2, seed=0)
    silent = set(getattr(split, part))
    items = tuple(replace(one, text=None) if row in silent else one for row, one in enumerate(probe_set.items))
    options = replace(OPTIONS, held_back_share=0.4, held_out_share=0.2)
    with pytest.raises(InvalidInput, match="None of the patients drawn") as error:
        fit_dissector(
            open_images(replace(probe_set, items=items)), tmp_path / "none", options, device=CPU, progress=ignore
        )
    assert error.value.field == "text"
    assert not list(tmp_path.iterdir())


def test_held_out_images_must_be_of_other_patients(images: ProbeImages, tmp_path: Path) -> None:
    with pytest.raises(InvalidInput) as error:
        fit_dissector(images, tmp_path / "x", OPTIONS, device=CPU, progress=ignore, held_out=images)
    assert error.value.field == "held_out"


def test_pooled_statistics_by_hand() -> None:
    maps = torch.zeros(1, 2, 16, 16)
    maps[0, 0, 3, 5] = 4.0
    maps[0, 1] = 2.0
    mean, deviation, peak, largest, tiles = pool_statistics(maps).reshape(5, 2)
    torch.testing.assert_close(mean, torch.tensor([4 / 256, 2.0]))
    torch.testing.assert_close(deviation, torch.tensor([(16 / 256 - (4 / 256) ** 2) ** 0.5, 0.0]))
    torch.testing.assert_close(peak, torch.tensor([4.0, 2.0]))
    torch.testing.assert_close(largest, torch.tensor([4 / 8, 2.0]))
    torch.testing.assert_close(tiles, torch.tensor([4 / 64, 2.0]))
