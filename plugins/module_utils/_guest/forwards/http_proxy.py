# Copyright (c) 2026, the netless.qga authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""An HTTP proxy for programs in a guest, on the controller, for the destinations of an allow-list only.

It opens no port on the controller: a request comes from a stream of the forwards, and the stream then leads to the
destination that the request asks for. h11 reads and writes HTTP. proxy.py and mitmproxy were considered: they listen on
ports of their own, which other users of the controller could reach.
"""

from __future__ import annotations

import http
import re
import socket
import typing as t
import urllib.parse

from ansible_collections.netless.qga.plugins.module_utils._deadline import Deadline
from ansible_collections.netless.qga.plugins.module_utils._guest.forwards.allow_list import AllowList, NotAllowed
from ansible_collections.netless.qga.plugins.module_utils._guest.forwards.routes import authority
from ansible_collections.netless.qga.plugins.module_utils._local.background_call import BackgroundCall
from ansible_collections.netless.qga.plugins.module_utils.errors import LibraryMissing

if t.TYPE_CHECKING:
    import h11

# How long all addresses of a host together may take to answer, and to take the request, in seconds.
_CONNECT_TIMEOUT = 30.0

# What a name or an address consists of. The log shows it.
_HOST = re.compile(r"[A-Za-z0-9_.:-]+\Z")

# Headers that concern the connection to the proxy and no other one (RFC 9110, section 7.6.1), and the name of the host.
_DROPPED_HEADERS = {b"connection", b"host", b"keep-alive", b"proxy-connection", b"te", b"trailer", b"upgrade"}


class HttpProxy:
    """The proxy, on one port of the guest.

    :param port: the port on the guest's loopback interface.
    :param allowed: where it leads.
    :raises LibraryMissing: the controller has no h11.
    """

    def __init__(self, port: int, allowed: AllowList) -> None:
        try:
            import h11 as library
        except ImportError as exc:
            raise LibraryMissing(
                "proxy_allow: the Python library h11 is missing. Install python3-h11 of the distribution, or h11 from "
                "PyPI, for the Python that runs Ansible"
            ) from exc
        self.port = port
        self._allowed = allowed
        self._h11 = library

    def __str__(self) -> str:
        """Return both ends, for messages."""
        return f"127.0.0.1:{self.port} to the proxy on the controller"

    def route(self) -> ProxyRequest:
        """Return what reads the request of a new stream."""
        return ProxyRequest(self.port, self._allowed, self._h11)


class BadRequest(OSError):
    """A request that the proxy cannot carry out.

    :param status: of the answer.
    """

    def __init__(self, message: str, status: int = http.HTTPStatus.BAD_REQUEST) -> None:
        super().__init__(message)
        self.status = status


class ProxyRequest:
    """The request at the start of a stream, and the way to the destination that it asks for.

    The connection is for one request, or one tunnel: an answer says so with ``Connection: close``.

    :param port: the proxy's port on the guest's loopback interface.
    :param allowed: where the proxy leads.
    :param library: h11.
    """

    def __init__(self, port: int, allowed: AllowList, library: t.Any) -> None:
        self._port = port
        self._allowed = allowed
        self._h11 = library
        self._reader = library.Connection(library.SERVER)
        self._destination: tuple[str, int] | None = None
        # What the destination gets first.
        self._head = b""
        self._is_tunnel = False

    def __str__(self) -> str:
        """Return both ends, for messages."""
        if self._destination is None:
            return f"127.0.0.1:{self._port} to the proxy on the controller"
        host, port = self._destination
        return f"127.0.0.1:{self._port} to {authority(host, port)}"

    @property
    def is_known(self) -> bool:
        """Whether the destination is known, so that :meth:`connect` can be called."""
        return self._destination is not None

    @property
    def greeting(self) -> bytes:
        """What the guest gets first when the connection is there."""
        return b"HTTP/1.1 200 Connection established\r\n\r\n" if self._is_tunnel else b""

    def receive(self, data: bytes) -> int:
        """Read the next bytes of the request, as long as the destination is not known.

        :param data: at least one byte.
        :returns: how many of them belong to the head of the request. The rest is for the destination.
        :raises BadRequest: a proxy cannot carry out the request. The message has nothing of the request's headers.
        """
        try:
            self._reader.receive_data(data)
            event = self._reader.next_event()
        except self._h11.RemoteProtocolError as exc:
            # The text of h11's error may have a header, and with it a password.
            raise BadRequest("the request is no HTTP, or too long", exc.error_status_hint) from None
        if event is self._h11.NEED_DATA:
            return len(data)
        self._take(event)
        return len(data) - len(self._reader.trailing_data[0])

    def _take(self, request: h11.Request) -> None:
        target = request.target.decode("ascii", "replace")
        self._is_tunnel = request.method == b"CONNECT"
        try:
            url = urllib.parse.urlsplit(f"//{target}" if self._is_tunnel else target)
            host, port = url.hostname or "", url.port or (0 if self._is_tunnel else 80)
        except ValueError as exc:
            raise BadRequest(f"the request has no valid address: {exc}") from exc
        if not self._is_tunnel and url.scheme.lower() != "http":
            raise BadRequest("a proxy takes CONNECT HOST:PORT, or another method with http://HOST/")
        if not _HOST.match(host) or not port:
            raise BadRequest("the request has no valid host and port")
        if not self._is_tunnel:
            path = (url.path or "/") + (f"?{url.query}" if url.query else "")
            self._head = self._own_head(request, path, authority(host, port).removesuffix(":80"))
        self._destination = (host, port)

    def _own_head(self, request: h11.Request, path: str, host: str) -> bytes:
        """Return the request as the destination gets it."""
        named = b",".join(value for name, value in request.headers if name == b"connection").lower().split(b",")
        dropped = _DROPPED_HEADERS | {name.strip() for name in named}
        headers = [
            (name, value)
            for name, value in request.headers.raw_items()
            if name.lower() not in dropped and not name.lower().startswith(b"proxy-")
        ]
        own = [(b"Host", host.encode("ascii")), *headers, (b"Connection", b"close")]
        sent = self._h11.Request(method=request.method, target=path.encode("ascii"), headers=own)
        head = self._h11.Connection(self._h11.CLIENT).send(sent) or b""
        # h11 writes 1.1 only, and the destination has to answer in the version of the guest.
        return bytes(head.replace(b" HTTP/1.1\r\n", b" HTTP/%s\r\n" % request.http_version, 1))

    def connect(self) -> BackgroundCall[socket.socket]:
        """Begin to resolve the name, to connect and to send the request, in a thread of its own."""
        return BackgroundCall(self._connect)

    def _connect(self) -> socket.socket:
        deadline = Deadline.after(_CONNECT_TIMEOUT)
        host, port = self._destination or ("", 0)
        failure: OSError = TimeoutError("timed out")
        for address in self._allowed.resolve(host, port):
            if deadline.passed:
                break
            try:
                connected = socket.create_connection((address, port), timeout=deadline.remaining())
            except OSError as exc:
                failure = exc
                continue
            try:
                connected.sendall(self._head)
            except OSError:
                connected.close()
                raise
            return connected
        raise failure

    def refusal(self, error: OSError) -> bytes:
        """Return what the guest gets instead of a connection."""
        if isinstance(error, NotAllowed):
            status = http.HTTPStatus.FORBIDDEN
        elif isinstance(error, BadRequest):
            status = http.HTTPStatus(error.status)
        elif isinstance(error, TimeoutError):
            status = http.HTTPStatus.GATEWAY_TIMEOUT
        else:
            status = http.HTTPStatus.BAD_GATEWAY
        text = str(error) if isinstance(error, (BadRequest, NotAllowed)) else f"{self}: {error.strerror or error}"
        body = f"{text}\n".encode()
        head = (
            f"HTTP/1.1 {status.value} {status.phrase}\r\nContent-Type: text/plain; charset=utf-8\r\n"
            f"Content-Length: {len(body)}\r\nConnection: close\r\n\r\n"
        )
        return head.encode("ascii") + body
