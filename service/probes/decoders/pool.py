"""A few decoder processes that threads share."""

import errno
import os
from threading import Lock, Semaphore
from typing import BinaryIO

from service.domain.probes import FrameOfImage, ImageSize
from service.probes.decoders.limits import Limits
from service.probes.decoders.process import DecoderLost, DecoderProcess
from service.probes.decoders.wire import Answer, Question
from service.probes.headers import HeaderWords, WithoutHeader
from service.probes.pixels import CannotDecode, CannotRead, DecodedImage, ImageFacts

_MOST = 4
_MOST_QUESTIONS = 500
"""Of one process: decoders lose a little memory with sound images, too, and more with damaged ones."""


class DecoderPool:
    """Decodes open files in limited processes, started when they are first needed. Safe to use from several threads.

    A process ends with the first image or header that it refuses. What a process refuses that was used before is asked
    of a fresh one, so that no file is refused for what earlier files have left behind.

    processes: how many at most; by default one for each processor, up to four.
    """

    def __init__(self, processes: int | None = None, limits: Limits | None = None) -> None:
        wanted = min(_MOST, len(os.sched_getaffinity(0))) if processes is None else processes
        self._limits = Limits() if limits is None else limits
        self._free = Semaphore(wanted)
        self._lock = Lock()
        self._idle: list[DecoderProcess] = []
        self._closed = False

    def image(self, file: BinaryIO, *, with_display: bool = False, frame: FrameOfImage | None = None) -> DecodedImage:
        """The decoded image. Raises CannotDecode, also where the file has ended a decoder or reached a limit.

        with_display: with what its header says of how it is to be shown. frame: what is shown of several.
        Raises CannotRead or OSError where the disk or the machine fails.
        """
        answer = self._ask(Question.DISPLAYED_IMAGE if with_display else Question.IMAGE, file, frame)
        if not isinstance(answer, DecodedImage):
            raise CannotDecode("the decoder's answer is invalid")
        return answer

    def size(self, file: BinaryIO) -> ImageSize:
        """Height, width and number of frames from the file's header. Raises what `image` raises."""
        answer = self._ask(Question.SIZE, file)
        if not isinstance(answer, ImageSize):
            raise CannotDecode("the decoder's answer is invalid")
        return answer

    def facts(self, file: BinaryIO, frame: FrameOfImage | None = None) -> ImageFacts:
        """What the file says of its image, and what decoding it has shown; its pixels stay behind.

        frame: what is decoded of several. Raises what `image` raises; a CannotDecode has the facts that the file says
        all the same.
        """
        answer = self._ask(Question.FACTS, file, frame)
        if not isinstance(answer, ImageFacts):
            raise CannotDecode("the decoder's answer is invalid")
        return answer

    def header(self, file: BinaryIO) -> HeaderWords | WithoutHeader:
        """What the header of a DICOM file says that a manifest lists, or why it has none.

        Raises what `image` raises.
        """
        answer = self._ask(Question.HEADER, file)
        if not isinstance(answer, HeaderWords | WithoutHeader):
            raise CannotDecode("the decoder's answer is invalid")
        return answer

    def close(self) -> None:
        """End the processes; those at work end with their images."""
        with self._lock:
            idle = self._idle
            self._idle = []
            self._closed = True

        for process in idle:
            process.kill()

    def _ask(self, question: Question, file: BinaryIO, frame: FrameOfImage | None = None) -> Answer:
        with self._free:
            process = self._idle_or_new()
            was_used = process.asked > 0

            try:
                return self._ask_process(process, question, file, frame)
            except CannotDecode:
                if not was_used:
                    raise
            except DecoderLost as lost:
                if not lost.by_chance and not (was_used and lost.inherited):
                    raise CannotDecode(lost.reason) from None

            # The cause may be something else than this file, such as the memory that decoders lose with damaged ones,
            # and what is skipped decides the result.
            try:
                return self._ask_process(DecoderProcess(self._limits), question, file, frame)
            except DecoderLost as lost:
                if lost.killed:
                    raise CannotRead(errno.ENOMEM) from None
                raise CannotDecode(lost.reason) from None

    def _ask_process(
        self, process: DecoderProcess, question: Question, file: BinaryIO, frame: FrameOfImage | None
    ) -> Answer:
        try:
            answer = process.ask(question, file, frame)
        except BaseException:  # it has refused the file; or its next answer would belong to this file
            process.kill()
            raise

        self._give_back(process)
        return answer

    def _idle_or_new(self) -> DecoderProcess:
        with self._lock:
            if self._idle:
                return self._idle.pop()
        return DecoderProcess(self._limits)

    def _give_back(self, process: DecoderProcess) -> None:
        if process.asked < _MOST_QUESTIONS:
            with self._lock:
                if not self._closed:
                    self._idle.append(process)
                    return

        process.kill()
