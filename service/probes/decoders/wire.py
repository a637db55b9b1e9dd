"""What a decoder process is asked and what it answers, as bytes on a socket.

The process may have become a file's puppet, so its answers are checked like any stranger's: nothing is unpickled, and
sizes are believed only as far as they agree with each other and with the limits.
"""

import errno
import json
import socket
import time
from collections.abc import Iterator
from enum import Enum
from struct import Struct
from typing import BinaryIO

import numpy as np
from numpy.typing import NDArray

from service.domain.probes import FrameOfImage, ImageSize
from service.probes.headers import LONGEST_WORDS, MOST_CODES, TEXTS, HeaderWords, WithoutHeader
from service.probes.pixels import (
    FORMS,
    INTENTS,
    MAX_FRAMES,
    PHOTOMETRICS,
    WINDOWS,
    CannotDecode,
    CannotRead,
    DecodedImage,
    Display,
    ImageFacts,
    LevelFacts,
    check_size,
)

_QUESTION = Struct("<cI")  # kind, which of several frames
_ANSWER = Struct("<cBBIIQ")  # kind, bytes a pixel, from DICOM, height, width, bytes that follow
_FRAMES = Struct("<I")  # number of frames, behind a size
_DISPLAY = Struct("<BBHH")  # padding known, window known, lowest and highest level of padding; then the window
_FACTS = Struct("<7B2H3B2H3d")  # the fields of ImageFacts and LevelFacts, as `_packed` orders them
_PIXELS, _SIZE, _REFUSAL, _NO_MEMORY, _TROUBLE = b"P", b"S", b"R", b"M", b"T"
_KNOWN, _REFUSED_BUT_KNOWN = b"F", b"K"
_HEADER = b"H"
_READY = b"A"
_MAX_WORDS = 2000
_MAX_HEADER = 1 << 17
_CHUNK = 1 << 22


_MIDDLE, _PROJECTION = (1 << 32) - 1, (1 << 32) - 2
"""In place of a frame's number; 0 stands for none."""


class Question(Enum):
    """What is asked about the file whose descriptor comes with the question."""

    IMAGE = b"i"
    DISPLAYED_IMAGE = b"d"
    """The image, and what its header says of how it is to be shown."""
    SIZE = b"s"
    FACTS = b"f"
    """Decode the image, and say what it is instead of giving its pixels."""
    HEADER = b"h"
    """What the header of a DICOM file says that a manifest lists."""


Answer = DecodedImage | ImageSize | ImageFacts | HeaderWords | WithoutHeader


class OutOfMemory(Exception):
    """The decoder asked for more memory than it may use."""


class SenselessAnswer(Exception):
    """An answer that no decoder of ours gives."""


def send_ready(connection: socket.socket) -> None:
    """Say that the decoder has started; it does so once, before any answer."""
    connection.sendall(_READY)


def receive_ready(connection: socket.socket, seconds: float) -> None:
    """Wait for that. Raises EOFError when the other end has closed, SenselessAnswer, OSError."""
    word = bytearray(1)
    _fill(connection, memoryview(word), time.monotonic() + seconds)
    if word != _READY:
        raise SenselessAnswer


def send_question(
    connection: socket.socket, question: Question, file: BinaryIO, frame: FrameOfImage | None = None
) -> None:
    """Hand an open file over. frame: which of several is meant. Raises OSError when nobody listens."""
    match frame:
        case None:
            number = 0
        case "middle":
            number = _MIDDLE
        case "projection":
            number = _PROJECTION
        case _:
            number = frame
    socket.send_fds(connection, [_QUESTION.pack(question.value, number)], [file.fileno()])


def receive_questions(connection: socket.socket) -> Iterator[tuple[Question, BinaryIO, FrameOfImage | None]]:
    """The questions, each with its file, which the reader closes, and a frame, until the other end closes."""
    while True:
        words, descriptors, _, _ = socket.recv_fds(connection, _QUESTION.size, 1)
        if not words:
            return

        kind, number = _QUESTION.unpack(words)
        frame: FrameOfImage | None = number or None
        if number in {_MIDDLE, _PROJECTION}:
            frame = "middle" if number == _MIDDLE else "projection"
        yield Question(kind), open(descriptors[0], "rb"), frame  # noqa: SIM115, PTH123 - it is a descriptor


def send_image(connection: socket.socket, image: DecodedImage) -> None:
    """Answer with pixels."""
    pixels = np.ascontiguousarray(image.pixels)
    height, width = pixels.shape
    head = _ANSWER.pack(_PIXELS, pixels.itemsize, image.from_dicom, height, width, pixels.nbytes)

    connection.sendall(head)
    connection.sendall(_bytes_of(pixels))


def send_display(connection: socket.socket, display: Display) -> None:
    """Go on after the pixels with how they are to be shown."""
    low, high = display.padding or (0, 0)
    has_padding = display.padding is not None
    connection.sendall(_DISPLAY.pack(has_padding, display.window is not None, low, high))
    if display.window is not None:
        connection.sendall(_bytes_of(display.window))


