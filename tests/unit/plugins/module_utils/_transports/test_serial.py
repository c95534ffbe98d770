# Copyright (c) 2026, the netless.qga authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Serial devices, with pseudo-terminals in their place: modes, locks and errors."""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import pathlib
import select
import socket
import tempfile
import termios
import threading
import tty
import typing as t

import pytest

from ansible_collections.netless.qga.plugins.module_utils._channels.channel import Call
from ansible_collections.netless.qga.plugins.module_utils._channels.stream_channel import StreamChannel
from ansible_collections.netless.qga.plugins.module_utils._deadline import Deadline
from ansible_collections.netless.qga.plugins.module_utils._transports.serial import SerialConnector
from ansible_collections.netless.qga.plugins.module_utils.errors import (
    AgentSilent,
    ChannelClosed,
    EndpointBusy,
    UnreachableReason,
)
from ansible_collections.netless.qga.plugins.module_utils.framing.events import Answer
from ansible_collections.netless.qga.tests.guests.scripted_agent import ScriptedAgent
from ansible_collections.netless.qga.tests.unit.plugins.module_utils._transports.connector_checks import failure_message
from ansible_collections.netless.qga.tests.unit.plugins.module_utils._transports.ordinary_user import as_nobody

EVERY_BYTE = bytes(range(256))


class Line(t.NamedTuple):
    """A terminal and its other side, where the guest would be."""

    guest: int
    path: str


@pytest.fixture(name="line")
def fixture_line() -> t.Iterator[Line]:
    """Open a terminal in its usual mode: it echoes, it translates, and Ctrl-C is a signal."""
    guest, terminal = os.openpty()
    try:
        yield Line(guest, os.ttyname(terminal))
    finally:
        os.close(terminal)
        with contextlib.suppress(OSError):
            os.close(guest)


@contextlib.contextmanager
def relayed(line: Line, path: str) -> t.Iterator[None]:
    """Relay between the guest's side of a line and a socket."""
    with socket.socket(socket.AF_UNIX) as agent:
        agent.connect(path)
        ended, end = os.pipe()

        def relay() -> None:
            while True:
                ready = select.select([line.guest, agent.fileno(), ended], [], [])[0]
                if ended in ready:
                    return
                if line.guest in ready:
                    agent.sendall(os.read(line.guest, 4096))
                if agent.fileno() in ready:
                    os.write(line.guest, agent.recv(4096))

        thread = threading.Thread(target=relay)
        thread.start()
        try:
            yield
        finally:
            os.close(end)
            thread.join()
            os.close(ended)


def settings_of(path: str) -> list[t.Any]:
    device = os.open(path, os.O_RDWR | os.O_NOCTTY)
    try:
        return termios.tcgetattr(device)
    finally:
        os.close(device)


def test_every_byte_passes_unchanged(line: Line) -> None:
    transport = SerialConnector(line.path).connect(Deadline.after(30))
    # 0xFF is what a sync depends on; a terminal that marks parity errors would double it.
    for data in (EVERY_BYTE, b"\xff" * 100, b"\r\n\x03\x04\x11\x13\x1a"):
        transport.send(data, Deadline.after(30))
        assert os.read(line.guest, 1000) == data
        os.write(line.guest, data)
        assert transport.receive(Deadline.after(30)) == data
    with pytest.raises(TimeoutError):
        # Nothing was echoed.
        transport.receive(Deadline.after(0.05))
    transport.close()


@pytest.mark.parametrize("mode", ["usual", "parity marked", "seven bits"])
def test_device_is_raw_while_open_and_restored_on_close(line: Line, mode: str) -> None:
    device = os.open(line.path, os.O_RDWR | os.O_NOCTTY)
    settings = termios.tcgetattr(device)
    if mode == "parity marked":
        settings[tty.IFLAG] |= termios.PARMRK | termios.INPCK
    elif mode == "seven bits":
        settings[tty.IFLAG] |= termios.ISTRIP
        settings[tty.CFLAG] |= termios.HUPCL
    settings[tty.ISPEED] = settings[tty.OSPEED] = termios.B9600
    termios.tcsetattr(device, termios.TCSANOW, settings)
    os.close(device)
    before = settings_of(line.path)
    transport = SerialConnector(line.path).connect(Deadline.after(30))
    during = settings_of(line.path)
    assert during != before
    assert during[tty.IFLAG] == during[tty.OFLAG] == during[tty.LFLAG] == 0
    assert during[tty.CFLAG] & termios.CSIZE == termios.CS8
    assert during[tty.CFLAG] & termios.CLOCAL and not during[tty.CFLAG] & termios.HUPCL
    # The connector cannot know the speed of the line, so it keeps what is set.
    assert during[tty.ISPEED] == during[tty.OSPEED] == termios.B9600
    transport.close()
    assert settings_of(line.path) == before
    transport.close()


