# Copyright (c) 2026, the netless.qga authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""TCP ports that can and cannot be connected to, on the loopback."""

from __future__ import annotations

import contextlib
import errno
import socket
import struct
import threading
import time
import typing as t

import pytest

from ansible_collections.netless.qga.plugins.module_utils._deadline import Deadline
from ansible_collections.netless.qga.plugins.module_utils._transports.tcp import TcpConnector
from ansible_collections.netless.qga.plugins.module_utils.errors import (
    AgentSilent,
    InvalidRequest,
    UnreachableReason,
)
from ansible_collections.netless.qga.tests.unit.plugins.module_utils._transports.connector_checks import (
    check_both_ways,
    failure_message,
)

ADDRESSES = ["127.0.0.1"]
with contextlib.suppress(OSError), socket.create_server(("::1", 0), family=socket.AF_INET6):
    ADDRESSES.append("::1")


@pytest.fixture(name="listener", params=ADDRESSES)
def fixture_listener(request: pytest.FixtureRequest) -> t.Iterator[socket.socket]:
    """Listen on the loopback."""
    family = socket.AF_INET6 if ":" in request.param else socket.AF_INET
    with socket.create_server((request.param, 0), family=family) as listener:
        yield listener


@pytest.fixture(name="free_port")
def fixture_free_port() -> int:
    """Return a port that nobody listens on."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return int(listener.getsockname()[1])


@pytest.mark.parametrize(
    ("text", "host", "port"),
    [
        ("127.0.0.1:4444", "127.0.0.1", 4444),
        ("hypervisor.example.com:1", "hypervisor.example.com", 1),
        ("[::1]:65535", "::1", 65535),
        ("[fe80::1%eth0]:4444", "fe80::1%eth0", 4444),
    ],
)
def test_parse_accepts_hosts_and_ports(text: str, host: str, port: int) -> None:
    connector = TcpConnector.parse(text)
    assert (connector.host, connector.port) == (host, port)
    assert connector.name == f"tcp:{text}"


@pytest.mark.parametrize(
    "text",
    [
        "host",
        "host:",
        ":4444",
        "host:0",
        "host:65536",
        "host:-1",
        "host:ssh",
        "host:44 ",
        "ho st:44",
        "::1:4444",
        "[::1]",
        "[]:4444",
        "host:4444,server=on",
        "host:\u0664\u0664",
        "host:4444\n",
    ],
)
def test_parse_refuses_other_text(text: str) -> None:
    with pytest.raises(InvalidRequest, match=r"is not tcp:HOST:PORT: .* like tcp:\[::1\]:4444$"):
        TcpConnector.parse(text)


def test_lock_key_is_the_same_for_every_notation_of_an_address() -> None:
    names = {TcpConnector(host, 1).lock_key for host in ("::1", "0:0::1", "0:0:0:0:0:0:0:1")}
    assert len(names) == 1
    assert TcpConnector("HV1", 1).lock_key == TcpConnector("hv1", 1).lock_key
    assert TcpConnector("hv1", 1).lock_key != TcpConnector("hv1", 2).lock_key


def test_bytes_pass_both_ways(listener: socket.socket) -> None:
    check_both_ways(TcpConnector(*listener.getsockname()[:2]), listener)


def test_socket_options_for_small_packets_and_vanished_peers(listener: socket.socket) -> None:
    transport = TcpConnector(*listener.getsockname()[:2]).connect(Deadline.after(30))
    channel = transport._socket  # pylint: disable=protected-access
    assert channel.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY) != 0
    assert channel.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE) != 0
    assert channel.getsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPIDLE) < 60
    transport.close()


def test_silent_agent_error_mentions_other_clients(listener: socket.socket) -> None:
    # The connection waits in the listener's queue, which looks from here like an agent that does not answer.
    transport = TcpConnector(*listener.getsockname()[:2]).connect(Deadline.after(30))
    error = transport.no_reply_error()
    assert isinstance(error, AgentSilent) and "if another one is connected, it is served first" in str(error)
    transport.close()


def test_port_that_nobody_listens_on(free_port: int) -> None:
    assert "nobody listens on the port" in failure_message(
        TcpConnector("127.0.0.1", free_port), reason=UnreachableReason.REFUSED
    )


def test_every_address_of_a_name_is_tried(monkeypatch: pytest.MonkeyPatch, free_port: int) -> None:
    # The answer of the system's resolver depends on the machine.
    with socket.create_server(("127.0.0.1", 0)) as listener:
        # The first of a family that the machine does not have, the second without a listener.
        families = {99: ("::1", 1), socket.AF_INET: ("127.0.0.1", free_port)}
        rows: list[t.Any] = [(family, socket.SOCK_STREAM, 6, "", address) for family, address in families.items()]
        rows.append((socket.AF_INET, socket.SOCK_STREAM, 6, "", listener.getsockname()))
        monkeypatch.setattr(socket, "getaddrinfo", lambda host, port, **options: rows)
        transport = TcpConnector("vms.example.com", 4444).connect(Deadline.after(30))
        server, dummy = listener.accept()
        server.close()
        transport.close()
    text = failure_message(TcpConnector("vms.example.com", 4444))
    assert text.count("nobody listens") == 1 and "not supported" in text


@pytest.mark.parametrize("host", ["no-such-host.invalid", "a..b", "x" * 64 + ".invalid"])
def test_unknown_host(host: str) -> None:
    assert "the host's name cannot be resolved: " in failure_message(TcpConnector(host, 4444))


def test_resolver_that_hangs_is_abandoned(monkeypatch: pytest.MonkeyPatch) -> None:
    answered = threading.Event()

    def hang(host: str, port: int, **options: t.Any) -> list[t.Any]:
        answered.wait(30)
        return []

    monkeypatch.setattr(socket, "getaddrinfo", hang)
    started = time.monotonic()
    assert "the name server did not answer in time" in failure_message(TcpConnector("vms.example.com", 4444), 0.1)
    assert time.monotonic() - started < 20
    answered.set()


def test_silent_address_leaves_time_for_later_ones(monkeypatch: pytest.MonkeyPatch) -> None:
    with contextlib.ExitStack() as stack:
        # The kernel drops requests for a connection when a queue is full, as a firewall does.
        full = stack.enter_context(socket.create_server(("127.0.0.1", 0), backlog=0))
        for dummy in range(3):
            waiting = stack.enter_context(socket.socket())
            waiting.setblocking(False)
            waiting.connect_ex(full.getsockname())
        assert "nothing answers there" in failure_message(TcpConnector(*full.getsockname()), 0.3)
        listener = stack.enter_context(socket.create_server(("127.0.0.1", 0)))
        rows = [(socket.AF_INET, socket.SOCK_STREAM, 6, "", place.getsockname()) for place in (full, listener)]
        monkeypatch.setattr(socket, "getaddrinfo", lambda host, port, **options: rows)
        TcpConnector("vms.example.com", 4444).connect(Deadline.after(2)).close()


@pytest.mark.parametrize(
    ("number", "expected", "reason"),
    [
        (errno.EHOSTUNREACH, "no route to the host", UnreachableReason.UNKNOWN),
        (errno.ENETUNREACH, "no route to its network", UnreachableReason.UNKNOWN),
        (errno.EPERM, "", UnreachableReason.UNKNOWN),
        (errno.ECONNRESET, "the connection was reset at once", UnreachableReason.REFUSED),
    ],
)
def test_host_that_cannot_be_reached(
    monkeypatch: pytest.MonkeyPatch, number: int, expected: str, reason: UnreachableReason
) -> None:
    # There is no such address on every machine.
    monkeypatch.setattr(socket.socket, "connect_ex", lambda channel, address: number)
    text = failure_message(TcpConnector("127.0.0.1", 4444), reason=reason)
    assert expected in text and not text.endswith(": ")


def test_reset_counts_as_the_end(listener: socket.socket) -> None:
    transport = TcpConnector(*listener.getsockname()[:2]).connect(Deadline.after(30))
    server, dummy = listener.accept()
    server.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    server.close()
    assert transport.receive(Deadline.after(30)) == b""
    transport.close()
