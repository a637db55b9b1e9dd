"""How images reach a model of transformers: what its preprocessor_config.json says, checked entry by entry."""

import math
from collections.abc import Mapping

from service.domain.json_values import JsonObject
from service.domain.preprocessing import Preprocessing
from service.engine.dissectors.directory import CONFIG, DissectorFolder
from service.engine.dissectors.image_contract import (
    OVERRIDES,
    ImageContract,
    Interpolation,
    ResizeMode,
    contract_of,
    numbers_of,
    read_overrides,
)
from service.engine.dissectors.text_files import refuse_code
from service.errors import InvalidDissector

_FILE = "preprocessor_config.json"
_WHOLE_FILE = "processor_config.json"
"""What transformers 5 writes in place of it: the image processor is one of its entries."""

_NEEDED = {"mean", "std", "resize"}
_INTERPOLATIONS: Mapping[object, Interpolation] = {
    0: "nearest",
    1: "lanczos",
    2: "bilinear",
    3: "bicubic",
    4: "area",
    5: "hamming",
}
"""By Pillow's numbers. Its box filter is the average over the area."""

_PUBLISHED: Mapping[str, JsonObject] = {
    "clip": {
        "image_mean": [0.48145466, 0.4578275, 0.40821073],
        "image_std": [0.26862954, 0.26130258, 0.27577711],
        "size": {"shortest_edge": 224},
        "crop_size": {"height": 224, "width": 224},
        "do_center_crop": True,
    },
    "siglip": {
        "image_mean": [0.5, 0.5, 0.5],
        "image_std": [0.5, 0.5, 0.5],
        "size": {"height": 224, "width": 224},
        "do_center_crop": False,
    },
}
"""What the image processor of each kind does where its file says nothing: transformers' own defaults."""


def read_image_contract(folder: DissectorFolder, config: JsonObject, image_size: object, kind: str) -> ImageContract:
    """The contract of the folder's image processor, for a model of this kind and image size.

    config: the content of dissector.json, which may state all of it where the file is missing.
    Raises InvalidDissector where the file is missing or contradicts the model, naming the entry.
    """
    side = _image_side(image_size, folder)
    file, stated = _read(folder)
    if file is None:
        if read_overrides(config, folder).keys() >= _NEEDED:
            return ImageContract(Preprocessing(side, side, (0.0,) * 3, (1.0,) * 3))
        raise InvalidDissector(
            f"The dissector's folder has no {_FILE}, so it does not say how images reach the model.",
            field="dissector",
            value=folder.path,
            remedy=f"Copy it from where the model was published, or state {CONFIG} with "
            f'"{OVERRIDES}": {{"mean": [...], "std": [...], "resize": "bicubic"}}.',
        )

    settings = {**_PUBLISHED[kind], **stated}
    _check_scaling(settings, file, folder)
    crop = bool(settings.get("do_center_crop"))
    sides = _sides(settings.get("crop_size" if crop else "size"), file, folder)
    if sides and any(given != side for given in sides):
        written = " x ".join(map(str, sides))
        raise InvalidDissector(
            f"{file} asks for images of {written}, but the model of config.json is made for {side} x {side}.",
            field="dissector",
            value=written,
            remedy="Take both files from the same model.",
        )

    preprocessing = Preprocessing(side, side, *_colours(settings, file, folder))
    return contract_of(preprocessing, _mode(settings, crop), _interpolation(settings, file, folder), says=file)


def _read(folder: DissectorFolder) -> tuple[str | None, JsonObject]:
    if _FILE in folder.sha256:
        content = folder.read_json(_FILE)
        refuse_code(content, _FILE, folder)
        return _FILE, _without_null(content)

    if _WHOLE_FILE in folder.sha256:
        content = folder.read_json(_WHOLE_FILE)
        refuse_code(content, _WHOLE_FILE, folder)
        images = content.get("image_processor")
        if isinstance(images, Mapping):
            return _WHOLE_FILE, _without_null(images)
    return None, {}


def _without_null(content: JsonObject) -> JsonObject:
    return {name: value for name, value in content.items() if value is not None}


def _image_side(image_size: object, folder: DissectorFolder) -> int:
    if type(image_size) is int and image_size > 0:
        return image_size
    raise InvalidDissector(
        "vision_config.image_size of config.json is not a whole number above 0.",
        field="dissector",
        value=image_size,
        remedy=f"Copy {folder.path.name}/config.json again from where the model was published.",
    )


def _check_scaling(settings: JsonObject, file: str, folder: DissectorFolder) -> None:
    """Raise InvalidDissector where the values are not to be divided by 255."""
    factor = settings.get("rescale_factor", 1 / 255)
    is_usual = type(factor) in (int, float) and math.isclose(float(str(factor)), 1 / 255, rel_tol=1e-3)
    if settings.get("do_rescale", True) and is_usual:
        return
    raise InvalidDissector(
        f"{file} does not divide pixel values by 255 (do_rescale, rescale_factor).",
        field="dissector",
        value=folder.path / file,
        remedy=f'Correct it, or leave both entries out and state "{OVERRIDES}" with scale, mean and std in {CONFIG}.',
    )


def _colours(settings: JsonObject, file: str, folder: DissectorFolder) -> tuple[tuple[float, ...], tuple[float, ...]]:
    if not settings.get("do_normalize", True):
        return (0.0,) * 3, (1.0,) * 3

    mean, std = (settings[name] for name in ("image_mean", "image_std"))
    return numbers_of(mean, f"{file}: image_mean", folder), numbers_of(std, f"{file}: image_std", folder)


def _sides(size: object, file: str, folder: DissectorFolder) -> tuple[int, ...]:
    """The sides that a size names; none where it names none."""
    if type(size) is int:
        return (size,)
    if isinstance(size, Mapping):
        named = ("height", "width", "shortest_edge", "longest_edge")
        sides = tuple(size[name] for name in named if size.get(name) is not None)
        if sides and all(type(side) is int for side in sides):
            return sides
    raise InvalidDissector(
        f"{file} has no size that can be read.",
        field="dissector",
        value=folder.path / file,
        remedy='Give "size": {"height": 224, "width": 224}, or the size that the model has.',
    )


def _mode(settings: JsonObject, crop: bool) -> ResizeMode:
    size = settings.get("size")
    named = size if isinstance(size, Mapping) else {}
    if crop or "shortest_edge" in named:
        return "shortest"
    return "longest" if "longest_edge" in named or settings.get("do_pad") else "squash"


def _interpolation(settings: JsonObject, file: str, folder: DissectorFolder) -> Interpolation:
    number = settings.get("resample", 3)
    if type(number) is int and number in _INTERPOLATIONS:
        return _INTERPOLATIONS[number]
    raise InvalidDissector(
        f"{file} has a resample that is none of Pillow's filters, 0 to 5.",
        field="dissector",
        value=folder.path / file,
        remedy="Give 3 for bicubic, or the number that the model was trained with.",
    )
