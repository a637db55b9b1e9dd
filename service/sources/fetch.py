"""Bring what a source stands for into the cache, and say what it was."""

from dataclasses import dataclass

from service.config import Settings
from service.delivery.addresses import AllowedHosts
from service.domain.work import FetchResult
from service.errors import DigestMismatch, InvalidInput, Unavailable
from service.files import DataRoots, data_roots
from service.sources.cache import SourceCache, TooMuch, open_cache
from service.sources.content import FIELD, Content, Reader, refused
from service.sources.files import FileReader
from service.sources.registry import RegistryReader
from service.sources.s3 import ObjectReader
from service.sources.uris import check_source, scheme_of
from service.sources.web import WebReader

_GB = 1 << 30


@dataclass(frozen=True, slots=True)
class Fetcher:
    """Fetches sources into a cache. most: how many bytes one may have."""

    cache: SourceCache
    hosts: AllowedHosts
    roots: DataRoots
    most: int

    def fetch(self, uri: str, *, sha256: str | None) -> FetchResult:
        """Have the source's content in the cache. sha256: the digest that it must have, None where nobody knows it.

        Raises DigestMismatch, InvalidInput where it cannot be used, Unavailable where it cannot be reached now.
        """
        registry = RegistryReader()
        place = uri
        if scheme_of(uri) in {"models", "runs"}:
            place = registry.locate(uri)
            if scheme_of(place) not in {"", "file"}:
                place = check_source(place, field=FIELD)

        with self._reader(place, registry, uri).open(place) as content:
            return self._keep(content, uri, sha256)

    def _reader(self, place: str, registry: RegistryReader, uri: str) -> Reader:
        scheme = scheme_of(place)
        if scheme == "s3":
            return ObjectReader()
        if scheme in {"http", "https"}:
            return WebReader(self.hosts)
        if scheme == "mlflow-artifacts":
            return registry
        if scheme in {"", "file"}:
            return FileReader(self.roots)
        raise refused(
            f"The registry keeps it in {scheme}:, which workers cannot read.",
            uri,
            "Have the registry serve its artifacts (mlflow-artifacts:/), or register the file itself.",
        )

    def _keep(self, content: Content, uri: str, sha256: str | None) -> FetchResult:
        try:
            kept = self.cache.keep(content.pieces, size=content.size, most=self.most, sha256=sha256)
        except TooMuch as error:
            raise InvalidInput(
                f"The source has more bytes than are fetched: at most {error.most / _GB:,.1f} GB.",
                field=FIELD,
                value=uri,
                remedy="Name the right file, or ask an administrator to raise MAX_FILE_GB and SOURCE_CACHE_GB.",
            ) from None

        if isinstance(kept, str):
            raise DigestMismatch(
                f"The source now has the SHA-256 {kept}, not the expected {sha256}: it has changed.",
                field="sha256",
                value=sha256,
                remedy="Put the file back as it was, or register the source again: with its new content it becomes "
                "another version.",
            )
        if content.size is not None and kept.size != content.size:
            raise Unavailable("The source ended too early.", field=FIELD, value=uri, remedy="Try again in a moment.")
        return {"sha256": kept.sha256, "bytes": kept.size, "place": content.place, "version": content.version}


def open_fetcher(settings: Settings) -> Fetcher:
    """The fetcher that the settings describe. Raises InvalidInput for settings that cannot be used."""
    return Fetcher(
        cache=open_cache(settings),
        hosts=AllowedHosts.of(settings.source_hosts, "SOURCE_HOSTS"),
        roots=data_roots(settings),
        most=settings.max_file_gb * _GB,
    )
