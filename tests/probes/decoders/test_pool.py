import errno
import os
import signal
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

import numpy as np
import psutil
import pytest
from pydicom.uid import UID, DeflatedExplicitVRLittleEndian, ExplicitVRLittleEndian, JPEGLSLossless

from service.probes.decoders.limits import Limits
from service.probes.decoders.pool import _MOST_QUESTIONS, DecoderPool
from service.probes.decoders.process import DecoderLost, DecoderProcess
from service.probes.decoders.wire import Question
from service.probes.pixels import CannotDecode, CannotRead
from tests.probes.dicom_files import film, write_crashing_dicom, write_dicom


@contextmanager
def pool_of(processes: int, limits: Limits | None = None) -> Iterator[DecoderPool]:
    pool = DecoderPool(processes, limits)
    try:
        yield pool
    finally:
        pool.close()


@contextmanager
def process_with(limits: Limits) -> Iterator[DecoderProcess]:
    process = DecoderProcess(limits)
    try:
        yield process
    finally:
        process.kill()


def refusal(pool: DecoderPool, path: Path) -> str:
    with path.open("rb") as file, pytest.raises(CannotDecode) as caught:
        pool.image(file)
    return caught.value.reason


def check_sound(pool: DecoderPool, path: Path) -> None:
    with path.open("rb") as file:
        np.testing.assert_array_equal(pool.image(file).pixels, film(12))


@pytest.fixture
def sound(tmp_path: Path) -> Path:
    return write_dicom(tmp_path / "sound.dcm", film(12), bits=12)


@pytest.fixture
def endless(tmp_path: Path) -> Path:
    """A header of very many empty elements."""
    path = write_dicom(tmp_path / "endless.dcm", film(12), bits=12, PixelData=None)
    with path.open("rb+") as file:
        file.truncate(1 << 28)
    return path


def test_a_file_that_crashes_its_decoder_is_refused_and_the_next_one_decodes(tmp_path: Path, sound: Path) -> None:
    crashing = write_crashing_dicom(tmp_path / "crashing.dcm")
    with pool_of(1) as pool:
        check_sound(pool, sound)
        assert refusal(pool, crashing) == "the decoder crashed"
        check_sound(pool, sound)


def test_a_file_that_takes_too_much_memory_is_refused(tmp_path: Path, sound: Path) -> None:
    large = write_dicom(tmp_path / "large.dcm", np.zeros((8000, 8000), np.uint16), bits=12)
    with pool_of(1, Limits(memory=250 << 20)) as pool:
        assert refusal(pool, large) == "the decoder takes more memory than allowed (250 MB)"
        check_sound(pool, sound)


def test_a_file_that_takes_too_much_computing_is_refused(endless: Path, sound: Path) -> None:
    with pool_of(1, Limits(computing_s=1)) as pool:
        assert refusal(pool, endless) == "it takes longer than 1 seconds of computing"
        check_sound(pool, sound)


def test_the_computing_of_earlier_images_does_not_count(tmp_path: Path) -> None:
    large = np.zeros((4000, 4000), np.uint16)
    sound = write_dicom(tmp_path / "a.dcm", large, bits=12, syntax=DeflatedExplicitVRLittleEndian)
    with process_with(Limits(computing_s=1)) as process, sound.open("rb") as file:
        while psutil.Process(process.pid).cpu_times().user < 2.5:
            process.ask(Question.IMAGE, file)


def test_a_decoder_that_does_not_answer_is_ended(sound: Path) -> None:
    with process_with(Limits(waiting_s=1)) as process:
        os.kill(process.pid, signal.SIGSTOP)
        with sound.open("rb") as file, pytest.raises(DecoderLost, match="longer than 1 seconds"):
            process.ask(Question.IMAGE, file)
        assert not psutil.pid_exists(process.pid)


def test_an_image_is_tried_again_when_its_process_was_killed(sound: Path) -> None:
    with pool_of(1) as pool:
        check_sound(pool, sound)
        for process in pool._idle:
            os.kill(process.pid, signal.SIGKILL)
        check_sound(pool, sound)


def test_a_process_that_was_killed_says_so(sound: Path) -> None:
    with process_with(Limits()) as process:
        os.kill(process.pid, signal.SIGKILL)
        with sound.open("rb") as file, pytest.raises(DecoderLost, match="was killed, most likely for want of memory"):
            process.ask(Question.IMAGE, file)


