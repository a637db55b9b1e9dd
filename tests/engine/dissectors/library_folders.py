"""Folders of image-text models as open_clip and transformers write them, with small random weights."""

import json
from pathlib import Path
from typing import Any

import open_clip
import torch
from safetensors.torch import save_file
from tokenizers import Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers, processors
from transformers import (
    BertConfig,
    CLIPConfig,
    CLIPImageProcessor,
    CLIPModel,
    SiglipConfig,
    SiglipImageProcessor,
    SiglipModel,
)

WORDS = ["a", "mass", "calcifications", "dense", "breast", "spiculated", "skin", "with", "benign", "malignant"]
HUB_NAME = "microsoft/BiomedNLP-BiomedBERT-base-uncased-abstract"
VISION = {"image_size": 32, "layers": 1, "width": 32, "patch_size": 16, "head_width": 16}
BERT: dict[str, Any] = {
    "model_type": "bert",
    "vocab_size": 32,
    "hidden_size": 64,
    "num_hidden_layers": 2,
    "num_attention_heads": 1,
    "intermediate_size": 48,
    "max_position_embeddings": 24,
}
CLIP_TEXT: dict[str, Any] = {
    "vocab_size": 600,
    "hidden_size": 16,
    "intermediate_size": 24,
    "num_hidden_layers": 1,
    "num_attention_heads": 2,
    "max_position_embeddings": 16,
    "bos_token_id": 0,
    "eos_token_id": 1,
    "pad_token_id": 1,
}
CLIP_VISION = {
    "hidden_size": 16,
    "intermediate_size": 24,
    "num_hidden_layers": 1,
    "num_attention_heads": 2,
    "image_size": 32,
    "patch_size": 16,
}


def write_json(path: Path, content: Any) -> None:
    path.write_text(json.dumps(content), encoding="utf-8")


def write_word_pieces(folder: Path) -> None:
    """BERT's tokenizer as BiomedCLIP publishes it: tokenizer.json, vocab.txt and two configurations."""
    tokens = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *WORDS, *("##" + letter for letter in "bcdefg"), "b", "c"]
    numbers = {token: number for number, token in enumerate(tokens)}
    tokenizer = Tokenizer(models.WordPiece(numbers, unk_token="[UNK]"))  # noqa: S106
    tokenizer.normalizer = normalizers.BertNormalizer()
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    tokenizer.decoder = decoders.WordPiece()
    tokenizer.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]", special_tokens=[("[CLS]", numbers["[CLS]"]), ("[SEP]", numbers["[SEP]"])]
    )
    tokenizer.save(str(folder / "tokenizer.json"))
    (folder / "vocab.txt").write_text("\n".join(tokens) + "\n", encoding="utf-8")

    special = {f"{name}_token": f"[{name.upper()}]" for name in ("unk", "sep", "pad", "cls", "mask")}
    write_json(folder / "special_tokens_map.json", special)
    config = {"tokenizer_class": "BertTokenizer", "do_lower_case": True, "model_max_length": 10**30, **special}
    write_json(folder / "tokenizer_config.json", config)


def write_sentence_pieces(folder: Path, tokenizer_class: str = "PreTrainedTokenizerFast", **config: Any) -> None:
    """SigLIP's kind of tokenizer, in tokenizer.json."""
    pieces = [("<pad>", 0.0), ("</s>", 0.0), ("<unk>", -9.0), *(("▁" + word, -3.0) for word in WORDS)]
    letters = [(letter, -7.0) for letter in "▁abcdefghijklmnopqrstuvwxyz"]
    tokenizer = Tokenizer(models.Unigram([*pieces, *letters], unk_id=2))
    tokenizer.normalizer = normalizers.Sequence([normalizers.Lowercase(), normalizers.Replace(Regex(r"\s+"), " ")])
    tokenizer.pre_tokenizer = pre_tokenizers.Metaspace()
    tokenizer.post_processor = processors.TemplateProcessing(single="$A </s>", special_tokens=[("</s>", 1)])
    tokenizer.save(str(folder / "tokenizer.json"))

    marks = {"pad_token": "</s>", "eos_token": "</s>", "unk_token": "<unk>"}
    entries = {"tokenizer_class": tokenizer_class, "model_max_length": 16, **marks, **config}
    write_json(folder / "tokenizer_config.json", entries)


def write_bytes_tokenizer(folder: Path) -> None:
    """CLIP's tokenizer, as vocab.json and merges.txt."""
    letters = sorted(pre_tokenizers.ByteLevel.alphabet())
    tokens = ["<|startoftext|>", "<|endoftext|>", *letters, *(letter + "</w>" for letter in letters), "ma", "mas"]
    write_json(folder / "vocab.json", {token: number for number, token in enumerate(tokens)})
    (folder / "merges.txt").write_text("#version: 0.2\nm a\nma s\n", encoding="utf-8")


