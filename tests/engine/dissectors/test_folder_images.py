"""How images reach a dissector whose folder a library wrote: what is honoured, and what is said not to be."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from service.domain.models import DissectorSpec
from service.domain.preprocessing import Preprocessing
from service.engine.dissectors.directory import DissectorFolder
from service.engine.dissectors.open_clip import _contract, _describe
from service.errors import InvalidDissector
from tests.engine.dissectors import library_folders as folders
from tests.engine.dissectors.folder_trials import edit, opened, without
from tests.engine.dissectors.library_folders import write_json


def test_a_named_model_with_its_tokenizer_in_the_folder_takes_the_published_settings(tmp_path: Path) -> None:
    folders.write_sentence_pieces(tmp_path)
    folder = DissectorFolder.open(DissectorSpec(tmp_path))
    description = _describe(folder, {"model": "ViT-B-16-SigLIP"})
    contract = _contract(description, Preprocessing(224, 224, (0.5,) * 3, (0.5,) * 3))
    assert description.images == {
        "mean": (0.5, 0.5, 0.5),
        "std": (0.5, 0.5, 0.5),
        "interpolation": "bicubic",
        "resize_mode": "squash",
    }
    assert (contract.preprocessing.resize, contract.notes) == ("bicubic", ())


@pytest.mark.parametrize(
    ("settings", "resize", "words"),
    [
        ({"resize_mode": "squash", "interpolation": "bicubic"}, "bicubic", []),
        ({"resize_mode": "squash", "interpolation": "random"}, "bicubic", []),
        ({"resize_mode": "squash", "interpolation": "bilinear"}, "area", ["bilinear interpolation"]),
        ({"resize_mode": "shortest", "interpolation": "bicubic"}, "bicubic", ["crop of the centre"]),
        ({"resize_mode": "longest", "interpolation": "bicubic"}, "pad", ["bicubic interpolation"]),
    ],
)
def test_open_clips_own_settings_are_honoured_or_said_not_to_be(
    tmp_path: Path, settings: dict[str, str], resize: str, words: list[str]
) -> None:
    folders.open_clip_siglip(tmp_path)
    config = json.loads((tmp_path / "open_clip_config.json").read_text())
    config["preprocess_cfg"] = {"mean": 0.25, "std": [0.5, 0.25, 1], **settings}
    write_json(tmp_path / "open_clip_config.json", config)

    dissector = opened(tmp_path)

    assert dissector.preprocessing.resize == resize
    assert (dissector.preprocessing.mean, dissector.preprocessing.std) == ((0.25,) * 3, (0.5, 0.25, 1.0))
    decided = [note for note in dissector.notes if "asks for" in note]
    assert len(decided) == len(words)
    assert all(word in note for word, note in zip(words, decided, strict=True))


@pytest.mark.parametrize(
    ("settings", "resize", "words"),
    [
        ({}, "bicubic", []),
        ({"resample": 2}, "area", ["bilinear interpolation"]),
        ({"resample": 4}, "area", []),
        ({"size": {"longest_edge": 32}}, "pad", ["bicubic interpolation"]),
        ({"size": 32, "do_center_crop": True, "crop_size": 32}, "bicubic", ["crop of the centre"]),
        ({"do_normalize": False}, "bicubic", []),
    ],
)
def test_the_image_processors_settings_are_honoured_or_said_not_to_be(
    tmp_path: Path, settings: dict[str, Any], resize: str, words: list[str]
) -> None:
    folders.transformers_siglip(tmp_path)
    file = tmp_path / "preprocessor_config.json"
    write_json(file, {**json.loads(file.read_text()), **settings})

    dissector = opened(tmp_path)

    assert dissector.preprocessing.resize == resize
    assert dissector.preprocessing.mean == ((0.0,) * 3 if "do_normalize" in settings else (0.5,) * 3)
    decided = [note for note in dissector.notes if "asks for" in note]
    assert len(decided) == len(words)
    assert all(word in note for word, note in zip(words, decided, strict=True))


def test_an_image_processor_inside_processor_config_is_read(tmp_path: Path) -> None:
    folders.transformers_siglip(tmp_path, image_mean=[0.1, 0.2, 0.3])
    file = tmp_path / "preprocessor_config.json"
    write_json(tmp_path / "processor_config.json", {"image_processor": json.loads(file.read_text())})
    file.unlink()
    assert opened(tmp_path).preprocessing.mean == (0.1, 0.2, 0.3)


def test_a_dissector_json_may_state_the_kind_and_how_images_are_shown(tmp_path: Path) -> None:
    folders.transformers_clip(tmp_path)
    (tmp_path / "model.safetensors").rename(tmp_path / "clip.safetensors")
    stated = {"resize": "pad", "pad_side": "left", "crop_to_breast": True, "mean": [0.5, 0.5, 0.5]}
    config = {"kind": "transformers", "checkpoint": "clip.safetensors", "preprocessing": stated}
    write_json(tmp_path / "dissector.json", config)

    dissector = opened(tmp_path)

    contract = dissector.preprocessing
    assert contract == replace(contract, resize="pad", pad_side="left", crop_to_breast=True, mean=(0.5,) * 3)
    said = "resize pad, pad_side left, crop_to_breast True, mean (0.5, 0.5, 0.5)"
    assert f"dissector.json states how images reach the dissector: {said}." in dissector.notes
    assert not any("crop of the centre" in note or "has no dissector.json" in note for note in dissector.notes)


def test_an_open_clip_folder_that_opened_before_is_shown_images_as_before(tmp_path: Path) -> None:
    folders.open_clip_siglip(tmp_path)
    config = json.loads((tmp_path / "open_clip_config.json").read_text())
    text = {key: value for key, value in config["model_cfg"]["text_cfg"].items() if not key.startswith("hf")}
    config = {"model_cfg": {**config["model_cfg"], "text_cfg": text}, "preprocess_cfg": {}}
    write_json(tmp_path / "open_clip_config.json", config)
    write_json(tmp_path / "dissector.json", {"kind": "open_clip", "checkpoint": "open_clip_model.safetensors"})
    assert opened(tmp_path).preprocessing.resize == "area"
    assert opened(tmp_path).notes == ()


def test_an_image_size_that_the_model_does_not_have_is_refused(tmp_path: Path) -> None:
    folders.transformers_clip(tmp_path, crop_size={"height": 64, "width": 64})
    with pytest.raises(InvalidDissector, match=r"images of 64 x 64, but the model of config\.json is made for 32 x 32"):
        opened(tmp_path)


@pytest.mark.parametrize("remedy", ["file", "stated"])
def test_the_remedies_of_a_missing_image_processor_work(tmp_path: Path, remedy: str) -> None:
    folders.transformers_siglip(tmp_path)
    if remedy == "stated":
        without(tmp_path, "preprocessor_config.json")
        stated = {"mean": [0.5, 0.5, 0.5], "std": [0.5, 0.5, 0.5], "resize": "bicubic"}
        edit(tmp_path, "dissector.json", preprocessing=stated)
    assert opened(tmp_path).preprocessing.resize == "bicubic"
