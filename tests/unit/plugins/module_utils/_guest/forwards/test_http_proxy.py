# Copyright (c) 2026, the netless.qga authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The proxy for programs in a guest: requests, tunnels, and everything that it refuses."""

from __future__ import annotations

import contextlib
import http.server
import socket
import sys
import threading
import time
import typing as t

import pytest

from ansible_collections.netless.qga.plugins.module_utils._guest.forwards import http_proxy
from ansible_collections.netless.qga.plugins.module_utils._guest.forwards.allow_list import AllowList
from ansible_collections.netless.qga.plugins.module_utils._guest.forwards.destinations import parse_listeners
from ansible_collections.netless.qga.plugins.module_utils._guest.forwards.dialer import Dialer
from ansible_collections.netless.qga.plugins.module_utils._guest.forwards.http_proxy import HttpProxy
from ansible_collections.netless.qga.plugins.module_utils._guest.forwards.program.multiplexer import Multiplexer
from ansible_collections.netless.qga.plugins.module_utils._guest.forwards.program.relay import Relay
from ansible_collections.netless.qga.plugins.module_utils.errors import InvalidRequest, LibraryMissing

PORT = 3128


class Proxied:
    """Both ends of a session with a proxy, and programs in the guest.

    :param allowed: where the proxy leads.
    """

    def __init__(self, *allowed: str) -> None:
        self.lines: list[str] = []
        self._guest, self._controller = Multiplexer(is_client=False), Multiplexer(is_client=True)
        self._relay = Relay(self._guest)
        self._dialer = Dialer(self._controller, [HttpProxy(PORT, AllowList(allowed))], self.lines.append)
        self._programs: list[socket.socket] = []

    def close(self) -> None:
        self._relay.close()
        self._dialer.relay.close()
        for program in self._programs:
            program.close()

    def connect(self) -> socket.socket:
        """Return the socket of a program that has connected to the proxy."""
        near, far = socket.socketpair()
        near.setblocking(False)
        self._programs.append(near)
        stream = self._guest.open()
        self._guest.send(stream, PORT.to_bytes(2, "big"))
        self._relay.attach(stream, far)
        return near

    def carry(self) -> None:
        """Do once what both ends do all the time."""
        self._relay.run(0)
        self._dialer.connect()
        self._dialer.relay.run(0.001)
        for event in self._controller.receive_data(self._guest.take(100_000)[0]):
            self._dialer.relay.handle(event)
        for event in self._guest.receive_data(self._controller.take(100_000)[0]):
            self._relay.handle(event)

    def read(self, program: socket.socket, size: int = sys.maxsize) -> bytes:
        """Return so much of what a program receives, or all until the end."""
        received, end = b"", time.monotonic() + 20
        while len(received) < size:
            assert time.monotonic() < end, f"no end after {received!r}"
            self.carry()
            with contextlib.suppress(BlockingIOError):
                data = program.recv(100_000)
                if not data:
                    break
                received += data
        return received

    def ask(self, request: bytes) -> bytes:
        """Return the whole answer to a request."""
        program = self.connect()
        program.sendall(request)
        answer = self.read(program)
        program.close()
        for dummy in range(5):
            self.carry()
        assert not self._dialer.relay.connections
        return answer


@pytest.fixture(name="proxied")
def fixture_proxied() -> t.Iterator[t.Callable[..., Proxied]]:
    """Provide a function that makes a proxy for some destinations."""
    with contextlib.ExitStack() as stack:
        yield lambda *allowed: stack.enter_context(contextlib.closing(Proxied(*allowed)))


class Handler(http.server.BaseHTTPRequestHandler):
    """Answers with what it was asked."""

    protocol_version = "HTTP/1.1"
    requests: t.ClassVar[list[str]] = []

    def do_GET(self) -> None:  # pylint: disable=invalid-name
        self.requests.append(f"{self.requestline}\n{self.headers}")
        body = self.rfile.read(int(self.headers["Content-Length"] or 0))
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    do_POST = do_GET

    def log_message(self, *dummy: t.Any) -> None:
        pass


@pytest.fixture(name="server", scope="module")
def fixture_server() -> t.Iterator[http.server.ThreadingHTTPServer]:
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield server
        server.shutdown()


@pytest.fixture(name="destination")
def fixture_destination(server: http.server.ThreadingHTTPServer) -> str:
    """Return the address of the server, which has had no request yet."""
    Handler.requests.clear()
    return f"127.0.0.1:{server.server_port}"


