"""Folders as libraries write them, against the library's own pipeline."""

import json
import socket
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any, NoReturn

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from open_clip.tokenizer import HFTokenizer
from open_clip.transform import PreprocessCfg, image_transform_v2
from PIL import Image
from safetensors.torch import load_file, save_file
from torch import Tensor
from transformers import AutoImageProcessor, AutoTokenizer

from service.domain.digests import digest_of_directory
from service.domain.models import DissectorSpec
from service.domain.preprocessing import Preprocessing
from service.engine.concept_texts import check_distinguishable, cut_texts
from service.engine.dissectors import open_dissector
from service.engine.dissectors.directory import DissectorFolder
from service.engine.dissectors.open_clip import _contract, _describe
from service.engine.networks.protocols import Dissector
from service.errors import InvalidCheckpoint, InvalidConceptSet, InvalidDissector
from service.probes.prepare import EightBitImage, prepare
from tests.engine.dissectors import library_folders as folders
from tests.engine.dissectors.library_folders import HUB_NAME, write_json

CPU = torch.device("cpu")
TEXTS = ["a mass", "dense breast", "Spiculated mass, with calcifications.", "skin"]


@pytest.fixture(autouse=True)
def no_network(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_arguments: object, **_options: object) -> NoReturn:
        pytest.fail("the network was asked")

    monkeypatch.setattr(socket.socket, "connect", refuse)
    monkeypatch.setattr(socket, "getaddrinfo", refuse)


def opened(folder: Path) -> Dissector:
    return open_dissector(DissectorSpec(folder, digest_of_directory(folder)), CPU)


def grey(side: int) -> NDArray[np.uint8]:
    """A smooth image that no filter makes overshoot."""
    rows, columns = np.mgrid[0:side, 0:side] / side
    values: NDArray[np.float64] = 110 + 60 * np.sin(5 * rows) + 50 * np.cos(4 * columns)
    return values.astype(np.uint8)


def shown(dissector: Dissector, side: int) -> Tensor:
    image = EightBitImage(grey(side), 0, 255, from_dicom=False)
    return torch.from_numpy(prepare(image, dissector.preprocessing))[None]


def by_open_clip(
    folder: Path, model: Any, side: int, context_length: int = 16, **tokenizer: Any
) -> tuple[Tensor, Tensor]:
    images = json.loads((folder / "open_clip_config.json").read_text())["preprocess_cfg"]
    transform = image_transform_v2(PreprocessCfg(**{**images, "size": 32}), is_train=False)
    tokens = HFTokenizer(str(folder), context_length=context_length, **tokenizer)(TEXTS)
    with torch.inference_mode():
        image = transform(Image.fromarray(grey(side)))[None]
        return model.encode_image(image, normalize=True), model.encode_text(tokens, normalize=True)


def by_transformers(folder: Path, model: Any, side: int) -> tuple[Tensor, Tensor]:
    processor: Any = AutoImageProcessor.from_pretrained(folder)  # type: ignore[no-untyped-call]
    pixels = processor(Image.fromarray(grey(side)).convert("RGB"), return_tensors="pt")
    tokens = AutoTokenizer.from_pretrained(folder)(
        TEXTS, padding="max_length", truncation=True, max_length=16, return_tensors="pt"
    )
    tokens.pop("token_type_ids", None)
    with torch.inference_mode():
        images = model.get_image_features(**pixels).pooler_output
        texts = model.get_text_features(**tokens).pooler_output
    return torch.nn.functional.normalize(images, dim=1), torch.nn.functional.normalize(texts, dim=1)


def biomed_clip(folder: Path, side: int) -> tuple[Tensor, Tensor]:
    return by_open_clip(folder, folders.biomed_clip(folder), side)


def open_clip_siglip(folder: Path, side: int) -> tuple[Tensor, Tensor]:
    return by_open_clip(folder, folders.open_clip_siglip(folder), side, clean="canonicalize")


def transformers_clip(folder: Path, side: int) -> tuple[Tensor, Tensor]:
    return by_transformers(folder, folders.transformers_clip(folder), side)


def transformers_siglip(folder: Path, side: int) -> tuple[Tensor, Tensor]:
    return by_transformers(folder, folders.transformers_siglip(folder), side)


LAYOUTS = [biomed_clip, open_clip_siglip, transformers_clip, transformers_siglip]
Expected = Callable[[Path, int], tuple[Tensor, Tensor]]


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


