# Copyright (c) 2026, the netless.qga authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Reading and writing with a deadline, on real pipes and sockets."""

from __future__ import annotations

import os
import pty
import socket
import struct
import threading
import typing as t

import pytest

from ansible_collections.netless.qga.plugins.module_utils._deadline import Deadline
from ansible_collections.netless.qga.plugins.module_utils._transports import descriptor


@pytest.fixture(name="pair")
def fixture_pair() -> t.Iterator[tuple[socket.socket, socket.socket]]:
    """Two sockets that are connected."""
    ours, theirs = socket.socketpair()
    ours.setblocking(False)
    with ours, theirs:
        yield ours, theirs


def test_receives_what_there_is(pair: tuple[socket.socket, socket.socket]) -> None:
    ours, theirs = pair
    theirs.sendall(b"some")
    assert descriptor.receive(ours.fileno(), Deadline.after(30)) == b"some"
    theirs.close()
    assert descriptor.receive(ours.fileno(), Deadline.after(30)) == b""


def test_waits_until_the_deadline(pair: tuple[socket.socket, socket.socket]) -> None:
    ours, dummy = pair
    deadline = Deadline.after(0.05)
    with pytest.raises(TimeoutError):
        descriptor.receive(ours.fileno(), deadline)
    assert deadline.passed


def test_takes_what_is_there_when_the_deadline_has_passed(pair: tuple[socket.socket, socket.socket]) -> None:
    ours, theirs = pair
    theirs.sendall(b"some")
    assert descriptor.receive(ours.fileno(), Deadline.after(-1)) == b"some"


def test_sends_more_than_fits_at_a_time(pair: tuple[socket.socket, socket.socket]) -> None:
    ours, theirs = pair
    data = os.urandom(3_000_000)
    received = bytearray()

    def read() -> None:
        while len(received) < len(data):
            received.extend(theirs.recv(100_000))

    reader = threading.Thread(target=read)
    reader.start()
    descriptor.send(ours.fileno(), data, Deadline.after(30))
    reader.join()
    assert received == data


def test_gives_up_sending_at_the_deadline(pair: tuple[socket.socket, socket.socket]) -> None:
    ours, dummy = pair
    with pytest.raises(TimeoutError):
        descriptor.send(ours.fileno(), bytes(10_000_000), Deadline.after(0.05))


def test_says_that_nobody_reads(pair: tuple[socket.socket, socket.socket]) -> None:
    ours, theirs = pair
    theirs.close()
    with pytest.raises(ConnectionError):
        descriptor.send(ours.fileno(), b"some", Deadline.after(30))


def test_takes_a_reset_for_the_end() -> None:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen()
        with socket.create_connection(listener.getsockname()) as ours:
            theirs, dummy = listener.accept()
            theirs.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            theirs.close()
            ours.setblocking(False)
            assert descriptor.receive(ours.fileno(), Deadline.after(30)) == b""


def test_takes_a_terminal_without_the_other_side_for_the_end() -> None:
    # A serial port whose VM is gone answers EIO.
    controller, terminal = pty.openpty()
    os.set_blocking(controller, False)
    os.close(terminal)
    try:
        assert descriptor.receive(controller, Deadline.after(30)) == b""
    finally:
        os.close(controller)


def test_waits_on_when_somebody_else_was_faster(
    pair: tuple[socket.socket, socket.socket], monkeypatch: pytest.MonkeyPatch
) -> None:
    ours, theirs = pair
    theirs.sendall(b"for another")
    read = os.read

    def read_too_late(number: int, size: int) -> bytes:
        monkeypatch.undo()
        assert read(number, size) == b"for another"
        theirs.sendall(b"for us")
        raise BlockingIOError

    monkeypatch.setattr(os, "read", read_too_late)
    assert descriptor.receive(ours.fileno(), Deadline.after(30)) == b"for us"