def test_request_reaches_the_destination_in_its_own_form(proxied: t.Callable[..., Proxied], destination: str) -> None:
    proxy = proxied(destination)
    answer = proxy.ask(
        f"GET http://{destination}/a/b?c=d#e HTTP/1.1\r\nHost: other.test\r\nAccept: */*\r\n"
        "Proxy-Authorization: secret\r\nConnection: keep-alive, X-Own\r\nX-Own: 1\r\n"
        "Proxy-Connection: keep-alive\r\n\r\n".encode()
    )
    assert answer.startswith(b"HTTP/1.1 200 OK\r\n")
    request = Handler.requests[0]
    assert request.splitlines() == [
        "GET /a/b?c=d HTTP/1.1",
        f"Host: {destination}",
        "Accept: */*",
        "Connection: close",
        "",
    ]
    assert any(line.startswith(f"FORWARD 127.0.0.1:3128 to {destination}: ") for line in proxy.lines)


@pytest.mark.parametrize(
    ("line", "own_line"),
    [
        ("GET http://{}", "GET / HTTP/1.1"),
        ("GET http://{}?a", "GET /?a HTTP/1.1"),
        ("GET http://{}//a/", "GET //a/ HTTP/1.1"),
        ("GET http://user:word@{}/a%20b", "GET /a%20b HTTP/1.1"),
    ],
)
def test_address_of_a_request_is_shortened(
    proxied: t.Callable[..., Proxied], destination: str, line: str, own_line: str
) -> None:
    proxied(destination).ask(f"{line.format(destination)} HTTP/1.1\r\nHost: {destination}\r\n\r\n".encode())
    assert Handler.requests[0].splitlines()[0] == own_line


def test_destination_answers_in_the_version_of_the_guest(proxied: t.Callable[..., Proxied], destination: str) -> None:
    proxied(destination).ask(f"GET http://{destination}/ HTTP/1.0\r\n\r\n".encode())
    assert Handler.requests[0].splitlines()[:2] == ["GET / HTTP/1.0", f"Host: {destination}"]


def test_body_of_a_request_arrives(proxied: t.Callable[..., Proxied], destination: str) -> None:
    body = b"x" * 200_000
    head = f"POST http://{destination} HTTP/1.1\r\nHost: {destination}\r\nContent-Length: {len(body)}\r\n\r\n".encode()
    assert proxied(destination).ask(head + body).endswith(b"\r\n\r\n" + body)


def test_request_may_come_byte_by_byte(proxied: t.Callable[..., Proxied], destination: str) -> None:
    proxy = proxied(destination)
    program = proxy.connect()
    for byte in f"GET http://{destination}/ HTTP/1.1\r\nHost: {destination}\r\n\r\n".encode():
        program.sendall(bytes([byte]))
        proxy.carry()
    assert proxy.read(program).startswith(b"HTTP/1.1 200 OK\r\n")


def test_tunnel(proxied: t.Callable[..., Proxied]) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        destination = f"127.0.0.1:{server.getsockname()[1]}"
        proxy = proxied(destination)
        program = proxy.connect()
        request = f"CONNECT {destination} HTTP/1.1\r\nHost: {destination}\r\n\r\nhello".encode()
        program.sendall(request)
        greeting = b"HTTP/1.1 200 Connection established\r\n\r\n"
        assert proxy.read(program, len(greeting)) == greeting
        with server.accept()[0] as connection:
            assert connection.recv(5, socket.MSG_WAITALL) == b"hello"
            connection.sendall(b"answer")
            assert proxy.read(program, 6) == b"answer"
            program.shutdown(socket.SHUT_WR)
            while connection_is_open(connection):
                proxy.carry()
        assert proxy.read(program) == b""
    shown = f"FORWARD 127.0.0.1:3128 to {destination}: {len(request)} bytes from the guest, 6 bytes to it"
    assert any(line.startswith(shown) for line in proxy.lines)


def connection_is_open(connection: socket.socket) -> bool:
    """Return whether the other side may still send."""
    connection.setblocking(False)
    with contextlib.suppress(BlockingIOError):
        return connection.recv(1) != b""
    return True


def test_second_request_goes_to_no_other_destination(proxied: t.Callable[..., Proxied], destination: str) -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        second = f"127.0.0.1:{other.getsockname()[1]}"
        proxy = proxied(destination, second)
        requests = "".join(f"GET http://{to}/ HTTP/1.1\r\nHost: {to}\r\n\r\n" for to in (destination, second))
        assert proxy.ask(requests.encode()).count(b"HTTP/1.1 200 OK") == 1
        other.setblocking(False)
        with pytest.raises(BlockingIOError):
            other.accept()


def test_destination_that_is_not_allowed(proxied: t.Callable[..., Proxied], destination: str) -> None:
    proxy = proxied("mirror.example.com:80")
    for request in (f"GET http://{destination}/ HTTP/1.1", f"CONNECT {destination} HTTP/1.1"):
        answer = proxy.ask(f"{request}\r\nHost: {destination}\r\n\r\n".encode())
        assert answer.startswith(b"HTTP/1.1 403 Forbidden\r\n")
        assert f"{destination} is not in the connection's option proxy_allow\n".encode() in answer
    assert Handler.requests == []
    assert sum("not connected: " in line for line in proxy.lines) == 2


