import errno
import socket
import struct
import threading
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from service.domain.probes import ImageSize
from service.probes.decoders.wire import (
    OutOfMemory,
    SenselessAnswer,
    receive_answer,
    send_display,
    send_facts,
    send_header,
    send_image,
    send_no_memory,
    send_refusal,
    send_refusal_with_facts,
    send_size,
    send_trouble,
)
from service.probes.headers import HeaderWords, WithoutHeader
from service.probes.pixels import CannotDecode, CannotRead, DecodedImage, Display, ImageFacts, LevelFacts

Ends = tuple[socket.socket, socket.socket]


@pytest.fixture
def ends() -> Iterator[Ends]:
    parent, child = socket.socketpair()
    with parent, child:
        yield parent, child


def head(kind: bytes, depth: int, from_dicom: int, height: int, width: int, length: int) -> bytes:
    return struct.pack("<cBBIIQ", kind, depth, from_dicom, height, width, length)


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
@pytest.mark.parametrize("from_dicom", [False, True])
def test_an_image_arrives_as_it_was_sent(ends: Ends, dtype: type, from_dicom: bool) -> None:
    parent, child = ends
    pixels: NDArray[Any] = np.arange(35, dtype=dtype).reshape(5, 7)[:, ::2]
    send_image(child, DecodedImage(pixels, from_dicom))

    image = receive_answer(parent, 5)
    assert isinstance(image, DecodedImage)
    assert image.from_dicom == from_dicom
    assert image.pixels.dtype == dtype
    np.testing.assert_array_equal(image.pixels, pixels)


def test_sizes_and_refusals_arrive_in_turn(ends: Ends) -> None:
    parent, child = ends
    send_size(child, ImageSize(30, 20, 3))
    send_refusal(child, CannotDecode("it is broken", "Mend it."))
    send_no_memory(child)
    send_trouble(child, CannotRead(errno.EIO))

    assert receive_answer(parent, 5) == ImageSize(30, 20, 3)
    with pytest.raises(CannotDecode) as caught:
        receive_answer(parent, 5)
    assert (caught.value.reason, caught.value.remedy) == ("it is broken", "Mend it.")
    with pytest.raises(OutOfMemory):
        receive_answer(parent, 5)
    with pytest.raises(CannotRead) as trouble:
        receive_answer(parent, 5)
    assert trouble.value.number == errno.EIO


@pytest.mark.parametrize(
    "answer",
    [
        head(b"P", 2, 1, 60_000, 60_000, 7_200_000_000),
        head(b"P", 2, 1, 2, 2, 1 << 62),
        head(b"P", 2, 1, 2, 2, 7),
        head(b"P", 8, 1, 2, 2, 32),
        head(b"P", 0, 1, 2, 2, 0),
        head(b"P", 1, 2, 2, 2, 4),
        head(b"P", 1, 1, 0, 2, 0),
        head(b"S", 0, 0, 60_000, 60_000, 0),
        head(b"S", 0, 0, 0, 2, 0),
        head(b"S", 0, 0, 2, 2, 4) + b"more",
        head(b"R", 0, 0, 0, 0, 0),
        head(b"R", 0, 0, 0, 0, 1 << 40),
        head(b"R", 0, 0, 0, 0, 4) + b"\xff\xfe\xfd\n",
        head(b"R", 0, 0, 0, 0, 9) + b"one\ntwo\n3",
        head(b"R", 0, 0, 0, 0, 8) + b"\x1b[2J\ntwo",
        head(b"R", 0, 0, 0, 0, 4) + b"\ntwo",
        head(b"M", 0, 0, 0, 0, 1) + b"!",
        head(b"T", 0, 0, 0, 0, 0),
        head(b"T", 0, 0, 9_999, 0, 0),
        head(b"T", 0, 0, errno.EIO, 0, 1) + b"!",
        head(b"X", 0, 0, 0, 0, 0),
        bytes(22),
    ],
)
def test_an_answer_that_no_decoder_of_ours_gives_is_not_believed(ends: Ends, answer: bytes) -> None:
    parent, child = ends
    child.sendall(answer)
    with pytest.raises(SenselessAnswer):
        receive_answer(parent, 5)


def test_an_answer_that_breaks_off_is_an_end_of_file(ends: Ends) -> None:
    parent, child = ends
    child.sendall(head(b"P", 1, 1, 2, 2, 4) + b"abc")
    child.close()
    with pytest.raises(EOFError):
        receive_answer(parent, 5)


