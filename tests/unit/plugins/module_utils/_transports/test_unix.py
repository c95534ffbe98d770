# Copyright (c) 2026, the netless.qga authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Unix sockets that can and cannot be connected to, and the errors for the latter."""

from __future__ import annotations

import errno
import os
import pathlib
import socket
import tempfile
import typing as t

import pytest

from ansible_collections.netless.qga.plugins.module_utils._deadline import Deadline
from ansible_collections.netless.qga.plugins.module_utils._transports.unix import UnixConnector
from ansible_collections.netless.qga.plugins.module_utils.errors import (
    AgentSilent,
    EndpointBusy,
    UnreachableReason,
)
from ansible_collections.netless.qga.tests.unit.plugins.module_utils._transports.connector_checks import (
    check_both_ways,
    failure_message,
)
from ansible_collections.netless.qga.tests.unit.plugins.module_utils._transports.ordinary_user import as_nobody


@pytest.fixture(name="listener")
def fixture_listener(tmp_path: pathlib.Path) -> t.Iterator[socket.socket]:
    """Listen on ``s`` in the test's directory."""
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(tmp_path / "s"))
        listener.listen(1)
        yield listener


def test_path_that_does_not_exist_or_is_too_long(tmp_path: pathlib.Path) -> None:
    assert "no such socket" in failure_message(
        UnixConnector(str(tmp_path / "missing")), reason=UnreachableReason.ABSENT
    )
    (tmp_path / "file").touch()
    assert "no such socket" in failure_message(UnixConnector(str(tmp_path / "file" / "s")))
    assert "longer than the 107 bytes" in failure_message(UnixConnector("/" + "x" * 107))
    assert "no such socket" in failure_message(UnixConnector("/" + "x" * 106), reason=UnreachableReason.ABSENT)
    # The limit is in bytes.
    assert "longer than the 107 bytes" in failure_message(UnixConnector("/" + "é" * 54))


def test_socket_that_nobody_listens_on(tmp_path: pathlib.Path) -> None:
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(tmp_path / "s"))
    assert "nobody listens" in failure_message(UnixConnector(str(tmp_path / "s")), reason=UnreachableReason.LEFT_BEHIND)


def test_socket_of_another_kind(tmp_path: pathlib.Path) -> None:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as other:
        other.bind(str(tmp_path / "s"))
        assert "not a stream socket" in failure_message(UnixConnector(str(tmp_path / "s")))


def test_path_that_is_not_a_socket(tmp_path: pathlib.Path) -> None:
    # Linux gives the same error for a file as for a socket without a server.
    (tmp_path / "file").touch()
    assert "nobody listens" in failure_message(UnixConnector(str(tmp_path / "file")), reason=UnreachableReason.UNKNOWN)


@pytest.mark.parametrize(
    ("number", "reason"),
    [
        (errno.ECONNRESET, UnreachableReason.REFUSED),
        (errno.EIO, UnreachableReason.REFUSED),
        (errno.ENXIO, UnreachableReason.ABSENT),
        (errno.EPERM, UnreachableReason.UNKNOWN),
    ],
)
def test_other_errors_of_connect(
    monkeypatch: pytest.MonkeyPatch, tmp_path: pathlib.Path, number: int, reason: UnreachableReason
) -> None:
    def fail(channel: socket.socket, path: str) -> t.NoReturn:
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(socket.socket, "connect", fail)
    failure_message(UnixConnector(str(tmp_path / "s")), reason=reason)
    (tmp_path / "s").touch()
    failure_message(UnixConnector(str(tmp_path / "s")), reason=UnreachableReason.UNKNOWN)


def test_missing_permission() -> None:
    # Not in the directory of the test, which other users may not enter.
    with tempfile.TemporaryDirectory(dir="/tmp") as directory, socket.socket(socket.AF_UNIX) as listener:
        os.chmod(directory, 0o711)
        listener.bind(f"{directory}/s")
        os.chmod(f"{directory}/s", 0)
        listener.listen(1)
        with as_nobody():
            text = failure_message(UnixConnector(f"{directory}/s"))
    assert "permission denied. Run Ansible as a user who may" in text


def test_lock_key_is_the_same_under_every_name(listener: socket.socket, tmp_path: pathlib.Path) -> None:
    (tmp_path / "link").symlink_to("s")
    names = [str(tmp_path / "s"), str(tmp_path / "link"), f"{tmp_path}//./s", os.path.relpath(tmp_path / "s")]
    assert len({UnixConnector(name).lock_key for name in names}) == 1
    assert UnixConnector(names[0]).lock_key != UnixConnector(str(tmp_path / "other")).lock_key


def test_bytes_pass_both_ways(listener: socket.socket, tmp_path: pathlib.Path) -> None:
    check_both_ways(UnixConnector(str(tmp_path / "s")), listener)


def test_held_socket_is_distinguished_from_a_silent_agent(listener: socket.socket, tmp_path: pathlib.Path) -> None:
    transport = UnixConnector(str(tmp_path / "s")).connect(Deadline.after(30))
    error = transport.no_reply_error()
    assert isinstance(error, EndpointBusy) and "another client holds the socket" in str(error)
    server, dummy = listener.accept()
    with server:
        error = transport.no_reply_error()
        assert isinstance(error, AgentSilent) and "no guest agent answers" in str(error)
    transport.close()


@pytest.mark.parametrize("bound", ["{}/web2/agent.sock", "agent.sock"])
def test_another_socket_of_the_same_name_does_not_count(
    tmp_path: pathlib.Path, bound: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    # libvirt names the agent sockets of all its domains alike.
    for name in ("web1", "web2"):
        (tmp_path / name).mkdir()
    monkeypatch.chdir(tmp_path / "web2")
    with (
        socket.socket(socket.AF_UNIX) as ours,
        socket.socket(socket.AF_UNIX) as other,
        socket.socket(socket.AF_UNIX) as waiting,
    ):
        other.bind(bound.format(tmp_path))
        other.listen(1)
        waiting.connect(str(tmp_path / "web2" / "agent.sock"))
        monkeypatch.chdir(tmp_path / "web1")
        ours.bind("agent.sock")
        ours.listen(1)
        transport = UnixConnector(str(tmp_path / "web1" / "agent.sock")).connect(Deadline.after(30))
        assert isinstance(transport.no_reply_error(), EndpointBusy)
        with ours.accept()[0]:
            assert isinstance(transport.no_reply_error(), AgentSilent)
        transport.close()


def test_silence_is_reported_where_the_kernel_does_not_show_the_queue(
    listener: socket.socket, tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    transport = UnixConnector(str(tmp_path / "s")).connect(Deadline.after(30))
    monkeypatch.delattr(socket, "AF_NETLINK")
    error = transport.no_reply_error()
    assert isinstance(error, AgentSilent) and "If another client holds the socket" in str(error)
    transport.close()


def test_connect_waits_for_a_place_in_the_queue(tmp_path: pathlib.Path) -> None:
    path = str(tmp_path / "s")
    with socket.socket(socket.AF_UNIX) as listener, socket.socket(socket.AF_UNIX) as first:
        listener.bind(path)
        listener.listen(0)
        first.connect(path)
        with pytest.raises(EndpointBusy):
            UnixConnector(path).connect(Deadline.after(0.1))
        listener.accept()[0].close()
        UnixConnector(path).connect(Deadline.after(30)).close()