def send_size(connection: socket.socket, size: ImageSize) -> None:
    """Answer with a size."""
    head = _ANSWER.pack(_SIZE, 0, 0, size.height, size.width, _FRAMES.size)
    connection.sendall(head + _FRAMES.pack(size.frames))


def send_refusal(connection: socket.socket, refusal: CannotDecode) -> None:
    """Answer with the reason why the file cannot be decoded."""
    words = f"{refusal.reason}\n{refusal.remedy}".encode()
    connection.sendall(_ANSWER.pack(_REFUSAL, 0, 0, 0, 0, len(words)) + words)


def send_facts(connection: socket.socket, facts: ImageFacts) -> None:
    """Answer with what a file says of its image."""
    data = _packed(facts)
    connection.sendall(_ANSWER.pack(_KNOWN, 0, 0, facts.height, facts.width, len(data)) + data)


def send_refusal_with_facts(connection: socket.socket, refusal: CannotDecode, facts: ImageFacts) -> None:
    """Answer with the reason why the file cannot be decoded, and with what it says of its image all the same."""
    data = _packed(facts) + f"{refusal.reason}\n{refusal.remedy}".encode()
    head = _ANSWER.pack(_REFUSED_BUT_KNOWN, 0, 0, facts.height, facts.width, len(data))
    connection.sendall(head + data)


def send_header(connection: socket.socket, header: HeaderWords | WithoutHeader) -> None:
    """Answer with the words of a header, or with the reason why a file has none."""
    fields: dict[str, object] = header._asdict()
    data = json.dumps(fields).encode()
    connection.sendall(_ANSWER.pack(_HEADER, 0, 0, 0, 0, len(data)) + data)


def send_no_memory(connection: socket.socket) -> None:
    """Answer that the memory limit is reached."""
    connection.sendall(_ANSWER.pack(_NO_MEMORY, 0, 0, 0, 0, 0))


def send_trouble(connection: socket.socket, trouble: CannotRead) -> None:
    """Answer that the disk or the machine fails. The number of the system's error stands for the height."""
    connection.sendall(_ANSWER.pack(_TROUBLE, 0, 0, trouble.number, 0, 0))


def receive_answer(connection: socket.socket, seconds: float, *, with_display: bool = False) -> Answer:
    """The answer to the last question, all of it within so many seconds.

    with_display: whether that was asked for, too.
    Raises CannotDecode for a refusal, with facts where they were asked for and the file has any; CannotRead,
    OutOfMemory, SenselessAnswer; EOFError when the other end has closed; TimeoutError and any other OSError.
    """
    end = time.monotonic() + seconds
    head = bytearray(_ANSWER.size)
    _fill(connection, memoryview(head), end)
    kind, depth, from_dicom, height, width, length = _ANSWER.unpack(head)

    if kind == _PIXELS:
        pixels = _room_for_pixels(depth, from_dicom, height, width, length)
        _fill(connection, _bytes_of(pixels), end)
        display = _receive_display(connection, depth, end) if with_display else Display()
        return DecodedImage(pixels, from_dicom=bool(from_dicom), display=display)

    if (depth, from_dicom) != (0, 0):
        raise SenselessAnswer
    if kind == _SIZE and length == _FRAMES.size:
        _check_claimed_size(height, width)
        return ImageSize(height, width, _receive_frames(connection, end))
    if kind == _KNOWN and length == _FACTS.size:
        _check_claimed_size(height, width)
        return _receive_facts(connection, height, width, end)
    if kind == _HEADER and (height, width) == (0, 0) and 0 < length <= _MAX_HEADER:
        return _receive_header(connection, length, end)
    if kind == _REFUSED_BUT_KNOWN and _FACTS.size < length <= _FACTS.size + _MAX_WORDS:
        if (height, width) != (0, 0):  # the header says no size
            _check_claimed_size(height, width)
        facts = _receive_facts(connection, height, width, end)
        refusal = _refusal(connection, length - _FACTS.size, end)
        refusal.facts = facts
        raise refusal
    if kind == _REFUSAL and 0 < length <= _MAX_WORDS:
        raise _refusal(connection, length, end)
    if kind == _NO_MEMORY and length == 0:
        raise OutOfMemory
    if kind == _TROUBLE and (width, length) == (0, 0) and height in errno.errorcode:
        raise CannotRead(height)
    raise SenselessAnswer


def _receive_frames(connection: socket.socket, end: float) -> int:
    number = bytearray(_FRAMES.size)
    _fill(connection, memoryview(number), end)

    frames: int = _FRAMES.unpack(number)[0]
    if not 1 <= frames <= MAX_FRAMES:
        raise SenselessAnswer
    return frames


def _receive_display(connection: socket.socket, depth: int, end: float) -> Display:
    head = bytearray(_DISPLAY.size)
    _fill(connection, memoryview(head), end)
    has_padding, has_window, low, high = _DISPLAY.unpack(head)

    levels = 1 << (8 * depth)
    if has_padding not in {0, 1} or has_window not in {0, 1} or not low <= high < levels:
        raise SenselessAnswer
    padding = (low, high) if has_padding else None
    if not has_window:
        return Display(None, padding)

    window = np.empty(levels, dtype=np.uint8)
    _fill(connection, _bytes_of(window), end)
    return Display(window, padding)