def test_lock_key_is_the_same_under_every_name(line: Line, tmp_path: pathlib.Path) -> None:
    (tmp_path / "link").symlink_to(line.path)
    link = SerialConnector(str(tmp_path / "link"))
    assert link.lock_key == SerialConnector(line.path).lock_key
    link.connect(Deadline.after(30)).close()


def test_agent_answers_on_a_line(line: Line) -> None:
    agent = ScriptedAgent("stale")
    with agent.listening() as path, relayed(line, path):
        for dummy in range(2):
            channel = StreamChannel(SerialConnector(line.path))
            (outcome,) = channel.exchange([Call("guest-ping")], Deadline.after(30))
            assert isinstance(outcome, Answer)
            channel.close()


def test_connect_waits_until_the_device_is_not_locked(line: Line) -> None:
    first = SerialConnector(line.path).connect(Deadline.after(30))
    with pytest.raises(EndpointBusy, match=f"^serial:{line.path}: another program has the device locked.*fuser"):
        SerialConnector(line.path).connect(Deadline.after(0.1))
    # As in a process that was forked meanwhile, which must not keep the lock.
    copy = os.dup(first._device)  # pylint: disable=protected-access
    first.close()
    SerialConnector(line.path).connect(Deadline.after(30)).close()
    os.close(copy)


def test_locked_device_is_left_unchanged(line: Line) -> None:
    before = settings_of(line.path)
    holder = os.open(line.path, os.O_RDWR | os.O_NOCTTY)
    fcntl.flock(holder, fcntl.LOCK_EX)
    with pytest.raises(EndpointBusy):
        SerialConnector(line.path).connect(Deadline.after(0.1))
    assert settings_of(line.path) == before
    os.close(holder)


def test_error_when_no_agent_answers(line: Line) -> None:
    transport = SerialConnector(line.path).connect(Deadline.after(30))
    error = transport.no_reply_error()
    assert isinstance(error, AgentSilent) and "--method=isa-serial" in str(error)
    transport.close()


def test_closed_other_side_is_noticed(line: Line) -> None:
    transport = SerialConnector(line.path).connect(Deadline.after(30))
    os.close(line.guest)
    assert transport.receive(Deadline.after(30)) == b""
    with pytest.raises(ConnectionError):
        transport.send(b"some", Deadline.after(30))
    error = transport.closed_error()
    assert isinstance(error, ChannelClosed) and "the other side of the line is gone" in str(error)
    assert error.reason is UnreachableReason.CLOSED
    transport.close()


def test_send_gives_up_at_the_deadline_and_close_does_not_wait(line: Line) -> None:
    transport = SerialConnector(line.path).connect(Deadline.after(30))
    with pytest.raises(TimeoutError):
        transport.send(bytes(1_000_000), Deadline.after(0.05))
    transport.close()


def test_path_that_is_not_a_serial_device(tmp_path: pathlib.Path) -> None:
    (tmp_path / "file").touch()
    assert "no such device" in failure_message(
        SerialConnector(str(tmp_path / "missing")), reason=UnreachableReason.ABSENT
    )
    for path in (str(tmp_path / "file"), str(tmp_path), "/dev/null"):
        assert "not a serial device" in failure_message(SerialConnector(path))


@pytest.mark.parametrize(
    ("number", "reason"),
    [
        (errno.ENXIO, UnreachableReason.ABSENT),
        (errno.ENODEV, UnreachableReason.ABSENT),
        (errno.EIO, UnreachableReason.REFUSED),
    ],
)
def test_device_without_hardware(monkeypatch: pytest.MonkeyPatch, number: int, reason: UnreachableReason) -> None:
    def fail(path: str, flags: int) -> t.NoReturn:
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(os, "open", fail)
    assert "no hardware behind the device" in failure_message(SerialConnector("/dev/ttyS9"), reason=reason)


def test_device_without_settings_proves_nothing(monkeypatch: pytest.MonkeyPatch, line: Line) -> None:
    def fail(device: int) -> t.NoReturn:
        raise termios.error(errno.EIO, os.strerror(errno.EIO))

    monkeypatch.setattr(termios, "tcgetattr", fail)
    text = failure_message(SerialConnector(line.path), reason=UnreachableReason.UNKNOWN)
    assert "no hardware behind the device" in text


def test_missing_permission() -> None:
    # Not in the directory of the test, which other users may not enter.
    with tempfile.TemporaryDirectory(dir="/tmp") as directory:
        os.chmod(directory, 0o711)
        path = pathlib.Path(directory, "device")
        path.touch(0)
        with as_nobody():
            assert "permission denied. Run Ansible as a user who may" in failure_message(SerialConnector(str(path)))


def test_failed_connect_closes_the_device(tmp_path: pathlib.Path) -> None:
    (tmp_path / "file").touch()
    before = os.listdir("/proc/self/fd")
    failure_message(SerialConnector(str(tmp_path / "file")))
    assert os.listdir("/proc/self/fd") == before
