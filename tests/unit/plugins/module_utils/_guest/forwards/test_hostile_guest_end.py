# Copyright (c) 2026, the netless.qga authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A hostile end of forwards in the guest: it reaches nothing else, takes bounded memory and cannot hang the task."""

from __future__ import annotations

import socket
import threading
import time
import typing as t

import pytest

from ansible_collections.netless.qga.plugins.module_utils._deadline import Deadline
from ansible_collections.netless.qga.plugins.module_utils._guest.forwards import forwarder as forwarders
from ansible_collections.netless.qga.plugins.module_utils._guest.forwards import session as sessions
from ansible_collections.netless.qga.plugins.module_utils._guest.forwards.destinations import Forward
from ansible_collections.netless.qga.plugins.module_utils._guest.forwards.forwarder import Forwarder
from ansible_collections.netless.qga.plugins.module_utils._guest.forwards.guest_end import GuestEnd
from ansible_collections.netless.qga.plugins.module_utils._guest.forwards.program.frames import (
    DATA,
    PING,
    RST,
    SYN,
    WINDOW_UPDATE,
    Frame,
    encode,
)
from ansible_collections.netless.qga.plugins.module_utils._guest.forwards.program.multiplexer import MAX_STREAMS
from ansible_collections.netless.qga.plugins.module_utils._guest.forwards.session import ForwardSession
from ansible_collections.netless.qga.plugins.module_utils.errors import OutcomeUnknown, ProtocolViolation

PORT = 3128
LISTENING = encode(Frame(PING, 2, 0, 1))


def opened(stream: int, data: bytes = PORT.to_bytes(2, "big")) -> bytes:
    """Return what opens a stream."""
    return encode(Frame(WINDOW_UPDATE, SYN, stream)) + encode(Frame(DATA, 0, stream, data=data))


class HostileLink:
    """The link to a guest that sends what the test wants, whatever it receives."""

    room = 1_000_000
    is_nearly_full = False

    def __init__(self, sends: t.Callable[[], bytes]) -> None:
        self._sends = sends
        self.is_confirmed = True
        self.sent = 0
        self.longest = 0.0

    def open(self, deadline: Deadline) -> None:
        pass

    def close(self) -> None:
        pass

    def confirm(self, ping: int) -> None:
        pass

    def exchange(self, data: bytes, ping: int, deadline: Deadline) -> bytes:
        self.sent += len(data)
        self.longest = max(self.longest, deadline.remaining())
        return self._sends()


class QuietAgent:
    """As much of an agent as a session needs."""

    endpoint = "unix:/run/vms/web1.sock"
    chunk = reply_chunk = 1_000_000

    def sleep(self, seconds: float, deadline: Deadline) -> None:
        deadline.sleep(seconds)


class Hostile:
    """A session with a hostile guest."""

    def __init__(self, *answers: bytes, forever: bytes = b"") -> None:
        self._answers = [LISTENING, *answers]
        self._forever = forever
        self.lines: list[str] = []
        link: t.Any = HostileLink(self._next)
        agent: t.Any = QuietAgent()
        self.link = link
        self.session = ForwardSession(agent, link, [Forward(PORT, "127.0.0.1", 9)], self.lines.append)

    def _next(self) -> bytes:
        return self._answers.pop(0) if self._answers else self._forever

    def turns(self, count: int) -> None:
        for dummy in range(count):
            self.session.turn(Deadline.after(60))
            self.session.wait(Deadline.after(1))


@pytest.fixture(name="connected")
def fixture_connected(monkeypatch: pytest.MonkeyPatch) -> t.Iterator[list[t.Any]]:
    """Return where the controller connects to; nobody answers there until the end of the test."""
    connected: list[t.Any] = []
    end = threading.Event()

    def connect(address: t.Any, **dummy: t.Any) -> t.Any:
        connected.append(address)
        end.wait(30)
        raise ConnectionRefusedError

    monkeypatch.setattr(socket, "create_connection", connect)
    yield connected
    end.set()


@pytest.mark.parametrize("port", [0, 1, 22, PORT + 1, 65535])
def test_only_the_ports_of_forwards_lead_anywhere(connected: list[t.Any], port: int) -> None:
    hostile = Hostile(opened(2, port.to_bytes(2, "big") + b"GET /"))
    hostile.session.start(Deadline.after(5))
    hostile.turns(5)
    assert connected == []
    assert hostile.lines == [f"FORWARD refused: the guest asks for port {port}, which is not one of the forwards"]


@pytest.mark.parametrize(("seconds", "longest"), [(5, 5), (0, 2), (3600, 30)])
def test_agent_that_is_silent_holds_a_command_no_longer_than_its_deadline(seconds: float, longest: float) -> None:
    hostile = Hostile()
    hostile.session.start(Deadline.after(5))
    hostile.link.longest = 0.0
    for dummy in range(5):
        hostile.session.turn(Deadline.after(seconds))
        hostile.session.wait(Deadline.after(1))
    assert longest - 1 < hostile.link.longest <= longest


def test_destination_is_the_one_named_whatever_the_guest_sends(connected: list[t.Any]) -> None:
    hostile = Hostile(opened(2, PORT.to_bytes(2, "big") + b"CONNECT 192.0.2.1:22 HTTP/1.1\r\n\r\n"))
    hostile.session.start(Deadline.after(5))
    hostile.turns(5)
    assert connected == [("127.0.0.1", 9)]


