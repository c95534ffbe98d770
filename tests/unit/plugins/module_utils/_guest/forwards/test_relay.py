# Copyright (c) 2026, the netless.qga authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Sockets and their streams: every byte arrives, ends and resets pass on, and a slow reader stops the sender."""

from __future__ import annotations

import contextlib
import os
import socket
import time
import typing as t

import pytest

from ansible_collections.netless.qga.plugins.module_utils._guest.forwards.program import multiplexer as rules
from ansible_collections.netless.qga.plugins.module_utils._guest.forwards.program import relay as relays
from ansible_collections.netless.qga.plugins.module_utils._guest.forwards.program.multiplexer import Multiplexer
from ansible_collections.netless.qga.plugins.module_utils._guest.forwards.program.relay import Connection, Relay


class Pair:
    """Two relays whose sessions are connected, and one stream between them with a program at each end."""

    def __init__(self) -> None:
        self.ends = (Multiplexer(is_client=False), Multiplexer(is_client=True))
        self.closed: list[Connection] = []
        self.relays = (Relay(self.ends[0]), Relay(self.ends[1], self._opened, self.closed.append))
        self.near, near = socket.socketpair()
        self.far, self._far = socket.socketpair()
        for program in (self.near, self.far):
            program.setblocking(False)
        self.relays[0].attach(self.ends[0].open(), near)

    def _opened(self, connection: Connection) -> None:
        self.relays[1].attach(connection.stream, self._far)

    def carry(self) -> None:
        """Do once what both ends do all the time."""
        for side in (0, 1):
            self.relays[side].run(0)
            for event in self.ends[1 - side].receive_data(self.ends[side].take(100_000)[0]):
                self.relays[1 - side].handle(event)

    def carry_until(self, condition: t.Callable[[], t.Any]) -> None:
        end = time.monotonic() + 20
        while not condition():
            assert time.monotonic() < end, "that takes too long"
            self.carry()

    def read(self, program: socket.socket, size: int) -> bytes:
        """Read so many bytes, or until the end, while both ends run."""
        data = b""
        end = time.monotonic() + 20
        while len(data) < size:
            assert time.monotonic() < end, "that takes too long"
            self.carry()
            with contextlib.suppress(BlockingIOError):
                received = program.recv(size - len(data))
                if not received:
                    break
                data += received
        return data


@pytest.fixture(name="pair")
def fixture_pair() -> t.Iterator[Pair]:
    pair = Pair()
    yield pair
    for relay in pair.relays:
        relay.close()
    pair.near.close()
    pair.far.close()


def test_bytes_arrive_in_both_directions(pair: Pair) -> None:
    for source, target in ((pair.near, pair.far), (pair.far, pair.near)):
        content, received = os.urandom(3_000_000), b""
        rest = memoryview(content)
        while len(received) < len(content):
            with contextlib.suppress(BlockingIOError):
                rest = rest[source.send(rest) :]
            received += pair.read(target, min(50_000, len(content) - len(rest) - len(received)))
        assert received == content


def test_end_of_one_direction_leaves_the_other_one_open(pair: Pair) -> None:
    pair.near.send(b"request")
    pair.near.shutdown(socket.SHUT_WR)
    assert pair.read(pair.far, 100) == b"request"
    pair.far.send(b"reply")
    assert pair.read(pair.near, 5) == b"reply"
    pair.far.close()
    assert pair.read(pair.near, 1) == b""
    assert not pair.ends[0].streams and not pair.ends[1].streams
    assert [(connection.sent, connection.received) for connection in pair.closed] == [(7, 5)]


def test_program_that_goes_away_resets_the_other_side(pair: Pair) -> None:
    pair.near.send(b"request")
    assert pair.read(pair.far, 7) == b"request"
    pair.near.close()
    pair.carry()
    pair.far.send(b"reply that nobody takes")
    pair.carry_until(lambda: pair.closed)
    assert not pair.ends[0].streams and not pair.ends[1].streams


def test_sender_waits_for_a_reader_that_does_not_read(pair: Pair) -> None:
    sent = 0
    for dummy in range(2000):
        with contextlib.suppress(BlockingIOError):
            sent += pair.near.send(bytes(100_000))
        pair.carry()
        (connection,) = pair.relays[1].connections
        # pylint: disable-next=protected-access
        assert len(connection.unsent) <= rules._LARGE_WINDOW
        # pylint: disable-next=protected-access
        assert pair.ends[0].backlog <= relays._MAX_BACKLOG + relays._READ_SIZE + 10_000
    assert sent < 10_000_000
    assert len(pair.read(pair.far, sent)) == sent


def test_what_came_before_the_destination_was_connected_is_kept() -> None:
    ends = (Multiplexer(is_client=False), Multiplexer(is_client=True))
    opened: list[Connection] = []
    relay = Relay(ends[1], opened.append)
    stream = ends[0].open()
    ends[0].send(stream, b"early")
    ends[0].end(stream)
    for event in ends[1].receive_data(ends[0].take(1000)[0]):
        relay.handle(event)
    near, far = socket.socketpair()
    relay.attach(opened[0].stream, near)
    assert far.recv(100) == b"early" and far.recv(100) == b""
    relay.close()
    far.close()
