"""Folders as libraries write them, against the library's own pipeline."""

from pathlib import Path

import pytest
import torch

from service.domain.digests import digest_of_directory
from service.engine.concept_texts import check_distinguishable, cut_texts
from service.errors import InvalidConceptSet
from tests.engine.dissectors import library_folders as folders
from tests.engine.dissectors.folder_trials import LAYOUTS, TEXTS, Expected, opened, shown
from tests.engine.dissectors.library_folders import HUB_NAME, write_json


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("side", [32, 96])
@pytest.mark.proves("dissector", "a folder as its library writes it: image side {}")
def test_a_folder_embeds_as_its_library_does(tmp_path: Path, layout: Expected, side: int) -> None:
    folder = tmp_path / "folder"
    folder.mkdir()
    images, texts = layout(folder, side)

    dissector = opened(folder)

    assert dissector.digest == digest_of_directory(folder)
    # Where an image is resized, a library may round to whole grey levels at another moment.
    assert torch.allclose(dissector.embed_images(shown(dissector, side)), images, atol=1e-5 if side == 32 else 5e-3)
    assert torch.allclose(dissector.embed_texts(TEXTS), texts, atol=1e-5)
    assert any("The folder has no dissector.json" in note for note in dissector.notes)


@pytest.mark.proves("dissector", "BiomedCLIP's folder without a configuration of its text tower")
def test_biomed_clip_opens_as_it_is_published_and_says_what_was_concluded(tmp_path: Path) -> None:
    folders.biomed_clip(tmp_path)
    dissector = opened(tmp_path)
    said = " ".join(dissector.notes)
    assert f"no configuration of the text tower '{HUB_NAME}'" in said
    assert "BERT with 32 words, 2 layers, 64 wide, and from that width 1 heads of 64" in said
    assert "BertTokenizer from tokenizer.json, vocab.txt" in said
    assert "asks for a crop of the centre, which would cut off parts of the breast" in said
    assert dissector.preprocessing.resize == "bicubic"
    assert dissector.preprocessing.mean == (0.48, 0.46, 0.41)


@pytest.mark.parametrize(
    "place", ["config.json", f"{HUB_NAME}/config.json", f"{HUB_NAME[10:]}/config.json", "own.json"]
)
def test_the_text_towers_configuration_is_taken_from_the_folder(tmp_path: Path, place: str) -> None:
    folders.biomed_clip(tmp_path)
    (tmp_path / place).parent.mkdir(parents=True, exist_ok=True)
    concluded = opened(tmp_path).embed_texts(TEXTS)
    write_json(tmp_path / place, {**folders.BERT, "num_attention_heads": 4, "torch_dtype": "float32"})
    if place == "own.json":
        write_json(tmp_path / "dissector.json", {"text_config": "own.json"})

    dissector = opened(tmp_path)

    assert any(note == f"The text tower's architecture is that of {place}." for note in dissector.notes)
    assert not torch.allclose(dissector.embed_texts(TEXTS), concluded, atol=1e-4)


def test_a_whole_models_configuration_beside_it_is_not_that_of_the_text_tower(tmp_path: Path) -> None:
    folders.biomed_clip(tmp_path)
    write_json(tmp_path / "config.json", {"model_type": "clip"})
    assert any("From the weights it was concluded" in note for note in opened(tmp_path).notes)


def test_siglips_tokenizer_class_is_read_from_tokenizer_json(tmp_path: Path) -> None:
    folders.transformers_siglip(tmp_path, "SiglipTokenizer")
    dissector = opened(tmp_path)
    plain, marked = dissector.embed_texts(["spiculated mass with skin", "Spiculated mass, with   (skin)!"])
    assert torch.allclose(plain, marked, atol=1e-6)


LONG = "a dense breast with a spiculated mass with calcifications with skin with a mass"


@pytest.mark.parametrize("layout", LAYOUTS)
def test_what_is_cut_is_counted_and_texts_cut_to_one_are_refused(tmp_path: Path, layout: Expected) -> None:
    folder = tmp_path / "folder"
    folder.mkdir()
    layout(folder, 32)
    dissector = opened(folder)
    benign, malignant = f"{LONG} with a mass benign", f"{LONG} with a mass malignant"

    (cut,) = cut_texts(dissector, ["skin", benign, "mass"])
    assert (cut["text"], cut["read"]) == (benign, 16)
    assert cut["tokens"] > 16

    with pytest.raises(InvalidConceptSet, match="differ only behind these") as caught:
        check_distinguishable(dissector, ["skin", benign, malignant])
    assert all(text in caught.value.detail for text in (benign, malignant))
    assert "first 16 tokens" in str(caught.value.remedy)
    check_distinguishable(dissector, ["skin", f"benign {LONG}", f"malignant {LONG}"])


def test_texts_that_are_the_same_tokens_are_refused(tmp_path: Path) -> None:
    folders.biomed_clip(tmp_path)
    with pytest.raises(InvalidConceptSet, match=r"'Mass' and 'mass' apart: it reads both as the same tokens"):
        check_distinguishable(opened(tmp_path), ["skin", "Mass", "mass"])
