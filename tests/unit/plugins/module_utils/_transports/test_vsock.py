# Copyright (c) 2026, the netless.qga authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""vsock: endpoints of users, and connections as far as the machine has them: few have the kernel's vsock_loopback."""

from __future__ import annotations

import errno
import socket
import typing as t

import pytest

from ansible_collections.netless.qga.plugins.module_utils._transports.vsock import VsockConnector
from ansible_collections.netless.qga.plugins.module_utils.errors import (
    InvalidRequest,
    UnreachableReason,
)
from ansible_collections.netless.qga.tests.unit.plugins.module_utils._transports.connector_checks import (
    check_both_ways,
    failure_message,
)

LOOPBACK_CID = 1


@pytest.mark.parametrize(
    ("text", "cid", "port"), [("3:1234", 3, 1234), ("4294967294:4294967294", 2**32 - 2, 2**32 - 2), ("1:1", 1, 1)]
)
def test_parse_accepts_numbers(text: str, cid: int, port: int) -> None:
    connector = VsockConnector.parse(text)
    assert (connector.cid, connector.port) == (cid, port)
    assert connector.name == connector.lock_key == f"vsock:{text}"


@pytest.mark.parametrize(
    "text",
    [
        "3",
        "3:",
        ":1234",
        "any:1234",
        "-1:1234",
        "4294967295:1234",
        "3:4294967295",
        "0:1234",
        "3:0",
        "3:ssh",
        "0x3:1",
        "3:1:1",
        " 3:1",
    ],
)
def test_parse_refuses_what_is_not_a_guest(text: str) -> None:
    with pytest.raises(InvalidRequest, match="is not vsock:CID:PORT: both are numbers from 1 to 4294967294"):
        VsockConnector.parse(text)


def test_machine_without_vsock(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr(socket, "AF_VSOCK", raising=False)
    assert "this machine has no vsock" in failure_message(VsockConnector(3, 1234))


def test_guest_that_does_not_exist() -> None:
    # The text depends on the parts of vsock that the machine has.
    assert not failure_message(VsockConnector(2**32 - 2, 1234), reason=None).endswith(": ")


@pytest.mark.parametrize(
    ("number", "expected", "reason"),
    [
        (errno.ENODEV, "there is no VM of this CID", UnreachableReason.ABSENT),
        (errno.ECONNRESET, "nobody listens on the port in the guest", UnreachableReason.REFUSED),
        (errno.ETIMEDOUT, "nothing answers", UnreachableReason.UNKNOWN),
        (errno.EACCES, "permission denied", UnreachableReason.UNKNOWN),
        (errno.EAFNOSUPPORT, "this machine has no vsock", UnreachableReason.UNKNOWN),
    ],
)
def test_error_of_the_kernel_is_explained(
    monkeypatch: pytest.MonkeyPatch, number: int, expected: str, reason: UnreachableReason
) -> None:
    # As on a host with a guest; a socket of another family replaces it on a machine without vsock.
    monkeypatch.setattr(socket, "AF_VSOCK", socket.AF_UNIX, raising=False)
    monkeypatch.setattr(socket.socket, "connect_ex", lambda channel, address: number)
    assert expected in failure_message(VsockConnector(3, 1234), reason=reason)


@pytest.fixture(name="listener")
def fixture_listener(monkeypatch: pytest.MonkeyPatch) -> t.Iterator[socket.socket]:
    """Listen on vsock's loopback. Where there is none, TCP replaces it below connect(2)."""
    try:
        listener = socket.socket(socket.AF_VSOCK)
        listener.bind((LOOPBACK_CID, socket.VMADDR_PORT_ANY))
    except (AttributeError, OSError):
        listener = socket.create_server(("127.0.0.1", 0))
        usual, address = socket.socket.connect_ex, listener.getsockname()
        monkeypatch.setattr(socket, "AF_VSOCK", socket.AF_INET, raising=False)
        monkeypatch.setattr(socket.socket, "connect_ex", lambda channel, vsock_address: usual(channel, address))
    with listener:
        listener.listen(1)
        yield listener


def test_bytes_pass_both_ways(listener: socket.socket) -> None:
    check_both_ways(VsockConnector(LOOPBACK_CID, listener.getsockname()[1]), listener)
