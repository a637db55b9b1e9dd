"""How the manifest of a probe set is read: a table of images, or a data set in a layout; re-rooted, with pseudonyms."""

import json
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Literal

from service.domain.json_values import StoredJson
from service.domain.probes import Frames, PatchGrid, ProbeSet
from service.domain.specs import ProbeSetSpec
from service.errors import InvalidInput, InvalidManifest
from service.files import DataRoots
from service.layouts.catalogue import LAYOUTS, layout_named
from service.layouts.images import ImageFolder
from service.layouts.listing import decode_listing
from service.layouts.notes import Notes
from service.layouts.pseudonyms import Pseudonyms, read_pseudonyms
from service.layouts.reading import DataSetPlace, LayoutRows, as_table, read_layout
from service.layouts.source import HeaderReader
from service.probes.manifest import manifest_table, probe_set_of, read_manifest
from service.tables.table import Row, Table
from service.usecases.files import locate


@dataclass(frozen=True, slots=True)
class ManifestSource:
    """Where the images of a probe set are listed, and how that is read."""

    path: Path
    """The manifest; with a layout, the data set's folder or table."""

    layout: str | None = None

    root: Path | None = None
    """The folder that image paths begin in; None for that of the manifest."""

    key_file: Path | None = None
    """The key of the pseudonyms that replace identifiers; None where they stay."""

    @classmethod
    def located(
        cls, manifest: str, roots: DataRoots, *, layout: str | None, root: str | None, key_file: str | None
    ) -> "ManifestSource":
        """From paths as a caller names them. Raises InvalidInput where one is not there or lies outside the roots."""
        return cls(
            locate(manifest, roots, field="manifest"),
            layout,
            None if root is None else locate(root, roots, field="root"),
            None if key_file is None else locate(key_file, roots, field="pseudonymise.key_file"),
        )

    @classmethod
    def of_spec(cls, spec: ProbeSetSpec) -> "ManifestSource":
        """As it was stored."""
        root = spec.get("root")
        pseudonyms = spec.get("pseudonymise")
        return cls(
            Path(spec["manifest"]),
            spec.get("layout"),
            None if root is None else Path(root),
            None if pseudonyms is None else Path(pseudonyms["key_file"]),
        )

    def entries(self) -> StoredJson:
        """What is stored of it: entries of `ProbeSetSpec`, no more than was given."""
        entries: StoredJson = {"manifest": str(self.path)}
        if self.layout is not None:
            entries["layout"] = self.layout
        if self.root is not None:
            entries["root"] = str(self.root)
        if self.key_file is not None:
            entries["pseudonymise"] = {"key_file": str(self.key_file)}
        return entries

    @property
    def is_listed_by_worker(self) -> bool:
        """Does a worker have to read the images' headers? Raises InvalidInput for an unknown layout."""
        return self.layout is not None and layout_named(self.layout, field="layout").needs_headers

    def check_place(self, roots: DataRoots) -> None:
        """Check what can be checked before a worker reads the headers of the images.

        Raises InvalidInput for identifiers that would stay where they must not, a key that is none, and a root that is
        no folder; FileOutOfReach.
        """
        layout = layout_named(str(self.layout), field="layout")
        if layout.pseudonymised and self.key_file is None:
            raise InvalidInput(
                f"Identifiers of {layout.title} are kept as keyed hashes alone, but no key is named.",
                field="pseudonymise",
                remedy='Write {"key_file": PATH}, with a key such as `openssl rand -hex 32 > PATH` makes. Or run '
                f"`mammodissect manifest --from {layout.name} --no-pseudonymise`, and register what it writes.",
            )
        self.pseudonyms(roots)
        if not self.path.is_dir() and not layout.shapes:
            raise InvalidManifest(
                f"What is to be read as {layout.title} is not a folder.",
                field="manifest",
                value=self.path,
                remedy="Name the folder that the images are in.",
            )
        self._check_root()

    def pseudonyms(self, roots: DataRoots) -> Pseudonyms | None:
        """What replaces identifiers; None where they stay. Raises InvalidInput, FileOutOfReach."""
        if self.key_file is None:
            return None
        return read_pseudonyms(self.key_file, roots, field="pseudonymise.key_file")

    def list_images(
        self,
        roots: DataRoots,
        read_header: HeaderReader,
        pseudonyms: Pseudonyms | None,
        check_wanted: Callable[[], None],
    ) -> LayoutRows:
        """The rows of a data set whose images' headers are read.

        Where identifiers are replaced, no note names a file: its path may say who somebody is.
        Raises InvalidInput, InvalidManifest, FileOutOfReach, and what `check_wanted` raises.
        """
        return read_layout(
            DataSetPlace(str(self.layout), self.path, self.root),
            roots=roots,
            read_header=read_header,
            pseudonyms=pseudonyms,
            check_wanted=check_wanted,
            names_files=pseudonyms is None,
        )

    def _listed(self, listing: bytes) -> LayoutRows:
        folder = self.path if self.path.is_dir() else self.path.parent
        return decode_listing(listing, (self.root or folder).absolute(), ())

    def read(
        self,
        *,
        name: str,
        patches: PatchGrid | None,
        frames: Frames | None,
        on_unreadable: Literal["fail", "skip"],
        roots: DataRoots,
        listing: bytes | None = None,
    ) -> ProbeSet:
        """The probe set that it lists.

        listing: what a worker has listed of it, where only headers say it. Raises InvalidInput, InvalidManifest
        and FileOutOfReach.
        """
        probe_set = partial(
            probe_set_of, name=name, patches=patches, frames=frames, on_unreadable=on_unreadable, roots=roots
        )
        if listing is not None:
            listed = self._listed(listing)
            return probe_set(as_table(listed), listed.folder)

        pseudonyms = self.pseudonyms(roots)
        if self.layout is not None:
            data_set = DataSetPlace(self.layout, self.path, self.root)
            read = read_layout(data_set, roots=roots, pseudonyms=pseudonyms)
            return probe_set(as_table(read), read.folder)

        self._check_manifest()
        if self.root is None and pseudonyms is None:
            return read_manifest(
                self.path, name=name, patches=patches, frames=frames, on_unreadable=on_unreadable, roots=roots
            )

        folder = self.root or self.path.parent
        with _changed(self.path, folder if self.root is not None else None, pseudonyms, roots) as table:
            return probe_set(table, folder)

    def _check_manifest(self) -> None:
        if self.path.is_dir():
            raise InvalidManifest(
                "The manifest is a folder.",
                field="manifest",
                value=self.path,
                remedy=f"Name a table of images, or say with `layout` what the folder holds: {', '.join(LAYOUTS)}.",
            )
        self._check_root()

    def _check_root(self) -> None:
        if self.root is not None and not self.root.is_dir():
            raise InvalidInput(
                "The root is not a folder.",
                field="root",
                value=self.root,
                remedy="Name the folder that the images are in.",
            )