def test_a_machine_that_kills_every_decoder_blames_no_file(sound: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    ask = DecoderProcess.ask

    def kill_and_ask(process: DecoderProcess, question: Question, file: BinaryIO, frame: None) -> object:
        os.kill(process.pid, signal.SIGKILL)
        return ask(process, question, file, frame)

    monkeypatch.setattr(DecoderProcess, "ask", kill_and_ask)
    with pool_of(1) as pool, sound.open("rb") as file, pytest.raises(CannotRead, match="Cannot allocate memory"):
        pool.image(file)


def test_an_installation_that_starts_no_decoder_blames_no_file(sound: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("service.probes.decoders.process._environment", lambda: {"PYTHONHOME": "/nowhere"})

    with pool_of(1) as pool, sound.open("rb") as file, pytest.raises(OSError, match="no decoder process starts"):
        pool.image(file)


@pytest.mark.parametrize("question", [Question.IMAGE, Question.SIZE])
def test_a_disk_that_fails_blames_no_file(question: Question) -> None:
    with pool_of(1) as pool, Path("/proc/self/mem").open("rb") as file, pytest.raises(CannotRead) as trouble:
        pool.image(file) if question is Question.IMAGE else pool.size(file)
    assert trouble.value.number == errno.EIO


@pytest.mark.parametrize("question", [Question.IMAGE, Question.SIZE])
def test_what_a_used_process_refuses_is_asked_of_a_fresh_one(
    tmp_path: Path, sound: Path, monkeypatch: pytest.MonkeyPatch, question: Question
) -> None:
    refused = write_dicom(tmp_path / "refused.dcm", film(12), bits=12, Rows=None)
    ask = DecoderProcess.ask
    asked: list[int] = []

    def note_and_ask(process: DecoderProcess, question: Question, file: BinaryIO, frame: None) -> object:
        asked.append(process.pid)
        return ask(process, question, file, frame)

    monkeypatch.setattr(DecoderProcess, "ask", note_and_ask)
    with pool_of(1) as pool, refused.open("rb") as file:
        check_sound(pool, sound)
        with pytest.raises(CannotDecode, match="Rows"):
            pool.image(file) if question is Question.IMAGE else pool.size(file)
        used, used_again, fresh = asked
        assert used == used_again != fresh
        assert not psutil.pid_exists(used)
        assert pool._idle == [], "the fresh one has refused a file, too"


@pytest.mark.parametrize("syntax", [ExplicitVRLittleEndian, JPEGLSLossless])
def test_a_used_process_that_has_no_memory_left_costs_no_image(tmp_path: Path, sound: Path, syntax: UID) -> None:
    """As after damaged images, with which decoders lose memory; some then call sound ones damaged, too."""
    large = write_dicom(tmp_path / "large.dcm", np.zeros((3000, 3000), np.uint16), bits=12, syntax=syntax)
    with pool_of(1) as pool:
        check_sound(pool, sound)
        [used] = pool._idle
        held = psutil.Process(used.pid).memory_info().vms
        psutil.Process(used.pid).rlimit(psutil.RLIMIT_AS, (held + (8 << 20),) * 2)
        with large.open("rb") as file:
            assert pool.image(file).pixels.shape == (3000, 3000)
        assert not psutil.pid_exists(used.pid)


def test_a_process_is_replaced_after_some_hundred_questions(sound: Path) -> None:
    with pool_of(1) as pool, sound.open("rb") as file:
        pool.size(file)
        [used] = pool._idle
        for _ in range(_MOST_QUESTIONS - 1):
            pool.size(file)
        assert not psutil.pid_exists(used.pid)
        check_sound(pool, sound)


def test_many_threads_share_a_few_processes(tmp_path: Path) -> None:
    films = [film(12, seed=seed) for seed in range(8)]
    paths = [write_dicom(tmp_path / f"{seed}.dcm", stored, bits=12) for seed, stored in enumerate(films)]

    with pool_of(2) as pool, ThreadPoolExecutor(8) as threads:

        def pixels(path: Path) -> np.ndarray:
            with path.open("rb") as file:
                return pool.image(file).pixels

        for decoded, stored in zip(threads.map(pixels, paths), films, strict=True):
            np.testing.assert_array_equal(decoded, stored)


def test_a_process_is_limited_and_knows_no_secrets(sound: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DATABASE_URL", "postgresql:///somewhere")
    with process_with(Limits(memory=1 << 30)) as process, sound.open("rb") as file:
        process.ask(Question.IMAGE, file)
        folder = Path(f"/proc/{process.pid}")
        assert "DATABASE_URL" not in (folder / "environ").read_text()

        lines = (folder / "limits").read_text().splitlines()
        limits = {line[:26].strip(): line[26:].split()[:2] for line in lines}
        assert limits["Max address space"] == [str(1 << 30)] * 2
        for nothing in ("Max core file size", "Max file size", "Max processes"):
            assert limits[nothing] == ["0", "0"]
        assert limits["Max open files"] == ["64", "64"]
        assert limits["Max cpu time"][0] != "unlimited"


def test_a_process_outlives_the_signals_to_its_group_and_ends_with_its_socket(sound: Path) -> None:
    with process_with(Limits()) as process, sound.open("rb") as file:
        process.ask(Question.SIZE, file)
        os.kill(process.pid, signal.SIGTERM)
        os.kill(process.pid, signal.SIGINT)
        process.ask(Question.IMAGE, file)

        process._connection.close()
        assert process._process.wait(timeout=20) == 0
