"""A decoder process: `python -m service.probes.decoders.child SOCKET MEMORY COMPUTING_S WAITING_S`.

It takes open files from its socket, one after another, and answers with their pixels, or with what they are. It ends
when the socket closes.
"""

import socket
import sys
from typing import BinaryIO

import numpy as np  # noqa: F401 - before the limits, because the linear algebra under it starts threads

from service.domain.probes import FrameOfImage
from service.probes.decoders.facts import read_facts
from service.probes.decoders.formats import read_image, read_size
from service.probes.decoders.limits import Limits, limit_process, limited_time
from service.probes.decoders.wire import (
    Question,
    receive_questions,
    send_display,
    send_facts,
    send_header,
    send_image,
    send_no_memory,
    send_ready,
    send_refusal,
    send_refusal_with_facts,
    send_size,
    send_trouble,
)
from service.probes.pixels import CannotDecode, CannotRead


def main() -> None:
    """Serve until the socket closes."""
    descriptor, memory, computing_s, waiting_s = (int(argument) for argument in sys.argv[1:])
    limits = Limits(memory, computing_s, waiting_s)
    limit_process(limits)

    with socket.socket(fileno=descriptor) as connection:
        send_ready(connection)
        for question, file, frame in receive_questions(connection):
            with file, limited_time(limits):
                _answer(connection, question, file, frame)


def _answer(connection: socket.socket, question: Question, file: BinaryIO, frame: FrameOfImage | None) -> None:
    try:
        if question is Question.IMAGE:
            send_image(connection, read_image(file, frame=frame))
        elif question is Question.DISPLAYED_IMAGE:
            image = read_image(file, with_display=True, frame=frame)
            send_image(connection, image)
            send_display(connection, image.display)
        elif question is Question.FACTS:
            send_facts(connection, read_facts(file, frame))
        elif question is Question.HEADER:
            from service.probes.decoders.header import read_header_words  # imports pydicom, which few processes need

            send_header(connection, read_header_words(file))
        else:
            send_size(connection, read_size(file))
    except CannotDecode as refusal:
        if refusal.facts is None:
            send_refusal(connection, refusal)
        else:
            send_refusal_with_facts(connection, refusal, refusal.facts)
    except CannotRead as trouble:
        send_trouble(connection, trouble)
    except MemoryError:
        send_no_memory(connection)


if __name__ == "__main__":
    main()