@pytest.mark.parametrize(
    "data",
    [
        b"HTTP/1.1 200 OK\r\n\r\n",
        b"\xff" * 100,
        encode(Frame(DATA, 0, 2, data=b"x")),
        encode(Frame(WINDOW_UPDATE, SYN, 3)),
        opened(2, bytes(60_000)) + encode(Frame(DATA, 0, 2, data=bytes(60_000))) * 60,
    ],
)
def test_breach_of_the_protocol_ends_the_session(connected: list[t.Any], data: bytes) -> None:
    hostile = Hostile(data)
    hostile.session.start(Deadline.after(5))
    with pytest.raises(ProtocolViolation, match="the guest's end of the remote forwards"):
        hostile.turns(5)
    hostile.session.close()


def test_streams_that_come_and_go_take_bounded_memory_and_threads(connected: list[t.Any]) -> None:
    # pylint: disable=protected-access
    streams = iter(range(2, 10_000, 2))
    hostile = Hostile(
        *(
            b"".join(
                opened(stream) + encode(Frame(DATA, 0, stream, data=bytes(50_000)))
                for stream, dummy in zip(streams, range(20))
            )
            for dummy in range(5)
        )
    )
    hostile.session.start(Deadline.after(5))
    hostile.turns(10)
    session: t.Any = hostile.session._dialer
    known = [connection.stream for connection in session.relay.connections]
    resets = [b"".join(encode(Frame(WINDOW_UPDATE, RST, stream)) for stream in known)]
    for dummy in range(50):
        new = [next(streams) for dummy in range(20)]
        resets += [b"".join(map(opened, new))]
        hostile._answers += [*resets]
        resets = [b"".join(encode(Frame(WINDOW_UPDATE, RST, stream)) for stream in new)]
        hostile.turns(3)
    assert len(session._waiting) <= MAX_STREAMS and len(session._new) <= MAX_STREAMS
    assert len(session._connecting) <= 32 and len(connected) <= 32
    assert sum(len(connection.unsent) for connection, *dummy in session._connecting) == 0
    hostile.session.close()


def test_guest_that_confirms_nothing_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sessions, "_CONFIRM_TIMEOUT", 0.2)
    hostile = Hostile()
    hostile.session.start(Deadline.after(5))
    hostile.link.is_confirmed = False
    with pytest.raises(OutcomeUnknown, match="does not answer"):
        hostile.turns(1000)


def test_guest_that_never_listens_is_given_up() -> None:
    hostile = Hostile()
    hostile._answers.clear()  # pylint: disable=protected-access
    started = time.monotonic()
    with pytest.raises(OutcomeUnknown, match="does not answer"):
        hostile.session.start(Deadline.after(0.3))
    assert time.monotonic() - started < 30


@pytest.mark.parametrize("forever", [b"", encode(Frame(PING, SYN, 0, 7)) * 1000])
def test_end_of_a_command_does_not_wait_for_the_guest(monkeypatch: pytest.MonkeyPatch, forever: bytes) -> None:
    monkeypatch.setattr(sessions, "_STOP_TIMEOUT", 0.3)
    hostile = Hostile(forever=forever)
    hostile.session.start(Deadline.after(5))
    started = time.monotonic()
    with pytest.raises(OutcomeUnknown, match="does not stop listening"):
        hostile.session.stop()
    assert time.monotonic() - started < 30


def test_guest_that_sends_forever_does_not_hold_up_the_polls(monkeypatch: pytest.MonkeyPatch) -> None:
    hostile = Hostile(forever=encode(Frame(PING, SYN, 0, 7)) * 1000)
    hostile.session.start(Deadline.after(5))
    agent: t.Any = QuietAgent()
    files: t.Any = None
    forwarder = Forwarder("guest", agent, files, [])
    forwarder._session = hostile.session  # pylint: disable=protected-access
    for dummy in range(5):
        started = time.monotonic()
        forwarder._wait(0.05, Deadline.after(10))  # pylint: disable=protected-access
        assert time.monotonic() - started < 5
    assert hostile.session._multiplexer.backlog < 1_000_000  # pylint: disable=protected-access


def test_lost_session_is_a_warning_and_not_an_error(connected: list[t.Any], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(forwarders, "_RETRY_AFTER", 60.0)
    hostile = Hostile(forever=b"\xff" * 100)
    hostile.session.start(Deadline.after(5))
    agent: t.Any = QuietAgent()
    files: t.Any = None
    warnings: list[str] = []
    forwarder = Forwarder("guest", agent, files, [], warn=warnings.append)
    forwarder._session = hostile.session  # pylint: disable=protected-access
    forwarder._retry_after = 60.0  # pylint: disable=protected-access
    for dummy in range(3):
        forwarder._wait(0.05, Deadline.after(10))  # pylint: disable=protected-access
    assert len(warnings) == 1 and "were interrupted" in warnings[0]


@pytest.mark.parametrize(
    "content",
    [
        {},
        {"name": 1, "base": "/dev/shm", "slots": 16, "page": 4096},
        {"name": "n", "base": "/dev/shm", "slots": "16", "page": 4096},
        {"name": "n", "base": "/dev/shm", "slots": 16, "page": 4096, "more": 1},
        {"retry_at": 1.0},
    ],
)
def test_record_of_something_else_is_no_program(content: dict[str, t.Any]) -> None:
    assert GuestEnd.from_dict(content) is None