def test_an_answer_that_trickles_in_is_not_waited_for(ends: Ends) -> None:
    parent, child = ends
    stop = threading.Event()

    def trickle() -> None:
        child.sendall(head(b"P", 1, 1, 100, 100, 10_000))
        while not stop.wait(0.05):
            child.sendall(b"x")

    sender = threading.Thread(target=trickle)
    sender.start()
    with pytest.raises(TimeoutError):
        receive_answer(parent, 0.5)
    stop.set()
    sender.join()


@pytest.mark.parametrize("padding", [None, (0, 0), (3, 255)])
@pytest.mark.parametrize("window", [None, np.arange(256, dtype=np.uint8)[::-1].copy()])
def test_how_an_image_is_shown_arrives_with_it(
    ends: Ends, padding: tuple[int, int] | None, window: NDArray[np.uint8] | None
) -> None:
    parent, child = ends
    send_image(child, DecodedImage(np.zeros((2, 3), dtype=np.uint8), from_dicom=True))
    send_display(child, Display(window, padding))

    image = receive_answer(parent, 5, with_display=True)
    assert isinstance(image, DecodedImage)
    assert image.display.padding == padding
    np.testing.assert_array_equal(image.display.window, window)


@pytest.mark.parametrize("display", [(2, 0, 0, 0), (0, 7, 0, 0), (1, 0, 3, 2), (1, 0, 0, 256)])
def test_a_display_that_makes_no_sense_is_not_believed(ends: Ends, display: tuple[int, int, int, int]) -> None:
    parent, child = ends
    child.sendall(head(b"P", 1, 1, 1, 1, 1) + b"\0" + struct.pack("<BBHH", *display))
    with pytest.raises(SenselessAnswer):
        receive_answer(parent, 5, with_display=True)


FACTS = ImageFacts(
    "DICOM",
    30,
    20,
    frames=3,
    samples=3,
    coloured=True,
    stated_bits=12,
    bits=14,
    allocated=16,
    photometric="MONOCHROME1",
    intent="FOR PROCESSING",
    window="some frames",
    levels=LevelFacts(7, 65_535, 0.25, 0.5, 0.75),
)


@pytest.mark.parametrize(
    "facts", [FACTS, replace(FACTS, levels=LevelFacts(0, 0, None, 1.0, 1.0)), replace(FACTS, levels=None)]
)
def test_facts_arrive_as_they_were_sent(ends: Ends, facts: ImageFacts) -> None:
    parent, child = ends
    send_facts(child, facts)
    send_refusal_with_facts(child, CannotDecode("it is broken", "Mend it."), replace(facts, height=0, width=0))
    assert receive_answer(parent, 5) == facts
    with pytest.raises(CannotDecode, match="it is broken") as refused:
        receive_answer(parent, 5)
    assert refused.value.remedy == "Mend it."
    assert refused.value.facts == replace(facts, height=0, width=0)


NAN_AT_THE_END = struct.pack("<7B2H3B2H3d", 0, 12, 14, 16, 1, 2, 3, 1, 1, 0, 1, 1, 0, 9, 0.5, 0.5, float("nan"))


@pytest.mark.parametrize(
    "body",
    [
        NAN_AT_THE_END,
        struct.pack("<7B2H3B2H3d", 0, 12, 14, 16, 1, 2, 3, 1, 1, 0, 1, 1, 0, 9, 0.5, 0.5, 1.5),
        struct.pack("<7B2H3B2H3d", 0, 12, 14, 16, 1, 2, 3, 1, 1, 0, 1, 1, 9, 0, 0.5, 0.5, 0.5),
        struct.pack("<7B2H3B2H3d", 0, 12, 14, 16, 1, 2, 3, 1, 1, 2, 1, 1, 0, 9, 0.5, 0.5, 0.5),
        struct.pack("<7B2H3B2H3d", 99, 12, 14, 16, 1, 2, 3, 1, 1, 0, 1, 1, 0, 9, 0.5, 0.5, 0.5),
        struct.pack("<7B2H3B2H3d", 0, 12, 14, 16, 99, 2, 3, 1, 1, 0, 1, 1, 0, 9, 0.5, 0.5, 0.5),
        struct.pack("<7B2H3B2H3d", 0, 12, 14, 16, 1, 2, 99, 1, 1, 0, 1, 1, 0, 9, 0.5, 0.5, 0.5),
        struct.pack("<7B2H3B2H3d", 0, 12, 14, 16, 1, 99, 3, 1, 1, 0, 1, 1, 0, 9, 0.5, 0.5, 0.5),
    ],
)
def test_facts_that_cannot_be_are_refused(ends: Ends, body: bytes) -> None:
    parent, child = ends
    child.sendall(head(b"F", 0, 0, 30, 20, len(body)) + body)
    with pytest.raises(SenselessAnswer):
        receive_answer(parent, 5)


