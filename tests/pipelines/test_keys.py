from collections.abc import Mapping
from types import MappingProxyType, SimpleNamespace
from typing import Any
from uuid import UUID

import pytest
import torch

from service.domain.jobs import DissectionOptions
from service.domain.preprocessing import MAMMO_CLIP
from service.pipelines import versions
from service.pipelines.keys import layer_key, shard_key, texts_key
from service.pipelines.versions import versions_of

CPU = torch.device("cpu")


def keys(
    origin: Mapping[str, object] = MappingProxyType({}), autoencoder: Mapping[str, object] | None = None
) -> dict[str, str]:
    options = DissectionOptions(layers=None)
    plan: Any = SimpleNamespace(
        job_id=UUID(int=1),
        replay_of=None,
        request=SimpleNamespace(options=options, batch_size=8),
        probe_set=SimpleNamespace(on_unreadable="fail", items=(), digest="p"),
        concept_set=SimpleNamespace(texts=("a mass",), digest="c"),
        findings=None,
    )
    target: Any = SimpleNamespace(
        sha256="t",
        architecture="a",
        preprocessing=MAMMO_CLIP,
        shuffled=False,
        weights=None,
        origin=origin,
        autoencoder=None if autoencoder is None else SimpleNamespace(reading=autoencoder),
    )
    dissector: Any = SimpleNamespace(digest="d", preprocessing=MAMMO_CLIP)
    return {
        "shard": shard_key(plan, target, dissector, CPU, images="i", layers=("layer",)),
        "texts": texts_key(plan, dissector, CPU),
        "layer": layer_key(plan, CPU, layer="layer", shards=["s"], concept_embeddings="x"),
    }


@pytest.mark.parametrize(
    ("library", "changed"),
    [
        ("opencv-python-headless", {"shard"}),
        ("pydicom", {"shard"}),
        ("pylibjpeg", {"shard"}),
        ("pylibjpeg-openjpeg", {"shard"}),
        ("pylibjpeg-rle", {"shard"}),
        ("python-gdcm", {"shard"}),
        ("pyjpegls", {"shard"}),
        ("pillow", {"shard"}),
        ("timm", {"shard"}),
        ("open_clip_torch", {"shard", "texts"}),
        ("transformers", {"shard", "texts"}),
        ("tokenizers", {"texts"}),
        ("numba", {"layer"}),
        ("numpy", {"shard", "texts", "layer"}),
        ("torch", {"shard", "texts", "layer"}),
    ],
)
def test_another_version_of_a_library_makes_other_keys_of_what_it_decides(
    library: str, changed: set[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    before, version_before = keys(), versions._version
    assert keys() == before

    def upgraded(name: str) -> str | None:
        return "99.0" if name == library else version_before(name)

    monkeypatch.setattr(versions, "_version", upgraded)
    after = keys()
    assert {kind for kind in before if before[kind] != after[kind]} == changed


def test_a_decoder_that_is_installed_later_makes_other_keys(monkeypatch: pytest.MonkeyPatch) -> None:
    before, version_before = keys(), versions._version

    def without_an_extra(name: str) -> str | None:
        return None if name == "pylibjpeg-libjpeg" else version_before(name)

    monkeypatch.setattr(versions, "_version", without_an_extra)
    assert keys()["shard"] != before["shard"]


def test_what_is_not_installed_is_left_out() -> None:
    known = versions_of("numpy", "a-package-that-nobody-has")
    assert list(known) == ["numpy"]


def test_another_version_of_the_package_that_built_the_target_makes_another_shard() -> None:
    first, second = keys({"package": "ward", "version": "1"}), keys({"package": "ward", "version": "2"})
    assert len({keys()["shard"], first["shard"], second["shard"]}) == 3
    assert keys()["texts"] == first["texts"] == second["texts"]


def test_what_is_known_of_an_autoencoder_makes_another_shard_and_what_is_said_of_it_does_not() -> None:
    read = {"layer": "layer4", "sha256": "s", "k": 3, "warnings": [], "unused": {"count": 0, "names": []}}
    bare, of_autoencoder, of_another = keys(), keys(autoencoder=read), keys(autoencoder={**read, "k": 4})
    assert len({bare["shard"], of_autoencoder["shard"], of_another["shard"]}) == 3
    assert keys(autoencoder={**read, "warnings": ["unclear"]}) == of_autoencoder
