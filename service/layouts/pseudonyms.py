"""Identifiers replaced by keyed hashes: the same for the same key, of no use without it."""

import hashlib
import hmac
import secrets
from collections.abc import Iterable, Iterator
from pathlib import Path, PurePosixPath

from service.errors import InvalidInput
from service.files import DataRoots, is_lasting, out_of_reach, written_whole
from service.layouts.notes import Notes
from service.layouts.source import ImageHeader
from service.layouts.tables import column_key
from service.probes.grouping import EXAM_COLUMNS, PATIENT_COLUMNS
from service.tables.table import Row

_KINDS = {
    **dict.fromkeys(PATIENT_COLUMNS, "patient_id"),
    **dict.fromkeys(EXAM_COLUMNS, "exam_id"),
    "imageid": "image_id",
}
"""What the ids of a column are of, by `column_key`: also of columns that are taken for `patient_id` and `exam_id`."""

_HEX_DIGITS = 32
_FEWEST_BYTES, _MOST_BYTES = 16, 64 * 1024

IDENTITY_COLUMNS = frozenset(
    {
        "address", "birthdate", "dateofbirth", "dob", "firstname", "fullname",
        "insuranceplanidentification", "institutionaddress", "institutionname", "issuerofpatientid", "lastname",
        "medicalrecordlocator", "medicalrecordnumber", "mrn", "name", "operatorsname", "otherpatientids",
        "otherpatientnames", "patientaddress", "patientbirthdate", "patientbirthname", "patientbirthtime",
        "patientcomments", "patientmothersbirthname", "patientname", "patientstelephonenumbers",
        "performingphysicianname", "phone", "referringphysicianname", "requestingphysician", "seriesinstanceuid",
        "socialsecuritynumber", "sopinstanceuid", "ssn", "surname", "telephone",
    }
)  # fmt: skip
"""Columns that tell who somebody is, by `column_key`; with pseudonyms they are left out."""


class Pseudonym(str):
    """What a key has made of an identifier already, and makes of it no more."""

    __slots__ = ()


class Pseudonyms:
    """A key and what it makes of identifiers."""

    def __init__(self, key: bytes) -> None:
        self._key = key

    def of(self, kind: str, identifier: str) -> str:
        """HMAC-SHA256 of kind and identifier, its first 128 bits in hexadecimal.

        A patient and an exam of the same number get different pseudonyms.
        """
        if isinstance(identifier, Pseudonym):
            return str(identifier)
        message = f"{kind}\0{identifier}".encode()
        return hmac.new(self._key, message, hashlib.sha256).hexdigest()[:_HEX_DIGITS]

    def of_header(self, header: ImageHeader) -> ImageHeader:
        """A header with pseudonyms in place of its ids."""
        return header._replace(
            image_id=self._once("image_id", header.image_id),
            exam_id=self._once("exam_id", header.exam_id),
            patient_id=self._once("patient_id", header.patient_id),
        )

    def _once(self, kind: str, identifier: str | None) -> str | None:
        return None if identifier is None else Pseudonym(self.of(kind, identifier))

    def replaced(self, rows: Iterable[Row], notes: Notes) -> list[Row]:
        """The rows with pseudonyms in place of ids; a row without an image's id gets one of its path.

        Columns that may be taken for `patient_id` and `exam_id` have pseudonyms, too. Columns that tell who somebody is
        are left out. Both are noted.
        """
        left_out: set[str] = set()
        hashed: set[str] = set()
        replaced = list(self._replaced(rows, hashed, left_out))

        notes.say("Patients, exams and images have pseudonyms in place of their ids.")
        others = sorted(hashed.difference(_KINDS.values()))
        if others:
            notes.say(f"So have the columns {', '.join(others)}, because their names are those of ids.")
        if left_out:
            notes.say(f"Columns that tell who somebody is were left out: {', '.join(sorted(left_out))}.")
        return replaced

    def _replaced(self, rows: Iterable[Row], hashed: set[str], left_out: set[str]) -> Iterator[Row]:
        for row in rows:
            replaced = {}
            for name, value in row.items():
                key = column_key(name)
                if key in _KINDS:
                    hashed.add(name)
                    replaced[name] = self.of(_KINDS[key], value) if value else value
                elif key in IDENTITY_COLUMNS:
                    left_out.add(name)
                else:
                    replaced[name] = value

            if not row.get("image_id") and row.get("image"):
                replaced["image_id"] = self.of("image_id", str(PurePosixPath(row["image"])))
            yield replaced


def read_pseudonyms(path: Path, roots: DataRoots, *, field: str) -> Pseudonyms:
    """The key in a file, without blank space around it. Raises InvalidInput naming the field; FileOutOfReach."""
    try:
        key = roots.read(path, most=_MOST_BYTES).strip()
    except ValueError:
        raise _no_key("has a name that no file can have", field) from None
    except OSError as error:
        if not is_lasting(error):
            raise out_of_reach("key file", error, field=field) from None
        raise _no_key(f"cannot be read: {error.strerror}", field) from None

    if len(key) < _FEWEST_BYTES:
        raise _no_key(f"holds fewer than {_FEWEST_BYTES} bytes", field)
    return Pseudonyms(key)


def make_key(path: Path) -> None:
    """Write a new key that only its owner may read. Raises InvalidInput where that is not possible."""
    try:
        with written_whole(path, mode=0o600) as unfinished:
            unfinished.write_text(f"{secrets.token_hex(32)}\n", encoding="ascii")
    except OSError as error:
        raise InvalidInput(
            f"The key cannot be written to {path}: {error.strerror}.",
            field="key_file",
            value=path,
            remedy="Name a file with --key-file that can be read or written, or decline with --no-pseudonymise.",
        ) from None


def _no_key(what: str, field: str) -> InvalidInput:
    # The key itself is never repeated.
    return InvalidInput(
        f"The file with the key of the pseudonyms {what}.",
        field=field,
        remedy="Write one that only its readers may open, for example with `openssl rand -hex 32 > probes.key`.",
    )
