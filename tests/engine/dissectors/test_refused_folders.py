"""Folders that libraries write and that cannot be used: each is refused with a remedy."""

from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from service.errors import InvalidCheckpoint, InvalidDissector
from tests.engine.dissectors import library_folders as folders
from tests.engine.dissectors.folder_trials import TEXTS, edit, opened, text_config, without


@pytest.mark.parametrize("mode", ["bert_clips", "CLIPS"])
def test_a_tokenizer_mode_that_open_clip_does_not_have_is_refused(tmp_path: Path, mode: object) -> None:
    folders.biomed_clip(tmp_path, tokenizer_mode=mode)
    with pytest.raises(InvalidDissector, match=f"tokenizer_mode '{mode}'"):
        opened(tmp_path)
    text_config(tmp_path, tokenizer_mode=None)
    opened(tmp_path)


def narrow(folder: Path) -> None:
    """Make the text tower of a width of which no number of heads can be concluded."""
    weights = torch.load(folder / "open_clip_pytorch_model.bin")
    name = "text.transformer.embeddings.word_embeddings.weight"
    weights[name] = weights[name][:, :48].clone()
    torch.save(weights, folder / "open_clip_pytorch_model.bin")


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


def test_the_tokenizers_files_lead_to_no_other_file_and_to_no_code(tmp_path: Path) -> None:
    folders.biomed_clip(tmp_path)
    (tmp_path / "tokenization.py").write_text("raise SystemExit(3)")
    foreign = {"vocab_file": "/etc/passwd", "tokenizer_file": "/etc/passwd", "name_or_path": "someone/something"}
    before = opened(tmp_path).embed_texts(TEXTS)
    edit(tmp_path, "tokenizer_config.json", **foreign)
    assert torch.equal(opened(tmp_path).embed_texts(TEXTS), before)
