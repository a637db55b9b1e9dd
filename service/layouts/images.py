"""The image files of a data set: found where its table says, below another root, or with another suffix."""

import json
import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path, PurePosixPath

from service.domain.probes import Box, FindingRegion
from service.errors import InvalidManifest
from service.files import DataRoots, OutsideRoots, is_lasting
from service.layouts.notes import Notes
from service.layouts.tables import TableRow
from service.tables.table import Row

IMAGE_SUFFIXES = (".dcm", ".dicom", ".png", ".jpg", ".jpeg", ".pgm", ".tif", ".tiff", ".dcm.gz", ".pgm.gz")
_MOST_FOLDERS = 256
"""Whose names are held at a time."""

SINGLE_STRATA = ("density", "birads", "age_band", "manufacturer", "device", "presentation", "split")
"""Strata whose names mean the same in every manifest, in the order in which they are written."""

_IDENTITY = ("image_id", "patient_id", "exam_id", "view", "laterality", "text")
_NAMED = frozenset({"image", "findings", "regions", *_IDENTITY})


class ImageFolder:
    """The folder that all images of a data set are in."""

    def __init__(self, root: Path, roots: DataRoots, notes: Notes) -> None:
        self.root = root
        self._roots = roots
        self._notes = notes
        self._folders: dict[Path, frozenset[str]] = {}
        self._converted: set[Path] = set()

    def find(self, candidates: Iterable[str]) -> Path | None:
        """The first of these paths, relative to the root, that is a file; else the first with another image suffix.

        Raises InvalidManifest for one that leads outside the data roots.
        """
        places = [self.root / candidate for candidate in candidates if _stays_below(candidate)]
        listed = [(place, names) for place in places if (names := self._names_in(place.parent))]
        for place, names in listed:
            if place.name in names and self.is_file(place):
                return place

        for place, names in listed:
            for suffix in IMAGE_SUFFIXES:
                other = place.with_suffix(suffix)
                if other.name in names and other != place and self.is_file(other):
                    self._note_suffix(place, other)
                    return other
        return None

    def find_rerooted(self, written: str, *, below: Sequence[str] = ("",), fewest_parts: int = 1) -> Path | None:
        """The file of a path that was written for another place: as much of its end as leads to a file from the root.

        below: folders of the root where it may begin. fewest_parts: how much of its end tells files apart.
        """
        parts = path_parts(written)
        for skipped in range(len(parts) - fewest_parts + 1):
            tail = parts[skipped:]
            starts = [start for start in below if self._may_hold(self.root / start, tail)]
            found = self.find(str(PurePosixPath(start, *tail)) for start in starts)
            if found is not None:
                return found
        return None

    def written(self, path: Path) -> str:
        """How a manifest whose folder is the root names that file."""
        return path.relative_to(self.root).as_posix() if path.is_relative_to(self.root) else str(path)

    def is_file(self, path: Path) -> bool:
        """Is there a regular file? Raises InvalidManifest where it lies outside the data roots."""
        try:
            self._roots.look(path)
        except OutsideRoots:
            raise self._outside() from None
        except ValueError:
            return False
        except OSError as error:
            if not is_lasting(error):
                raise
            return False
        return True

    def _note_suffix(self, written: Path, there: Path) -> None:
        if there not in self._converted:
            self._converted.add(there)
            suffix = written.suffix or "nothing"
            self._notes.tally(f"image(s) end in {there.suffix} where the data set has {suffix}")

    def _may_hold(self, folder: Path, tail: Sequence[str]) -> bool:
        """Is the first part of a path in the folder? That spares a look at every folder behind it.

        A path of one part may be there with another suffix.
        """
        return len(tail) == 1 or tail[0] in self._names_in(folder)

    def _names_in(self, folder: Path) -> frozenset[str]:
        """The names in a folder, none where there is no such folder: a listing is faster than a look at each file."""
        names = self._folders.get(folder)
        if names is None:
            names = self._list(folder)
            if len(self._folders) >= _MOST_FOLDERS:
                self._folders.clear()
            self._folders[folder] = names
        return names

    def _list(self, folder: Path) -> frozenset[str]:
        try:
            if not self._roots.contain(folder.resolve()):
                raise self._outside()
            with os.scandir(folder) as entries:
                return frozenset(entry.name for entry in entries)
        except (OSError, RuntimeError, ValueError) as error:
            if isinstance(error, OSError) and not is_lasting(error):
                raise
            return frozenset()

    def _outside(self) -> InvalidManifest:
        return InvalidManifest(
            "An image of the data set lies outside the data roots.",
            field="root",
            value=self.root,
            remedy="Name a root below one of the folders in DATA_ROOTS.",
        )


def _stays_below(candidate: str) -> bool:
    """Does a relative path, made of cells of a table, lead nowhere but down?"""
    parts = PurePosixPath(candidate).parts
    return ".." not in parts and not candidate.startswith("/")


