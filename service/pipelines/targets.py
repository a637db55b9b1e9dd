"""Registered models as the engine opens them: files of this machine, or fetched ones in the cache of sources."""

from pathlib import Path

from service.domain.manifests import SourceEntry
from service.domain.models import TargetSpec
from service.domain.resources import Resource
from service.domain.specs import autoencoder_of, input_of, model_spec
from service.files import DataRoots
from service.sources.uris import is_remote


def target_of(
    model: Resource,
    roots: DataRoots,
    fetched_files: Path,
    *,
    shuffled: int | None = None,
    packages: tuple[str, ...] = (),
) -> TargetSpec:
    """What is opened for a registered model.

    fetched_files: the cache's folder, where the host has put a source. packages: see `TargetSpec`.
    """
    spec = model_spec(model)
    path = Path(spec["checkpoint"])
    autoencoder = autoencoder_of(spec, roots)
    if is_remote(spec["checkpoint"]):
        assert spec["sha256"] is not None  # noqa: S101 - no job and no inspection begins before it is known
        path = fetched_files / spec["sha256"]
        roots = DataRoots.of([fetched_files], most=roots.most)
    return TargetSpec(
        path,
        spec["architecture"],
        spec["sha256"],
        shuffled=shuffled,
        roots=roots,
        input=input_of(spec),
        weights=spec.get("weights"),
        described_by=spec.get("described_by"),
        data=spec.get("data"),
        autoencoder=autoencoder,
        packages=packages,
    )


def source_of(model: Resource) -> SourceEntry | None:
    """What a manifest says of where the weights came from; None for a file of the data roots."""
    spec = model_spec(model)
    if not is_remote(spec["checkpoint"]):
        return None

    entry: SourceEntry = {"named": spec["checkpoint"]}
    if "fetched" in spec:
        entry["place"] = spec["fetched"]["place"]
        entry["version"] = spec["fetched"]["version"]
    return entry
