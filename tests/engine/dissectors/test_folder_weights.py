"""The weights of folders that libraries write, in whatever files and whatever is around them."""

from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from torch import Tensor

from service.errors import InvalidCheckpoint, InvalidDissector
from tests.engine.dissectors import library_folders as folders
from tests.engine.dissectors.folder_trials import TEXTS, by_transformers, opened, without
from tests.engine.dissectors.library_folders import write_json


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
