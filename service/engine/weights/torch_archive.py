"""Files that `torch.save` writes today: a zip archive of a pickle and the storages, none of them compressed."""

import io
import struct
import zipfile
from collections.abc import Container, Mapping

from service.engine.weights.faults import Damaged, Program, Unsupported
from service.engine.weights.hashed_file import HashedFile, LookingStream, Place
from service.engine.weights.names import look_up, storage_of
from service.engine.weights.pickles import PickleReader
from service.engine.weights.tensors import Contents
from service.files import is_lasting

MAGIC = b"PK\x03\x04"

_HEADER = struct.Struct("<4s22xHH")
_ENCRYPTED = 0x1
_LARGEST_PICKLE = 64 << 20
_STORAGES = "data/"


def read_archive(file: HashedFile) -> Contents:
    """What the archive holds. Raises Damaged, Program or Unsupported."""
    members = _members(file)
    _refuse_programs(members)

    places = {name: _place(file, member) for name, member in members.items()}
    _refuse_overlaps(places)
    if "data.pkl" not in places:
        raise Unsupported(
            "The weights file is a zip archive that torch.save did not write.",
            "Give a .safetensors file or a state dict saved by torch.save.",
        )
    if "byteorder" in places and _content(file, places["byteorder"]) != b"little":
        raise Unsupported("The weights file has the wrong byte order.", "Save it on a little-endian machine.")

    stream = io.BytesIO(_content(file, places["data.pkl"]))
    value = PickleReader(lambda size: _exactly(stream, size), look_up, storage_of).load()
    storages = {name.removeprefix(_STORAGES): place for name, place in places.items() if name.startswith(_STORAGES)}

    return Contents(value, storages)


def _refuse_programs(members: Container[str]) -> None:
    """TorchScript and exported programs are zip files too; both carry code."""
    if "constants.pkl" in members:
        raise Program("The weights file is a TorchScript program, which carries code.")
    if "archive_format" in members or ".data/extern_modules" in members:
        raise Program("The weights file is an exported program or package, which carries code.")


def _members(file: HashedFile) -> dict[str, zipfile.ZipInfo]:
    """The archive's members by their names below its own folder. Raises Damaged, or the OSError of a failing disk."""
    try:
        with zipfile.ZipFile(LookingStream(file)) as archive:
            listed = archive.infolist()
    except (zipfile.BadZipFile, OSError, ValueError, NotImplementedError, struct.error) as error:
        # A disk that fails makes a bad archive out of the file, for zipfile.
        cause = error if isinstance(error, OSError) else error.__context__
        if isinstance(cause, OSError) and not is_lasting(cause):
            raise cause from None
        raise Damaged from error

    members = {member.filename.partition("/")[2] or member.filename: member for member in listed}
    if len(members) != len(listed):
        raise Damaged
    return members


def _place(file: HashedFile, member: zipfile.ZipInfo) -> Place:
    """Where a member's content lies. Packed ones are refused: few bytes become many in them."""
    packed = member.compress_type != zipfile.ZIP_STORED or member.compress_size != member.file_size
    if packed or member.flag_bits & _ENCRYPTED:
        raise Unsupported(
            "The weights file is a packed or encrypted zip archive.", "Give the file as torch.save wrote it."
        )
    if member.header_offset < 0:
        raise Damaged

    header = file.look(member.header_offset, _HEADER.size)
    if len(header) != _HEADER.size:
        raise Damaged
    magic, name_length, extra_length = _HEADER.unpack(header)
    place = Place(member.header_offset + _HEADER.size + name_length + extra_length, member.file_size)
    if magic != MAGIC or place.end > file.size:
        raise Damaged

    return place


def _refuse_overlaps(places: Mapping[str, Place]) -> None:
    """Members that share bytes would become many times as many."""
    end = 0
    for place in sorted(places.values(), key=lambda place: (place.offset, place.end)):
        if place.offset < end:
            raise Damaged
        end = place.end


def _content(file: HashedFile, place: Place) -> bytes:
    if place.size > _LARGEST_PICKLE:
        raise Damaged("The weights file describes more objects than any real weights file.")
    return file.look(place.offset, place.size)


def _exactly(stream: io.BytesIO, size: int) -> bytes:
    content = stream.read(size)
    if len(content) != size:
        raise Damaged
    return content