def path_parts(written: str) -> list[str]:
    """The parts of a path as a table has it: with either slash, and with line breaks where a cell was cut."""
    one_line = "".join(written.split("\n")).replace("\r", "").replace("\\", "/").strip()
    parts = [part.strip() for part in one_line.split("/")]
    return [part for part in parts if part not in {"", ".", ".."}]


class DescribedImage:
    """An image with all that the rows about it say."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.regions: dict[FindingRegion, None] = {}
        self._said: dict[str, tuple[str, str]] = {}
        self._findings: dict[str, None] | None = None
        self._strata: dict[str, dict[str, None]] = {}
        self._not_understood: set[str] = set()

    def say(self, row: TableRow, **fields: str | None) -> None:
        """What identifies the image, and its view. Raises InvalidManifest where an earlier row says otherwise."""
        for name, value in fields.items():
            if value is None:
                continue
            earlier, place = self._said.setdefault(name, (value, row.place))
            if earlier != value:
                raise row.wrong(
                    f"and {place} are about the same image, but differ in '{name}'",
                    name,
                    "Correct one of them, or delete it.",
                )

    def identify(self, **fields: str | None) -> None:
        """What identifies the image and how it was taken, where no table says it."""
        self._said |= {name: (value, "") for name, value in fields.items() if value is not None}

    def find(self, findings: Iterable[str]) -> None:
        """These findings are there, besides any that are known. An empty list says that somebody has looked."""
        if self._findings is None:
            self._findings = {}
        self._findings.update(dict.fromkeys(finding for finding in findings if finding))

    def place(self, findings: Iterable[str], *, box: Box | None = None, mask: Path | None = None) -> None:
        """Where these findings are."""
        self.regions.update(dict.fromkeys(FindingRegion(finding, box, mask) for finding in findings))

    def stratum(self, name: str, value: str | None) -> None:
        """What else is known of the image; of several values all are kept, but see `as_row`."""
        if value is not None:
            self._strata.setdefault(name, {})[value] = None

    def stratum_of(self, name: str, text: str | None, read: Callable[[str], str | None]) -> None:
        """A stratum as `read` makes it of a cell. Where it makes nothing of it, that is noted: see `as_row`."""
        if text is None:
            return
        value = read(text)
        if value is None:
            self._not_understood.add(name)
        self.stratum(name, value)

    def has(self, stratum: str) -> bool:
        """Is anything known of that stratum?"""
        return stratum in self._strata

    def take(self, name: str) -> list[str]:
        """The values of a stratum, which the image then has no more."""
        return list(self._strata.pop(name, ()))

    def others_of(self, row: TableRow) -> None:
        """Every column of the row that nobody has asked for becomes a stratum."""
        for name, value in row.others():
            self.stratum(f"{name} of the table" if name in _NAMED else name, value)

    @property
    def findings(self) -> list[str] | None:
        """The findings in the order in which they were told; None where nothing is known of them."""
        return None if self._findings is None else list(self._findings)

    def as_row(self, folder: ImageFolder, notes: Notes) -> Row:
        """The image as a row of a manifest that lies in the root.

        A stratum with several values has all of them, parted by `; `. One that means the same in every manifest is
        left out instead, and that is noted; so is one that the tables write in no known way.
        """
        row = {"image": folder.written(self.path)}
        row |= {name: self._said[name][0] for name in _IDENTITY if name in self._said}
        if self._findings is not None:
            row["findings"] = "|".join(finding.replace("|", "/") for finding in self._findings)
        if self.regions:
            row["regions"] = json.dumps([_region(region, folder) for region in self.regions], ensure_ascii=False)

        for name in (*SINGLE_STRATA, *(name for name in self._strata if name not in SINGLE_STRATA)):
            values = list(self._strata.get(name, ()))
            if len(values) > 1 and name in SINGLE_STRATA:
                notes.tally(f"image(s) have no '{name}', because the rows about them contradict each other")
            elif values:
                row[name] = "; ".join(values)
        for name in sorted(self._not_understood.difference(row)):
            notes.tally(f"image(s) have no '{name}', because what their rows say of it is not understood")
        return row


class DescribedImages:
    """The images of a data set, by their files, in the order in which they were first told of."""

    def __init__(self) -> None:
        self._by_path: dict[Path, DescribedImage] = {}

    def of(self, path: Path) -> DescribedImage:
        """That of a file."""
        image = self._by_path.get(path)
        if image is None:
            image = self._by_path[path] = DescribedImage(path)
        return image

    def __iter__(self) -> Iterator[DescribedImage]:
        return iter(self._by_path.values())

    def __contains__(self, path: Path) -> bool:
        return path in self._by_path


def _region(region: FindingRegion, folder: ImageFolder) -> dict[str, object]:
    if region.box is not None:
        box = region.box
        return {"finding": region.finding, "box": [box.left, box.top, box.width, box.height]}
    assert region.mask is not None  # noqa: S101
    return {"finding": region.finding, "mask": folder.written(region.mask)}