def test_name_of_a_private_address(proxied: t.Callable[..., Proxied], destination: str) -> None:
    port = destination.rpartition(":")[2]
    request = f"GET http://localhost:{port}/ HTTP/1.1\r\nHost: localhost\r\n\r\n".encode()
    assert b"which is not a public address" in proxied(f"localhost:{port}").ask(request)
    assert Handler.requests == []
    assert proxied(f"localhost:{port}", destination).ask(request).startswith(b"HTTP/1.1 200 OK\r\n")


def test_destination_that_refuses(proxied: t.Callable[..., Proxied]) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        destination = f"127.0.0.1:{server.getsockname()[1]}"
    answer = proxied(destination).ask(f"GET http://{destination}/ HTTP/1.1\r\nHost: {destination}\r\n\r\n".encode())
    assert answer.startswith(b"HTTP/1.1 502 Bad Gateway\r\n") and b"Connection refused" in answer


def test_destination_that_does_not_answer_in_time(
    proxied: t.Callable[..., Proxied], destination: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(http_proxy, "_CONNECT_TIMEOUT", 0.0)
    answer = proxied(destination).ask(f"GET http://{destination}/ HTTP/1.1\r\nHost: {destination}\r\n\r\n".encode())
    assert answer.startswith(b"HTTP/1.1 504 Gateway Timeout\r\n")


@pytest.mark.parametrize(
    ("request_", "status"),
    [
        (b"GET / HTTP/1.1\r\nHost: a.test\r\n\r\n", 400),
        (b"GET https://a.test/ HTTP/1.1\r\nHost: a.test\r\n\r\n", 400),
        (b"GET ftp://a.test/ HTTP/1.1\r\nHost: a.test\r\n\r\n", 400),
        (b"GET http:///x HTTP/1.1\r\nHost: a.test\r\n\r\n", 400),
        (b"GET http://[::1/ HTTP/1.1\r\nHost: a.test\r\n\r\n", 400),
        (b"GET http://a.test:99999/ HTTP/1.1\r\nHost: a.test\r\n\r\n", 400),
        (b"GET http://a%1b[2J.test/ HTTP/1.1\r\nHost: a.test\r\n\r\n", 400),
        (b"CONNECT a.test HTTP/1.1\r\nHost: a.test\r\n\r\n", 400),
        (b"CONNECT a.test:0 HTTP/1.1\r\nHost: a.test\r\n\r\n", 400),
        (b"CONNECT a\x1b[2J.test:1 HTTP/1.1\r\nHost: a.test\r\n\r\n", 400),
        (b"\x16\x03\x01\x02\x00\x01\r\n\r\n", 400),
        (b"GET http://a.test/ HTTP/1.1\r\n\r\n", 400),
        (b"GET http://a.test/" + b"x" * 100_000, 431),
    ],
)
def test_request_that_no_proxy_can_carry_out(proxied: t.Callable[..., Proxied], request_: bytes, status: int) -> None:
    proxy = proxied("a.test:80", "a.test:1")
    assert proxy.ask(request_).startswith(b"HTTP/1.1 %d " % status)
    assert not any("\x1b" in line for line in proxy.lines)


def test_headers_of_a_refused_request_are_shown_nowhere(proxied: t.Callable[..., Proxied]) -> None:
    proxy = proxied("a.test:80")
    answer = proxy.ask(b"GET http://a.test/ HTTP/1.1\r\nHost: a.test\r\nAuthorization\x01: sesame\r\n\r\n")
    assert answer.startswith(b"HTTP/1.1 400 ") and b"sesame" not in answer
    assert proxy.lines and not any("sesame" in line for line in proxy.lines)


def test_program_that_leaves_before_its_request_is_whole(proxied: t.Callable[..., Proxied]) -> None:
    proxy = proxied("a.test:80")
    program = proxy.connect()
    program.sendall(b"GET http://a")
    program.shutdown(socket.SHUT_WR)
    with contextlib.suppress(ConnectionResetError):
        assert proxy.read(program) == b""


def test_proxy_is_one_more_port() -> None:
    listeners = parse_listeners(["8080:mirror.example.com:80"], ["mirror.example.com:443"], PORT)
    assert [listener.port for listener in listeners] == [8080, PORT]
    assert len(parse_listeners([], [], PORT)) == 0


@pytest.mark.parametrize(("forwards", "port"), [(["3128:a.test:1"], PORT), ([], 0), ([], 65536)])
def test_port_that_cannot_be_had(forwards: list[str], port: int) -> None:
    with pytest.raises(InvalidRequest, match="proxy_port"):
        parse_listeners(forwards, ["a.test:80"], port)


def test_missing_library_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "h11", None)
    with pytest.raises(LibraryMissing, match="python3-h11"):
        HttpProxy(PORT, AllowList(["a.test:80"]))
