"""The tokenizer that a dissector's folder brings along, in the files that transformers writes.

transformers would follow names in these files to a model hub, to other files and to code. So it never sees the folder:
it gets a copy of the files that are data, with those entries of the configuration that decide how a text is read.
"""

import json
from pathlib import Path

from service.domain.json_values import JsonObject
from service.engine.dissectors.directory import DissectorFolder
from service.errors import InvalidDissector

_CONFIG = "tokenizer_config.json"
_SPECIAL = "special_tokens_map.json"
_DATA = ("tokenizer.json", "vocab.txt", "vocab.json", "merges.txt", "added_tokens.json")
_SENTENCEPIECE = ("spiece.model", "sentencepiece.bpe.model", "tokenizer.model")

_NEED_SENTENCEPIECE = {"SiglipTokenizer"}
"""Classes without a form of their own that reads tokenizer.json."""
_ANY = "PreTrainedTokenizerFast"
"""The class that does what tokenizer.json says, and nothing more."""

_ENTRIES = {
    *(
        "tokenizer_class",
        "model_max_length",
        "model_input_names",
        "padding_side",
        "truncation_side",
        "added_tokens_decoder",
    ),
    *("additional_special_tokens", "extra_special_tokens", "extra_ids"),
    *("do_lower_case", "lowercase", "strip_accents", "tokenize_chinese_chars", "do_basic_tokenize"),
    *("add_prefix_space", "add_bos_token", "add_eos_token", "legacy", "trim_offsets", "errors"),
    *("bos_token", "eos_token", "unk_token", "sep_token", "pad_token", "cls_token", "mask_token"),
}


def has_tokenizer(folder: DissectorFolder, below: str = "") -> bool:
    """Whether a folder, or one below it, holds the files of a tokenizer."""
    present = {name for name in _DATA if below + name in folder.sha256}
    return bool(present & {"tokenizer.json", "vocab.txt"}) or {"vocab.json", "merges.txt"} <= present


def copy_tokenizer(folder: DissectorFolder, place: Path, *, asked_by: str, default_class: str | None = None) -> str:
    """Copy a folder's tokenizer to where transformers may read it; the sentence that says what it is made of.

    asked_by: what needs it, for the message.
    default_class: the class where the files do not name one.
    Raises InvalidDissector where it is incomplete, or needs code of its own.
    """
    if not has_tokenizer(folder):
        raise _incomplete(folder, asked_by)

    copied = [name for name in _DATA if name in folder.sha256]
    for name in copied:
        (place / name).write_bytes(folder.read(name))

    config = dict(_read(folder, _CONFIG))
    special = _read(folder, _SPECIAL)
    for file, content in ((_CONFIG, config), (_SPECIAL, special)):
        refuse_code(content, file, folder)

    config["tokenizer_class"] = tokenizer_class(folder) or default_class or _class_for(copied)
    if config["tokenizer_class"] in _NEED_SENTENCEPIECE:
        if "tokenizer.json" not in copied:
            raise _incomplete(folder, asked_by)
        config = {"model_input_names": ["input_ids"], **config, "tokenizer_class": _ANY}
    kept = {name: value for name, value in config.items() if name in _ENTRIES}
    (place / _CONFIG).write_text(json.dumps(kept), encoding="utf-8")
    if special:
        kept = {name: value for name, value in special.items() if name in _ENTRIES}
        (place / _SPECIAL).write_text(json.dumps(kept), encoding="utf-8")
    return f"Texts are read with {config['tokenizer_class']} from {', '.join(copied)}."


def tokenizer_class(folder: DissectorFolder) -> str | None:
    """The class that a folder's tokenizer names, if it does."""
    named = _read(folder, _CONFIG).get("tokenizer_class")
    return named if isinstance(named, str) else None


def refuse_code(content: JsonObject, file: str, folder: DissectorFolder) -> None:
    """Raise InvalidDissector where a description asks for code that lies beside it or on a model hub."""
    if not content.get("auto_map"):
        return
    raise InvalidDissector(
        f"{file} asks for code of its own (auto_map), which is not run.",
        field="dissector",
        value=folder.path / file,
        remedy="Use a model that transformers or open_clip knows without further code. Where it is one, "
        "leave the entry out.",
    )


def _read(folder: DissectorFolder, name: str) -> JsonObject:
    return folder.read_json(name) if name in folder.sha256 else {}


def _class_for(files: list[str]) -> str:
    if "tokenizer.json" in files:
        return _ANY
    return "BertTokenizer" if "vocab.txt" in files else "CLIPTokenizer"


def _incomplete(folder: DissectorFolder, asked_by: str) -> InvalidDissector:
    pieces = next((name for name in _SENTENCEPIECE if name in folder.sha256), None)
    if pieces is None:
        remedy = (
            "Copy tokenizer.json (or vocab.txt; or vocab.json and merges.txt) from where the model was published into "
            "the folder; nothing is fetched from a model hub."
        )
    else:
        remedy = (
            f"{pieces} alone is not read. Make tokenizer.json of it, where transformers and sentencepiece are "
            "installed: AutoTokenizer.from_pretrained(folder).save_pretrained(folder)."
        )
    return InvalidDissector(
        f"The dissector's folder has no tokenizer.json, but {asked_by}.",
        field="dissector",
        value=folder.path,
        remedy=remedy,
    )
