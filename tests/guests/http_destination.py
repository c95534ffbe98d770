# Copyright (c) 2026, the netless.qga authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A server for the tests of forwards: it answers, takes, hangs, resets or sends forever, as the path asks for.

It is a process of its own, because its work would hold up the process that carries the forwards.
"""

from __future__ import annotations

import contextlib
import hashlib
import http.server
import socket
import struct
import subprocess
import sys
import time
import typing as t

#: What GET returns for a path that is a number: so many bytes.
BLOCK = bytes(range(256)) * 256


def content(size: int) -> bytes:
    """Return the bytes of so many."""
    return (BLOCK * (size // len(BLOCK) + 1))[:size]


class Handler(http.server.BaseHTTPRequestHandler):
    """See the module. A path may also be a URL, as proxies get it."""

    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:  # pylint: disable=invalid-name
        """Answer as the last part of the path asks for."""
        action = self.path.rpartition("/")[2]
        if action == "hang":
            time.sleep(60)
        elif action == "reset":
            self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            self.close_connection = True
        elif action == "forever":
            self._begin({"Content-Type": "application/octet-stream"})
            with contextlib.suppress(OSError):
                while True:
                    self.wfile.write(BLOCK)
        else:
            body = content(int(action))
            self._begin({"Content-Length": str(len(body))})
            self.wfile.write(body)

    def do_PUT(self) -> None:  # pylint: disable=invalid-name
        """Return the checksum of what was sent."""
        left, digest = int(self.headers["Content-Length"]), hashlib.sha256()
        while left:
            chunk = self.rfile.read(min(left, 1024 * 1024))
            digest.update(chunk)
            left -= len(chunk)
        body = digest.hexdigest().encode("ascii")
        self._begin({"Content-Length": str(len(body))})
        self.wfile.write(body)

    def log_message(self, format: str, *args: t.Any) -> None:  # noqa: A002
        """Print nothing."""

    def _begin(self, headers: dict[str, str]) -> None:
        self.send_response(200)
        for name, value in headers.items():
            self.send_header(name, value)
        self.end_headers()


class Server(http.server.ThreadingHTTPServer):
    """A server with room for many connections that come at once."""

    request_queue_size = 128
    daemon_threads = True

    def handle_error(self, request: t.Any, client_address: t.Any) -> None:
        """Print nothing about clients that have gone."""


@contextlib.contextmanager
def serving() -> t.Iterator[int]:
    """Run the server, and provide its port on 127.0.0.1."""
    process = subprocess.Popen([sys.executable, __file__], stdout=subprocess.PIPE, text=True)
    try:
        assert process.stdout is not None
        yield int(process.stdout.readline())
    finally:
        process.kill()
        process.wait()


if __name__ == "__main__":
    server = Server(("127.0.0.1", 0), Handler)
    print(server.server_address[1], flush=True)
    server.serve_forever()
