"""Opening folders as libraries write them, the libraries' own pipelines, and changes to a folder."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from open_clip.tokenizer import HFTokenizer
from open_clip.transform import PreprocessCfg, image_transform_v2
from PIL import Image
from torch import Tensor
from transformers import AutoImageProcessor, AutoTokenizer

from service.domain.digests import digest_of_directory
from service.domain.models import DissectorSpec
from service.engine.dissectors import open_dissector
from service.engine.networks.protocols import Dissector
from service.probes.prepare import EightBitImage, prepare
from tests.engine.dissectors import library_folders as folders
from tests.engine.dissectors.library_folders import write_json

CPU = torch.device("cpu")
TEXTS = ["a mass", "dense breast", "Spiculated mass, with calcifications.", "skin"]


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