@pytest.mark.parametrize("size", [(60_000, 60_000), (1 << 31, 1), (0, 20), (30, 0)])
@pytest.mark.parametrize("kind", [b"F", b"K"])
def test_facts_of_an_image_of_impossible_size_are_refused(ends: Ends, kind: bytes, size: tuple[int, int]) -> None:
    parent, child = ends
    body = struct.pack("<7B2H3B2H3d", 0, 12, 14, 16, 1, 2, 3, 1, 1, 0, 0, 0, 0, 0, 0.0, 0.0, 0.0)
    words = b"it is broken\n" if kind == b"K" else b""
    child.sendall(head(kind, 0, 0, *size, len(body + words)) + body + words)
    with pytest.raises(SenselessAnswer):
        receive_answer(parent, 5)


@pytest.mark.parametrize("length", [0, 1, len(NAN_AT_THE_END) - 1, len(NAN_AT_THE_END) + 1, 1 << 40])
@pytest.mark.parametrize("kind", [b"F", b"K"])
def test_facts_of_another_length_are_refused(ends: Ends, kind: bytes, length: int) -> None:
    if kind == b"K" and length == len(NAN_AT_THE_END) + 1:
        length = len(NAN_AT_THE_END)
    parent, child = ends
    child.sendall(head(kind, 0, 0, 30, 20, length))
    with pytest.raises(SenselessAnswer):
        receive_answer(parent, 5)


WORDS = HeaderWords({"PatientID": "P 1", "Laterality": "L"}, [("R-10226", "medio-lateral oblique")], [])


@pytest.mark.parametrize("header", [WORDS, HeaderWords({}, [], []), WithoutHeader("is not a DICOM file", False)])
def test_headers_arrive_as_they_were_sent(ends: Ends, header: HeaderWords | WithoutHeader) -> None:
    parent, child = ends
    send_header(child, header)
    assert receive_answer(parent, 5) == header


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"{",
        b"[]",
        b"7",
        b"[" * 100_000,
        b'{"texts": {}, "views": []}',
        b'{"texts": {"PatientName": "Doe"}, "views": [], "modifiers": []}',
        b'{"texts": {"PatientID": 7}, "views": [], "modifiers": []}',
        b'{"texts": {"PatientID": "a\\nb"}, "views": [], "modifiers": []}',
        b'{"texts": {"PatientID": "' + b"a" * 201 + b'"}, "views": [], "modifiers": []}',
        b'{"texts": {}, "views": [["a"]], "modifiers": []}',
        b'{"texts": {}, "views": [["a", 1]], "modifiers": []}',
        b'{"texts": {}, "views": 7, "modifiers": []}',
        b'{"texts": {}, "views": [' + b", ".join([b'["a", "b"]'] * 9) + b'], "modifiers": []}',
        b'{"reason": "", "is_dicom": true}',
        b'{"reason": "is bad", "is_dicom": 1}',
        b'{"reason": "a\\u0000", "is_dicom": true}',
    ],
)
def test_headers_that_cannot_be_are_refused(ends: Ends, data: bytes) -> None:
    parent, child = ends
    child.sendall(head(b"H", 0, 0, 0, 0, len(data)) + data)
    with pytest.raises(SenselessAnswer):
        receive_answer(parent, 5)


@pytest.mark.parametrize(("size", "length"), [((1, 0), 2), ((0, 1), 2), ((0, 0), 1 << 40)])
def test_headers_with_a_size_or_without_end_are_refused(ends: Ends, size: tuple[int, int], length: int) -> None:
    parent, child = ends
    child.sendall(head(b"H", 0, 0, *size, length) + b"{}")
    with pytest.raises(SenselessAnswer):
        receive_answer(parent, 5)
