"""What a dissector's folder is taken for: by its dissector.json, else by the files of a library's layout."""

from dataclasses import dataclass

from service.domain.json_values import JsonObject
from service.engine.dissectors.clip_config import MODEL_CONFIG
from service.engine.dissectors.directory import CONFIG, DissectorFolder
from service.errors import InvalidDissector

_INDEX = (".safetensors.index.json", ".bin.index.json")


@dataclass(frozen=True, slots=True)
class LibraryLayout:
    """The files that a library writes for a model."""

    kind: str

    description: str
    """What describes the model."""

    checkpoints: tuple[str, ...]
    """The usual names of its weights; the first that is there is taken."""


OPEN_CLIP = LibraryLayout(
    "open_clip",
    MODEL_CONFIG,
    (
        "open_clip_model.safetensors",
        "open_clip_pytorch_model.safetensors",
        "open_clip_pytorch_model.bin",
        "open_clip_pytorch_model.pth",
    ),
)
TRANSFORMERS = LibraryLayout("transformers", "config.json", ("model.safetensors", "pytorch_model.bin"))


@dataclass(frozen=True, slots=True)
class Layout:
    """What a folder is taken for."""

    kind: object
    """The kind of dissector; not yet known to be one."""

    config: JsonObject
    """The content of dissector.json; empty where there is none."""

    notes: tuple[str, ...] = ()
    """What the kind was concluded from, where no dissector.json states it."""

    def checkpoint(self, folder: DissectorFolder, library: LibraryLayout) -> tuple[str, tuple[str, ...]]:
        """The weights file that dissector.json names, else the first of the usual names; and what there is to say.

        Raises InvalidDissector where there is none.
        """
        present = [name for name in library.checkpoints if name in folder.sha256]
        if self.config.get("checkpoint") is not None or not present:
            return folder.named_file(self.config, "checkpoint"), ()

        others = ", ".join(present[1:])
        return present[0], (f"The weights are those of {present[0]}, not of {others}.",) if others else ()


def read_layout(folder: DissectorFolder) -> Layout:
    """What a folder is taken for.

    Raises InvalidDissector where there is neither a dissector.json nor a layout that is recognised.
    """
    is_described = CONFIG in folder.sha256
    config = folder.read_config() if is_described else {}
    if "kind" in config:
        return Layout(config["kind"], config)

    for library in (OPEN_CLIP, TRANSFORMERS):
        weights = next((name for name in library.checkpoints if name in folder.sha256), None)
        if library.description in folder.sha256 and weights is not None:
            without = f"{CONFIG} states no kind" if is_described else f"The folder has no {CONFIG}"
            note = f"{without}; by {library.description} and {weights} it is of the kind {library.kind}."
            return Layout(library.kind, config, (note,))

    if is_described:
        return Layout(None, config)
    raise _unknown(folder)


def _unknown(folder: DissectorFolder) -> InvalidDissector:
    parts = next((name for name in folder.sha256 if name.endswith(_INDEX)), None)
    if parts is not None:
        return InvalidDissector(
            f"The weights lie in several files, listed in {parts}.",
            field="dissector",
            value=folder.path / parts,
            remedy="Write them as one file: "
            'AutoModel.from_pretrained(folder).save_pretrained(other_folder, max_shard_size="50GB").',
        )

    for library in (OPEN_CLIP, TRANSFORMERS):
        if library.description not in folder.sha256:
            continue
        return InvalidDissector(
            f"The dissector's directory has {library.description}, but no weights under a usual name, and no {CONFIG} "
            "that names them.",
            field="dissector",
            value=folder.path,
            remedy=f"Call the weights {library.checkpoints[0]} or {library.checkpoints[-1]}, or write {CONFIG} with "
            f'{{"kind": "{library.kind}", "checkpoint": "<file name>"}}.',
        )

    return InvalidDissector(
        f"The dissector's directory has no {CONFIG}, and none of the files that open_clip and transformers write.",
        field="dissector",
        value=folder.path,
        remedy='Put one there, such as {"kind": "mammo-clip", "checkpoint": "weights.tar", "vocab": "vocab.txt"}; '
        f"or name a folder with {OPEN_CLIP.description} or {TRANSFORMERS.description} and the weights.",
    )
