"""How our programs end: with a status that scripts rely on, and one line on standard error that says why."""

import os
import select
import sys
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from enum import IntEnum

from service.errors import DissectError
from service.process_memory import hide_process_memory


class ExitStatus(IntEnum):
    """What exit statuses mean, the same for every program.

    NO is a command's own answer, like FAIL or a changed signature: no error ends with it, expected or not.
    """

    OK = 0
    NO = 1
    ERROR = 2
    INTERRUPTED = 130
    """128 + SIGINT, as shells say it."""


def run_program(name: str, program: Callable[[], int | None], *, hint: str, debug: Callable[[], bool]) -> int:
    """Run a program and return its exit status: what it returns, or that of the error which ended it.

    name: begins the line on standard error. hint: how to see an unexpected error's traceback. debug: is it asked for?
    """
    with _second_output() as output:
        try:
            status = program()
            _flush_output()
        except DissectError as error:
            _show_traceback(debug)
            _say(name, str(error))
        except KeyboardInterrupt:
            return ExitStatus.INTERRUPTED
        except SystemExit as ended:
            return _status_of(name, ended)
        except Exception as error:
            if isinstance(error, BrokenPipeError) and _reader_has_gone(output):
                # As `head` goes: there is nothing to say, and nobody to say it to.
                _drop_output()
            else:
                _show_traceback(debug)
                _say(name, f"Unexpected {type(error).__name__}: {_first_line(error)}. {hint}")
        else:
            return ExitStatus.OK if status is None else status
    return ExitStatus.ERROR


def run_service(name: str, service: Callable[[], int | None]) -> int:
    """`run_program` for what goes on until it is told to stop: LOG_LEVEL says whether tracebacks are shown.

    It has keys in its environment, which no other process of the user has to read.
    """

    def run() -> int | None:
        hide_process_memory()
        return service()

    return run_program(
        name,
        run,
        hint="LOG_LEVEL=DEBUG shows where.",
        debug=lambda: os.environ.get("LOG_LEVEL", "").upper() == "DEBUG",
    )


def _status_of(name: str, ended: SystemExit) -> int:
    """A library that ends the process knows nothing of what our statuses mean."""
    if isinstance(ended.code, str):
        _say(name, ended.code)
    return ExitStatus.OK if ended.code in {None, 0} else ExitStatus.ERROR


def _flush_output() -> None:
    # What Python cannot write at its very end, it reports in words and with a status of its own.
    if sys.stdout is not None:
        sys.stdout.flush()


@contextmanager
def _second_output() -> Iterator[int | None]:
    """Another descriptor of our output, which tells of its reader also after a library has closed the first."""
    try:
        output = os.dup(sys.stdout.fileno())
    except (OSError, ValueError, AttributeError):  # there is no output
        yield None
        return
    try:
        yield output
    finally:
        os.close(output)


def _reader_has_gone(output: int | None) -> bool:
    """Is it our own output that nobody reads any more, and not a connection to elsewhere?"""
    if output is None:
        return False

    poll = select.poll()
    poll.register(output, 0)
    return any(event & (select.POLLERR | select.POLLHUP) for _, event in poll.poll(0))


def _drop_output() -> None:
    """What is left in the buffer goes nowhere when Python flushes it at its end."""
    with suppress(OSError, AttributeError):
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _first_line(error: Exception, limit: int = 300) -> str:
    lines = str(error).strip().splitlines() or ["no details"]
    return lines[0][:limit].rstrip(". ")


def _show_traceback(debug: Callable[[], bool]) -> None:
    if debug():
        with suppress(OSError):
            traceback.print_exc()


def _say(name: str, text: str) -> None:
    """One line, whatever the text holds: it may come from a file or a server, and go to a terminal."""
    words = " ".join(text.split())
    line = "".join(character if character.isprintable() else "\N{REPLACEMENT CHARACTER}" for character in words)
    with suppress(OSError):
        print(f"{name}: {line}", file=sys.stderr, flush=True)  # noqa: T201 - what a program says as it ends