def test_siglips_tokenizer_class_is_read_from_tokenizer_json(tmp_path: Path) -> None:
    folders.transformers_siglip(tmp_path, "SiglipTokenizer")
    dissector = opened(tmp_path)
    plain, marked = dissector.embed_texts(["spiculated mass with skin", "Spiculated mass, with   (skin)!"])
    assert torch.allclose(plain, marked, atol=1e-6)


def test_weights_of_older_files_open(tmp_path: Path) -> None:
    model = folders.transformers_clip(tmp_path)
    weights = load_file(tmp_path / "model.safetensors")
    (tmp_path / "model.safetensors").unlink()
    constants = {f"{tower}_model.embeddings.position_ids": torch.arange(5)[None] for tower in ("text", "vision")}
    torch.save({**weights, **constants}, tmp_path / "pytorch_model.bin")
    assert torch.allclose(opened(tmp_path).embed_texts(TEXTS), by_transformers(tmp_path, model, 32)[1], atol=1e-5)


WRAPPINGS: dict[str, tuple[Callable[[dict[str, Tensor]], object], str]] = {
    "Lightning": (
        lambda weights: {
            "state_dict": {**{f"model.{key}": value for key, value in weights.items()}, "loss.scale": torch.ones(3)},
            "hyper_parameters": {"lr": 0.1},
        },
        "begin with 'model.'",
    ),
    "compiled, on many devices": (
        lambda weights: {f"module._orig_mod.{key}": value for key, value in weights.items()},
        "begin with 'module._orig_mod.'",
    ),
    "a network beside its average": (
        lambda weights: {"network": weights, "ema": {key: value + 1 for key, value in weights.items()}},
        "those of 'network', by default; the file also holds 'ema'",
    ),
    "an entry of its own": (lambda weights: {"epoch": 3, "net": weights}, "those of 'net'"),
}


@pytest.mark.parametrize("wrapping", WRAPPINGS)
@pytest.mark.parametrize("layout", ["transformers", "BiomedCLIP"])
@pytest.mark.proves("dissector", "wrapped weights: {}")
def test_weights_are_found_in_whatever_is_around_them(tmp_path: Path, layout: str, wrapping: str) -> None:
    wrap, note = WRAPPINGS[wrapping]
    if layout == "transformers":
        folders.transformers_clip(tmp_path)
        weights = load_file(tmp_path / "model.safetensors")
        file = tmp_path / "pytorch_model.bin"
    else:
        folders.biomed_clip(tmp_path)
        file = tmp_path / "open_clip_pytorch_model.bin"
        weights = torch.load(file)
    expected = opened(tmp_path).embed_texts(TEXTS)
    (tmp_path / "model.safetensors").unlink(missing_ok=True)
    torch.save(wrap(weights), file)

    dissector = opened(tmp_path)

    assert torch.equal(dissector.embed_texts(TEXTS), expected)
    assert note in " ".join(dissector.notes)


@pytest.mark.parametrize("mode", ["bert_clips", "CLIPS"])
def test_a_tokenizer_mode_that_open_clip_does_not_have_is_refused(tmp_path: Path, mode: object) -> None:
    folders.biomed_clip(tmp_path, tokenizer_mode=mode)
    with pytest.raises(InvalidDissector, match=f"tokenizer_mode '{mode}'"):
        opened(tmp_path)
    text_config(tmp_path, tokenizer_mode=None)
    opened(tmp_path)


def test_of_several_sets_of_weights_dissector_json_chooses_one(tmp_path: Path) -> None:
    folders.transformers_clip(tmp_path)
    weights = load_file(tmp_path / "model.safetensors")
    expected = opened(tmp_path).embed_texts(TEXTS)
    (tmp_path / "model.safetensors").unlink()
    others = {key: torch.zeros_like(value) for key, value in weights.items()}
    torch.save({"first": others, "second": weights}, tmp_path / "pytorch_model.bin")

    with pytest.raises(InvalidCheckpoint, match="none of them is the default: first, second") as raised:
        opened(tmp_path)
    assert '{"weights": "<name>"}' in str(raised.value.remedy)
    write_json(tmp_path / "dissector.json", {"weights": "second"})
    dissector = opened(tmp_path)
    assert torch.equal(dissector.embed_texts(TEXTS), expected)
    assert "The weights are those of 'second', as asked for; the file also holds 'first'." in dissector.notes

    write_json(tmp_path / "dissector.json", {"weights": 2})
    with pytest.raises(InvalidDissector, match="not the name of a set"):
        opened(tmp_path)


