"""Connections whose clients fall silent are ended, and no more of an answer is handed to one than it takes."""

import asyncio
import socket
import struct
from collections.abc import Callable

import h11
from uvicorn.protocols.http.h11_impl import H11Protocol

TAKING_S = 60.0
"""How long a client may leave what was sent to it, of an answer's parts one at a time."""

_NO_LINGER = struct.pack("ii", 1, 0)


class Connection(H11Protocol):
    """uvicorn's connection, with a time limit for each head and for each part of an answer.

    uvicorn itself ends only connections that are silent after an answer.
    """

    _head: "_TimeLimit"
    _taking: "_TimeLimit"

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override] # as uvicorn's
        """See `asyncio.Protocol`. A head may take as long as a connection may wait for the next one."""
        super().connection_made(transport)
        transport.set_write_buffer_limits(high=0)  # paused means that something was not taken yet
        self._head = _TimeLimit(self.loop, self.timeout_keep_alive, self._end)
        self._taking = _TimeLimit(self.loop, TAKING_S, self._end)
        self._head.begin()

    def data_received(self, data: bytes) -> None:
        """See `asyncio.Protocol`. A part of a head does not lengthen its time."""
        super().data_received(data)
        if self.conn.their_state is h11.IDLE:
            self._head.begin()
        else:
            self._head.stop()

    def pause_writing(self) -> None:
        """See `asyncio.Protocol`."""
        super().pause_writing()
        self._taking.begin()

    def resume_writing(self) -> None:
        """See `asyncio.Protocol`."""
        super().resume_writing()
        self._taking.stop()

    def connection_lost(self, exc: Exception | None) -> None:
        """See `asyncio.Protocol`."""
        self._head.stop()
        self._taking.stop()
        super().connection_lost(exc)

    def _end(self) -> None:
        """End it at once, without leaving to the kernel what nobody takes."""
        connection = self.transport.get_extra_info("socket")
        if connection is not None:
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _NO_LINGER)
        self.transport.abort()


class _TimeLimit:
    """Does something unless it is stopped in time."""

    def __init__(self, loop: asyncio.AbstractEventLoop, seconds: float, end: Callable[[], object]) -> None:
        self._loop = loop
        self._seconds = seconds
        self._end = end
        self._timer: asyncio.TimerHandle | None = None

    def begin(self) -> None:
        """Let the time run, if it does not run already."""
        if self._timer is None:
            self._timer = self._loop.call_later(self._seconds, self._end)

    def stop(self) -> None:
        """Whatever had to happen has happened."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