def _changed(path: Path, root: Path | None, pseudonyms: Pseudonyms | None, roots: DataRoots) -> Table:
    """A manifest whose images are found below another root, and whose identifiers are replaced."""
    with manifest_table(path, roots) as table:
        rows = [row for _, row in table.rows]

    notes = Notes()
    if root is not None:
        rows = list(_rerooted(rows, ImageFolder(root, roots, notes), notes))
    if pseudonyms is not None:
        rows = pseudonyms.replaced(rows, notes)
    return Table(table.header, enumerate(rows, start=1), (*table.notes, *notes.all()), ExitStack())


def _rerooted(rows: list[Row], images: ImageFolder, notes: Notes) -> Iterator[Row]:
    """The rows with paths that begin in the root; what is not found there stays as it is written, and is noted."""
    for row in rows:
        moved = dict(row)
        found = images.find_rerooted(row["image"]) if row.get("image") else None
        if found is None:
            notes.tally("row(s) name an image that is not below the root, and is read from where they say")
        else:
            moved["image"] = images.written(found)
        if row.get("regions"):
            moved["regions"] = _rerooted_masks(row["regions"], images)
        yield moved


def _rerooted_masks(text: str, images: ImageFolder) -> str:
    try:
        regions = json.loads(text)
        for region in regions:
            found = images.find_rerooted(region["mask"]) if "mask" in region else None
            if found is not None:
                region["mask"] = images.written(found)
        return json.dumps(regions, ensure_ascii=False)
    except (ValueError, TypeError, AttributeError, RecursionError):
        return text  # what is wrong with it is said where regions are read
