# Copyright (c) 2026, the netless.qga authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Reads and writes with a deadline, on real pipes and sockets."""

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
    """Return two connected sockets."""
    ours, theirs = socket.socketpair()
    ours.setblocking(False)
    with ours, theirs:
        yield ours, theirs


def test_receive_returns_what_has_arrived_and_then_the_end(pair: tuple[socket.socket, socket.socket]) -> None:
    ours, theirs = pair
    theirs.sendall(b"some")
    assert descriptor.receive(ours.fileno(), Deadline.after(30)) == b"some"
    theirs.close()
    assert descriptor.receive(ours.fileno(), Deadline.after(30)) == b""


def test_receive_waits_until_the_deadline(pair: tuple[socket.socket, socket.socket]) -> None:
    ours, dummy = pair
    deadline = Deadline.after(0.05)
    with pytest.raises(TimeoutError):
        descriptor.receive(ours.fileno(), deadline)
    assert deadline.passed


def test_receive_returns_data_after_the_deadline(pair: tuple[socket.socket, socket.socket]) -> None:
    ours, theirs = pair
    theirs.sendall(b"some")
    assert descriptor.receive(ours.fileno(), Deadline.after(-1)) == b"some"


def test_send_writes_more_than_the_buffer_holds(pair: tuple[socket.socket, socket.socket]) -> None:
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


def test_send_gives_up_at_the_deadline(pair: tuple[socket.socket, socket.socket]) -> None:
    ours, dummy = pair
    with pytest.raises(TimeoutError):
        descriptor.send(ours.fileno(), bytes(10_000_000), Deadline.after(0.05))


def test_send_reports_a_closed_reader(pair: tuple[socket.socket, socket.socket]) -> None:
    ours, theirs = pair
    theirs.close()
    with pytest.raises(ConnectionError):
        descriptor.send(ours.fileno(), b"some", Deadline.after(30))


def test_receive_treats_a_reset_as_the_end() -> None:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen()
        with socket.create_connection(listener.getsockname()) as ours:
            theirs, dummy = listener.accept()
            theirs.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            theirs.close()
            ours.setblocking(False)
            assert descriptor.receive(ours.fileno(), Deadline.after(30)) == b""


def test_receive_treats_a_closed_terminal_as_the_end() -> None:
    # A serial port whose VM is gone answers EIO.
    controller, terminal = pty.openpty()
    os.set_blocking(controller, False)
    os.close(terminal)
    try:
        assert descriptor.receive(controller, Deadline.after(30)) == b""
    finally:
        os.close(controller)


def test_receive_waits_again_if_another_process_read_the_data(
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