def test_of_two_files_with_weights_the_first_usual_name_is_taken_and_said(tmp_path: Path) -> None:
    folders.biomed_clip(tmp_path, safetensors=True)
    torch.save({}, tmp_path / "open_clip_pytorch_model.bin")
    note = "The weights are those of open_clip_model.safetensors, not of open_clip_pytorch_model.bin."
    assert note in opened(tmp_path).notes


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


def edit(folder: Path, name: str, **entries: Any) -> None:
    file = folder / name
    content = json.loads(file.read_text()) if file.exists() else {}
    write_json(file, {**content, **entries})


def text_config(folder: Path, **entries: Any) -> None:
    content = json.loads((folder / "open_clip_config.json").read_text())
    content["model_cfg"]["text_cfg"].update(entries)
    write_json(folder / "open_clip_config.json", content)


def without(folder: Path, *names: str) -> None:
    for name in names:
        (folder / name).unlink()


def narrow(folder: Path) -> None:
    """Make the text tower of a width of which no number of heads can be concluded."""
    weights = torch.load(folder / "open_clip_pytorch_model.bin")
    name = "text.transformer.embeddings.word_embeddings.weight"
    weights[name] = weights[name][:, :48].clone()
    torch.save(weights, folder / "open_clip_pytorch_model.bin")


def test_an_image_size_that_the_model_does_not_have_is_refused(tmp_path: Path) -> None:
    folders.transformers_clip(tmp_path, crop_size={"height": 64, "width": 64})
    with pytest.raises(InvalidDissector, match=r"images of 64 x 64, but the model of config\.json is made for 32 x 32"):
        opened(tmp_path)


@pytest.mark.parametrize(
    ("make", "spoil", "words"),
    [
        ("biomed_clip", lambda f: without(f, "tokenizer.json", "vocab.txt"), "no tokenizer.json, but .* a model hub"),
        ("biomed_clip", narrow, "neither the folder nor the weights say what it is"),
        ("biomed_clip", lambda f: edit(f, "config.json", **folders.BERT, auto_map={"AutoModel": "x.M"}), "auto_map"),
        (
            "biomed_clip",
            lambda f: edit(f, "tokenizer_config.json", auto_map={"AutoTokenizer": ["x.T", None]}),
            "auto_map",
        ),
        ("biomed_clip", lambda f: edit(f, "config.json", **{**folders.BERT, "num_hidden_layers": 3}), "missing"),
        ("biomed_clip", lambda f: edit(f, "config.json", **{**folders.BERT, "hidden_size": 10**9}), "out of bounds"),
        (
            "biomed_clip",
            lambda f: edit(f, "config.json", **{**folders.BERT, "hidden_size": 10**6}),
            "larger|cannot build",
        ),
        ("biomed_clip", lambda f: edit(f, "config.json", **{**folders.BERT, "hidden_size": "wide"}), "cannot build"),
        ("biomed_clip", lambda f: text_config(f, hf_pooler_type="none_such"), "cannot build"),
        ("biomed_clip", lambda f: (f / "tokenizer.json").write_text("{}"), "tokenizer's files cannot be used"),
        ("biomed_clip", lambda f: edit(f, "dissector.json", text_config="gone.json"), "gone.json"),
        ("biomed_clip", lambda f: edit(f, "dissector.json", preprocessing={"height": 3}), "preprocessing.height"),
        ("biomed_clip", lambda f: edit(f, "dissector.json", preprocessing={"std": [1, 0, 1]}), "greater than 0"),
        ("biomed_clip", lambda f: edit(f, "dissector.json", preprocessing={"std": [1, -1, 1]}), "greater than 0"),
        ("biomed_clip", lambda f: edit(f, "dissector.json", preprocessing={"mean": ["0.5", 1, 1]}), "not a number"),
        ("biomed_clip", lambda f: edit(f, "dissector.json", preprocessing={"crop_to_breast": "yes"}), "true nor false"),
        ("biomed_clip", lambda f: edit(f, "dissector.json", preprocessing={"range_low": 5}), "only for scale `range`"),
        (
            "biomed_clip",
            lambda f: edit(f, "dissector.json", preprocessing={"scale": "range", "range_low": 5, "range_high": 1}),
            "not below range_high",
        ),
        ("biomed_clip", lambda f: edit(f, "dissector.json", preprocessing="pad"), "preprocessing of"),
        ("biomed_clip", lambda f: without(f, "open_clip_pytorch_model.bin"), "no weights under a usual name"),
        ("open_clip_siglip", lambda f: without(f, "tokenizer.json"), "no tokenizer.json"),
        ("open_clip_siglip", lambda f: text_config(f, vocab_size=5), "token"),
        ("open_clip_siglip", lambda f: edit(f, "open_clip_config.json", preprocess_cfg={"mean": [1]}), "mean .* three"),
        ("open_clip_siglip", lambda f: edit(f, "open_clip_config.json", preprocess_cfg={"std": 0}), "zero"),
        (
            "open_clip_siglip",
            lambda f: edit(f, "open_clip_config.json", preprocess_cfg={"resize_mode": "stretch"}),
            "resize_mode .* is none of shortest, squash, longest",
        ),
        ("transformers_clip", lambda f: without(f, "merges.txt"), "no tokenizer.json"),
        ("transformers_clip", lambda f: without(f, "preprocessor_config.json"), "how images reach the model"),
        ("transformers_clip", lambda f: edit(f, "config.json", model_type="blip"), "no model that can be a dissector"),
        ("transformers_clip", lambda f: edit(f, "config.json", auto_map={"AutoModel": "modeling.Own"}), "auto_map"),
        ("transformers_clip", lambda f: edit(f, "config.json", projection_dim=9), "mis-shaped"),
        ("transformers_clip", lambda f: edit(f, "config.json", vision_config=3), "vision_config .* not an object"),
        ("transformers_clip", lambda f: edit(f, "config.json", projection_dim=10**6), "larger|does not fit"),
        ("transformers_clip", lambda f: edit(f, "preprocessor_config.json", rescale_factor=1.0), "divide pixel values"),
        ("transformers_clip", lambda f: edit(f, "preprocessor_config.json", resample=9), "resample"),
        ("transformers_clip", lambda f: edit(f, "preprocessor_config.json", image_std=[1, 1, 0]), "zero"),
        ("transformers_clip", lambda f: edit(f, "preprocessor_config.json", image_std=[1, 1, -1]), "zero"),
        ("transformers_clip", lambda f: save_file({"w": torch.ones(2)}, f / "model.safetensors"), "missing"),
        (
            "transformers_siglip",
            lambda f: (f / "tokenizer.json").rename(f / "spiece.model"),
            "spiece.model|tokenizer.json",
        ),
    ],
)
def test_a_folder_that_cannot_be_used_is_refused_with_a_remedy(
    tmp_path: Path, make: str, spoil: Callable[[Path], object], words: str
) -> None:
    getattr(folders, make)(tmp_path)
    spoil(tmp_path)
    with pytest.raises((InvalidDissector, InvalidCheckpoint), match=words) as caught:
        opened(tmp_path)
    assert caught.value.remedy
    assert caught.value.field


