# Copyright (c) 2026, the netless.qga authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A client that does what the tool has to notice: it never synchronises, believes the first line, and sends again."""

from __future__ import annotations

import base64
import json
import socket
import sys
from typing import Any

_REPLY_TIMEOUT = 2.0


class Channel:
    """A connection to the agent."""

    def __init__(self, connection: socket.socket) -> None:
        self._connection = connection
        self._received = b""

    def ask(self, command: str, arguments: dict[str, Any]) -> Any:
        """Send a request, again and again if no reply comes, and return the result in the first line that comes."""
        request = json.dumps({"execute": command, "arguments": arguments}).encode()
        self._connection.sendall(request)
        while b"\n" not in self._received:
            try:
                self._received += self._connection.recv(65536)
            except socket.timeout:
                self._connection.sendall(request)
        line, dummy, self._received = self._received.partition(b"\n")
        return json.loads(line)["return"]


def main(path: str, command: str) -> None:
    """Run a command through the agent on a socket, and print its output."""
    with socket.socket(socket.AF_UNIX) as connection:
        connection.connect(path)
        connection.settimeout(_REPLY_TIMEOUT)
        channel = Channel(connection)
        arguments = {"path": "sh", "arg": ["-c", command], "capture-output": True}
        process = channel.ask("guest-exec", arguments)
        while not (status := channel.ask("guest-exec-status", {"pid": process["pid"]}))["exited"]:
            pass
        print(base64.b64decode(status["out-data"]).decode())


if __name__ == "__main__":
    main(*sys.argv[1:])
