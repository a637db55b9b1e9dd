"""Keeps programs and the servers they need running."""

import os
import signal
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from cli.embedded.processes import Child
from cli.embedded.server import EmbeddedServer
from cli.embedded.state_dir import rotate
from service.errors import DissectError, Unavailable

_FIRST_DELAY_S = 0.5
_LONGEST_DELAY_S = 30.0
_SETTLED_S = 60.0
"""What has lived this long is taken to be well, and its earlier deaths are forgotten."""
_SERVER_ATTEMPTS = 3
_EVERY_S = 0.2


@dataclass(frozen=True)
class Program:
    """A program to keep running; its output goes to `NAME.log`.

    without: settings in the environment that it does not get.
    """

    name: str
    command: tuple[str, ...]
    without: frozenset[str] = frozenset()


@dataclass
class _Life:
    """The present run of a program or server, and how often it has died since it was last well."""

    deaths: int = 0
    started: float = field(default_factory=time.monotonic)
    child: Child | None = None

    def count_death(self) -> int:
        settled = time.monotonic() - self.started > _SETTLED_S
        self.deaths = 1 if settled else self.deaths + 1
        return self.deaths


class Supervisor:
    """Starts programs, starts them again with growing delays when they die, and servers at once.

    `say` is told about every death. The servers are started and stopped by the caller.
    """

    def __init__(
        self,
        programs: Sequence[Program],
        servers: Sequence[EmbeddedServer],
        *,
        environment: Mapping[str, str],
        logs: Path,
        say: Callable[[str], None],
    ) -> None:
        self._programs = {program: _Life() for program in programs}
        self._servers = {server: _Life() for server in servers}
        self._environment = {**os.environ, **environment}
        self._logs = logs
        self._say = say
        self._due: dict[Program, float] = dict.fromkeys(self._programs, 0.0)

    def deaths(self, name: str) -> int:
        """How often the program has died since it was last well."""
        return next(life.deaths for program, life in self._programs.items() if program.name == name)

    def log_of(self, name: str) -> Path:
        """Where the program writes."""
        return self._logs / f"{name}.log"

    def check(self) -> None:
        """Look once after everything. Raises Unavailable when a server keeps dying."""
        for server, life in self._servers.items():
            if not server.alive:
                self._revive(server, life)

        for program, life in self._programs.items():
            if life.child is not None and life.child.returncode is not None:
                self._bury(program, life)
            if life.child is None and time.monotonic() >= self._due[program]:
                self._start(program, life)
            rotate(self.log_of(program.name))

        for server in self._servers:
            rotate(server.log)

    def supervise(self, ended: Callable[[float], bool]) -> None:
        """Look after everything until `ended(seconds)`, which waits that long, returns true. Raises like `check`."""
        while not ended(_EVERY_S):
            self.check()

    def stop(self, patience_s: float = 20.0) -> None:
        """SIGTERM to every program at once, SIGKILL to those that have not ended when patience has."""
        children = [life.child for life in self._programs.values() if life.child is not None]
        for child in children:
            child.send(signal.SIGTERM)

        deadline = time.monotonic() + patience_s
        for child in children:
            child.wait(max(0.0, deadline - time.monotonic()))
            child.kill_session()

    def _start(self, program: Program, life: _Life) -> None:
        life.started = time.monotonic()
        # Settings are read in small letters, too.
        environment = {name: value for name, value in self._environment.items() if name.upper() not in program.without}
        life.child = Child(program.command, log=self.log_of(program.name), environment=environment)

    def _bury(self, program: Program, life: _Life) -> None:
        assert life.child is not None  # noqa: S101 - the caller has looked
        status = life.child.kill_session()
        life.child = None
        delay = min(_LONGEST_DELAY_S, _FIRST_DELAY_S * 2.0 ** (life.count_death() - 1))
        self._due[program] = time.monotonic() + delay
        self._say(f"{program.name} ended with status {status}, restarting in {delay:g} s; {self.log_of(program.name)}")

    def _revive(self, server: EmbeddedServer, life: _Life) -> None:
        if life.count_death() > _SERVER_ATTEMPTS:
            raise Unavailable(f"{server.name} keeps dying.", remedy=f"Its log is {server.log}.")

        self._say(f"{server.name} ended, starts again; {server.log}")
        try:
            server.restart()
        except DissectError as error:
            self._say(str(error))

        life.started = time.monotonic()