def test_weights_in_several_files_are_refused_with_a_remedy(tmp_path: Path) -> None:
    model = folders.transformers_clip(tmp_path)
    without(tmp_path, "model.safetensors")
    model.save_pretrained(tmp_path, max_shard_size="10KB")
    with pytest.raises(InvalidDissector, match=r"several files, listed in model\.safetensors\.index\.json") as caught:
        opened(tmp_path)
    assert "max_shard_size" in str(caught.value.remedy)

    model.save_pretrained(tmp_path / "other", max_shard_size="50GB")
    for name in ("vocab.json", "merges.txt", "tokenizer_config.json", "preprocessor_config.json"):
        (tmp_path / name).rename(tmp_path / "other" / name)
    assert opened(tmp_path / "other").digest


def test_the_tokenizers_files_lead_to_no_other_file_and_to_no_code(tmp_path: Path) -> None:
    folders.biomed_clip(tmp_path)
    (tmp_path / "tokenization.py").write_text("raise SystemExit(3)")
    foreign = {"vocab_file": "/etc/passwd", "tokenizer_file": "/etc/passwd", "name_or_path": "someone/something"}
    before = opened(tmp_path).embed_texts(TEXTS)
    edit(tmp_path, "tokenizer_config.json", **foreign)
    assert torch.equal(opened(tmp_path).embed_texts(TEXTS), before)


@pytest.mark.parametrize("remedy", ["file", "stated"])
def test_the_remedies_of_a_missing_image_processor_work(tmp_path: Path, remedy: str) -> None:
    folders.transformers_siglip(tmp_path)
    if remedy == "stated":
        without(tmp_path, "preprocessor_config.json")
        stated = {"mean": [0.5, 0.5, 0.5], "std": [0.5, 0.5, 0.5], "resize": "bicubic"}
        edit(tmp_path, "dissector.json", preprocessing=stated)
    assert opened(tmp_path).preprocessing.resize == "bicubic"