def _packed(facts: ImageFacts) -> bytes:
    levels = facts.levels or LevelFacts(0, 0, None, 0.0, 0.0)
    return _FACTS.pack(
        FORMS.index(facts.form),
        facts.stated_bits,
        facts.bits,
        facts.allocated,
        PHOTOMETRICS.index(facts.photometric),
        INTENTS.index(facts.intent),
        WINDOWS.index(facts.window),
        facts.frames,
        facts.samples,
        facts.coloured,
        facts.levels is not None,
        levels.padding is not None,
        levels.lowest,
        levels.highest,
        levels.padding or 0.0,
        levels.flat,
        levels.kept,
    )


def _receive_facts(connection: socket.socket, height: int, width: int, end: float) -> ImageFacts:
    data = bytearray(_FACTS.size)
    _fill(connection, memoryview(data), end)
    form, stated_bits, bits, allocated, photometric, intent, window, frames, samples, *rest = _FACTS.unpack(data)
    coloured, is_decoded, has_padding, lowest, highest, padding, flat, kept = rest

    shares_are_shares = all(0.0 <= share <= 1.0 for share in (padding, flat, kept))
    if max(coloured, is_decoded, has_padding) > 1 or lowest > highest or not shares_are_shares:
        raise SenselessAnswer

    try:
        return ImageFacts(
            FORMS[form],
            height,
            width,
            frames=frames,
            samples=samples,
            coloured=bool(coloured),
            stated_bits=stated_bits,
            bits=bits,
            allocated=allocated,
            photometric=PHOTOMETRICS[photometric],
            intent=INTENTS[intent],
            window=WINDOWS[window],
            levels=LevelFacts(lowest, highest, padding if has_padding else None, flat, kept) if is_decoded else None,
        )
    except IndexError:
        raise SenselessAnswer from None


def _receive_header(connection: socket.socket, length: int, end: float) -> HeaderWords | WithoutHeader:
    data = bytearray(length)
    _fill(connection, memoryview(data), end)
    try:
        fields = json.loads(data)
        if set(fields) == set(WithoutHeader._fields):
            return _checked_reason(**fields)
        return _checked_words(**fields)
    except (ValueError, TypeError, RecursionError):
        raise SenselessAnswer from None


def _checked_reason(reason: object, is_dicom: object) -> WithoutHeader:
    if not isinstance(reason, str) or not isinstance(is_dicom, bool):
        raise SenselessAnswer
    if not reason or len(reason) > _MAX_WORDS or not reason.isprintable():
        raise SenselessAnswer
    return WithoutHeader(reason, is_dicom)


def _checked_words(texts: object, views: object, modifiers: object) -> HeaderWords:
    if not isinstance(texts, dict) or not set(texts) <= set(TEXTS) or not all(map(_are_words, texts.values())):
        raise SenselessAnswer
    return HeaderWords(texts, _checked_codes(views), _checked_codes(modifiers))


def _checked_codes(codes: object) -> list[tuple[str, str]]:
    if not isinstance(codes, list) or len(codes) > MOST_CODES:
        raise SenselessAnswer
    checked = []
    for value, meaning in codes:
        if not _are_words(value) or not _are_words(meaning):
            raise SenselessAnswer
        checked.append((value, meaning))
    return checked


def _are_words(words: object) -> bool:
    return isinstance(words, str) and len(words) <= LONGEST_WORDS and words.isprintable()


def _room_for_pixels(
    depth: int, from_dicom: int, height: int, width: int, length: int
) -> NDArray[np.uint8] | NDArray[np.uint16]:
    _check_claimed_size(height, width)
    if depth not in {1, 2} or from_dicom not in {0, 1} or length != height * width * depth:
        raise SenselessAnswer

    if depth == 1:
        return np.empty((height, width), dtype=np.uint8)
    return np.empty((height, width), dtype=np.uint16)


def _bytes_of(pixels: NDArray[np.generic]) -> memoryview:
    return pixels.reshape(-1).view(np.uint8).data


def _check_claimed_size(height: int, width: int) -> None:
    try:
        check_size(height, width)
    except CannotDecode:
        raise SenselessAnswer from None


def _refusal(connection: socket.socket, length: int, end: float) -> CannotDecode:
    words = bytearray(length)
    _fill(connection, memoryview(words), end)

    try:
        reason, remedy = words.decode().split("\n")
    except ValueError:
        raise SenselessAnswer from None

    if not reason or not (reason + remedy).isprintable():
        raise SenselessAnswer
    return CannotDecode(reason, remedy)


def _fill(connection: socket.socket, room: memoryview, end: float) -> None:
    while room:
        # A timeout of nought would mean not to wait at all, which is another error.
        connection.settimeout(max(end - time.monotonic(), 0.001))
        received = connection.recv_into(room[:_CHUNK])
        if not received:
            raise EOFError
        room = room[received:]
