# Copyright (c) 2026, the netless.qga authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A relay between a client and an agent, which does something wrong once, after a number of bytes."""

from __future__ import annotations

import contextlib
import enum
import select
import socket
import threading
from dataclasses import dataclass
from types import TracebackType

_SIZE = 64 * 1024
_POLL_SECONDS = 0.05
_LEAVE_SECONDS = 2.0


class Direction(enum.Enum):
    """Where bytes are going."""

    TO_AGENT = "to the agent"
    TO_CLIENT = "to the client"


class Kind(enum.Enum):
    """What the relay does at the byte."""

    CUT = "cut"
    """It closes both sides."""
    LOSE = "lose"
    """It drops what it has received with this byte, and goes on."""
    REPEAT = "repeat"
    """It passes on twice what it has received with this byte."""
    FOREIGN = "foreign"
    """It puts in a line that answers a request of somebody else, or that is such a request."""
    HALF = "half"
    """It puts in the beginning of such a line."""


_FOREIGN = {
    Direction.TO_AGENT: b'{"execute": "guest-ping", "id": 4711}\n',
    Direction.TO_CLIENT: b'{"return": {"pid": 1, "exited": true}, "id": 4711}\n',
}


AT_CONNECT = -1


@dataclass(frozen=True)
class Fault:
    """One fault.

    :param at: how many bytes pass in this direction before it, over all connections; :data:`AT_CONNECT` if it happens
        when the client connects.
    """

    kind: Kind
    direction: Direction
    at: int

    def __str__(self) -> str:
        place = "on connecting" if self.at == AT_CONNECT else f"at byte {self.at}"
        return f"{self.kind.value} {place} {self.direction.value}"


class Relay:
    """A relay for one client after the other, on a Unix socket. It ends with the ``with`` block.

    :param path: of its socket.
    :param agent: path of the agent's socket.
    """

    def __init__(self, path: str, agent: str) -> None:
        self._agent = agent
        self._listener = socket.socket(socket.AF_UNIX)
        self._listener.bind(path)
        self._listener.listen(1)
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._serve, daemon=True)
        self.fault: Fault | None = None
        """What to do wrong. It is None again when that is done."""
        self.passed = {direction: bytearray() for direction in Direction}
        """The bytes that have arrived from each side since :meth:`reset`."""

    def reset(self, fault: Fault | None) -> None:
        """Begin to count again, and take the next fault."""
        self.passed = {direction: bytearray() for direction in Direction}
        self.fault = fault

    def __enter__(self) -> Relay:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._ended.set()
        self._thread.join()
        self._listener.close()

    def _serve(self) -> None:
        while not self._ended.is_set():
            if not select.select([self._listener], [], [], _POLL_SECONDS)[0]:
                continue
            with self._listener.accept()[0] as client, contextlib.suppress(OSError):
                if self._admit(client):
                    self._serve_client(client)

    def _serve_client(self, client: socket.socket) -> None:
        with socket.socket(socket.AF_UNIX) as agent:
            agent.connect(self._agent)
            with contextlib.suppress(OSError):
                if self._greet(client, agent):
                    self._relay(client, agent)
            client.close()
            _leave(agent)

    def _admit(self, client: socket.socket) -> bool:
        """Return whether the client gets through to the agent, and if not, do to it what the fault says."""
        fault = self.fault
        if fault is None or fault.at != AT_CONNECT or fault.direction is not Direction.TO_CLIENT:
            return True
        if fault.kind is Kind.CUT:
            self.fault = None
            return False
        if fault.kind is Kind.LOSE:
            self.fault = None
            while not self._ended.is_set() and client.recv(_SIZE):
                pass
            return False
        return True

    def _greet(self, client: socket.socket, agent: socket.socket) -> bool:
        """Do what a fault on connecting does between the client and the agent; return whether they stay connected."""
        fault = self.fault
        if fault is None or fault.at != AT_CONNECT:
            return True
        self.fault = None
        if fault.kind in (Kind.CUT, Kind.LOSE):
            return False
        foreign = _FOREIGN[fault.direction]
        target = agent if fault.direction is Direction.TO_AGENT else client
        if fault.kind is Kind.HALF:
            target.sendall(foreign[: len(foreign) // 2])
        else:
            target.sendall(foreign * (2 if fault.kind is Kind.REPEAT else 1))
        return True

    def _relay(self, client: socket.socket, agent: socket.socket) -> None:
        """Pass bytes on until one side closes the channel, or the fault does."""
        routes = {client: (Direction.TO_AGENT, agent), agent: (Direction.TO_CLIENT, client)}
        while not self._ended.is_set():
            for source in select.select(list(routes), [], [], _POLL_SECONDS)[0]:
                direction, target = routes[source]
                data = source.recv(_SIZE)
                if not data:
                    return
                for piece in self._spoil(data, direction):
                    target.sendall(piece)
                if self.fault is not None and self.fault.kind is Kind.CUT and self._is_due(direction):
                    self.fault = None
                    return

    def _is_due(self, direction: Direction) -> bool:
        fault = self.fault
        return fault is not None and fault.direction is direction and len(self.passed[direction]) > fault.at >= 0

    def _spoil(self, data: bytes, direction: Direction) -> list[bytes]:
        """Return what to pass on."""
        before = len(self.passed[direction])
        self.passed[direction] += data
        fault = self.fault
        if fault is None or not self._is_due(direction):
            return [data]
        first, rest = data[: fault.at - before], data[fault.at - before :]
        if fault.kind is Kind.CUT:
            return [first]
        self.fault = None
        if fault.kind is Kind.LOSE:
            return [first]
        if fault.kind is Kind.REPEAT:
            return [first, rest, rest]
        foreign = _FOREIGN[direction]
        return [first, foreign if fault.kind is Kind.FOREIGN else foreign[: len(foreign) // 2], rest]


def _leave(agent: socket.socket) -> None:
    """End the connection after the agent's last answer: an agent on a socket ends for good if nobody reads that."""
    with contextlib.suppress(OSError):
        agent.shutdown(socket.SHUT_WR)
        agent.settimeout(_LEAVE_SECONDS)
        while agent.recv(_SIZE):
            pass