def biomed_clip(folder: Path, *, safetensors: bool = False, **text: Any) -> Any:
    """BiomedCLIP's layout with a small ViT and a small BERT; open_clip's own model."""
    config = {
        "model_cfg": {
            "embed_dim": 16,
            "vision_cfg": VISION,
            "text_cfg": {
                "hf_model_name": HUB_NAME,
                "hf_tokenizer_name": HUB_NAME,
                "hf_proj_type": "mlp",
                "hf_pooler_type": "cls_last_hidden_state_pooler",
                "context_length": 16,
                **text,
            },
        },
        "preprocess_cfg": {"mean": [0.48, 0.46, 0.41], "std": [0.27, 0.26, 0.28]},
    }
    write_json(folder / "open_clip_config.json", config)
    write_word_pieces(folder)

    tower = folder.parent / f"{folder.name}-tower"
    BertConfig(**BERT).save_pretrained(tower)
    model_config = json.loads(json.dumps(config["model_cfg"]))
    model_config["text_cfg"]["hf_model_name"] = str(tower)
    torch.manual_seed(0)
    model = open_clip.CustomTextCLIP(
        **{**model_config, "text_cfg": {**model_config["text_cfg"], "hf_model_pretrained": False}}
    )
    weights = {key: value.contiguous().clone() for key, value in model.state_dict().items()}
    # Written by the transformers of that time, and no weight.
    weights["text.transformer.embeddings.position_ids"] = torch.arange(24)[None]
    if safetensors:
        save_file(weights, folder / "open_clip_model.safetensors")
    else:
        torch.save(weights, folder / "open_clip_pytorch_model.bin")
    return model.eval()


def open_clip_siglip(folder: Path) -> Any:
    """SigLIP as open_clip publishes it: a sigmoid model with a tokenizer of sentence pieces."""
    config = {
        "embed_dim": 16,
        "init_logit_bias": -10,
        "custom_text": True,
        "vision_cfg": VISION,
        "text_cfg": {
            "context_length": 16,
            "vocab_size": 64,
            "hf_tokenizer_name": "timm/ViT-B-16-SigLIP",
            "tokenizer_kwargs": {"clean": "canonicalize"},
            "width": 16,
            "heads": 2,
            "layers": 1,
            "no_causal_mask": True,
            "proj_bias": True,
            "pool_type": "last",
            "norm_kwargs": {"eps": 1e-6},
        },
    }
    images = {
        "size": 32,
        "mode": "RGB",
        "mean": [0.5, 0.5, 0.5],
        "std": [0.5, 0.5, 0.5],
        "interpolation": "bicubic",
        "resize_mode": "squash",
    }
    write_json(folder / "open_clip_config.json", {"model_cfg": config, "preprocess_cfg": images})
    write_sentence_pieces(folder)

    torch.manual_seed(1)
    model = open_clip.create_model(f"local-dir:{folder}", load_weights=False)
    save_file(
        {key: value.contiguous() for key, value in model.state_dict().items()}, folder / "open_clip_model.safetensors"
    )
    return model.eval()


def transformers_clip(folder: Path, **processor: Any) -> Any:
    """CLIP as transformers writes it."""
    torch.manual_seed(2)
    model: Any = CLIPModel(CLIPConfig(text_config=CLIP_TEXT, vision_config=CLIP_VISION, projection_dim=8))
    model.save_pretrained(folder)
    size = {"size": {"shortest_edge": 32}, "crop_size": {"height": 32, "width": 32}}
    CLIPImageProcessor(**{**size, **processor}).save_pretrained(folder)
    write_bytes_tokenizer(folder)
    write_json(folder / "tokenizer_config.json", {"tokenizer_class": "CLIPTokenizer", "model_max_length": 16})
    return model.eval()


def transformers_siglip(folder: Path, tokenizer_class: str = "PreTrainedTokenizerFast", **processor: Any) -> Any:
    """SigLIP as transformers writes it."""
    torch.manual_seed(3)
    text = {**CLIP_TEXT, "vocab_size": 64, "projection_size": 16}
    model: Any = SiglipModel(SiglipConfig(text_config=text, vision_config=CLIP_VISION))
    model.save_pretrained(folder)
    SiglipImageProcessor(**{"size": {"height": 32, "width": 32}, **processor}).save_pretrained(folder)
    write_sentence_pieces(folder, tokenizer_class, model_input_names=["input_ids"])
    return model.eval()
