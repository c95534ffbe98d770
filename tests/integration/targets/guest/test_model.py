# Copyright (c) 2026, the netless.qga authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The model guest of the simulation answers the same bytes as real agents do."""

from __future__ import annotations

import json
import socket
import typing as t

import pytest

from ansible_collections.netless.qga.tests.guests.sandbox import SandboxedAgent
from ansible_collections.netless.qga.tests.simulation.clock import VirtualClock
from ansible_collections.netless.qga.tests.simulation.model_guest import ModelGuest

_LAST = b'\xff{"execute": "guest-sync-delimited", "arguments": {"id": 4711}, "id": 4711}\n'


def request(command: str, number: int = 1, /, **arguments: t.Any) -> bytes:
    return json.dumps({"execute": command, "arguments": arguments, "id": number}).encode() + b"\n"


#: Each is sent to an agent in one go; HANDLE is what the last guest-file-open returned.
SCRIPTS: dict[str, list[bytes]] = {
    "ids": [request("guest-ping", 7) + b'{"execute": "guest-ping"}\n'],
    "sync": [request("guest-sync", 2, id=123) + request("guest-sync-delimited", 3, id=124)],
    "half a request": [b'{"execute": "guest-pi', b"\xff" + request("guest-ping")],
    "brackets": [b"[[[\xff" + request("guest-ping")],
    "stray brace": [b"}\n" + request("guest-ping")],
    "no newline": [request("guest-ping").strip() + request("guest-ping", 2).strip()],
    "unknown": [request("guest-x") + b'{"execute": "guest-ping", "x": 1, "id": 3}\n'],
    "no such handle": [
        request("guest-file-read", handle=1) + request("guest-file-close", handle=1),
        request("guest-file-seek", handle=1, offset=0, whence=0),
    ],
    "no such process": [request("guest-exec-status", pid=1)],
    "no such file": [request("guest-file-open", path="/tmp/none", mode="r")],
    "write and read": [
        request("guest-file-open", path="/tmp/model", mode="w"),
        request("guest-file-write", handle="HANDLE", **{"buf-b64": "QUJDREVG"}),
        request("guest-file-flush", handle="HANDLE") + request("guest-file-close", handle="HANDLE"),
        request("guest-file-open", path="/tmp/model", mode="r"),
        request("guest-file-read", handle="HANDLE", count=3),
        request("guest-file-seek", handle="HANDLE", offset=0, whence=2),
        request("guest-file-seek", handle="HANDLE", offset=1, whence=0),
        request("guest-file-read", handle="HANDLE", count=4),
        request("guest-file-read", handle="HANDLE", count=4),
        request("guest-file-read", handle="HANDLE", count=4),
        request("guest-file-close", handle="HANDLE"),
        request("guest-file-close", handle="HANDLE"),
    ],
    "append": [
        request("guest-file-open", path="/tmp/appended", mode="w"),
        request("guest-file-write", handle="HANDLE", **{"buf-b64": "QUJD"}),
        request("guest-file-close", handle="HANDLE"),
        request("guest-file-open", path="/tmp/appended", mode="a"),
        request("guest-file-write", handle="HANDLE", **{"buf-b64": "REVG"}),
        request("guest-file-read", handle="HANDLE", count=9),
        request("guest-file-close", handle="HANDLE"),
        request("guest-file-open", path="/tmp/appended", mode="r+"),
        request("guest-file-read", handle="HANDLE", count=6),
        request("guest-file-read", handle="HANDLE", count=6),
        request("guest-file-close", handle="HANDLE"),
    ],
    "write at a place": [
        request("guest-file-open", path="/tmp/places", mode="w+"),
        request("guest-file-write", handle="HANDLE", **{"buf-b64": "QUJDREVG"}),
        request("guest-file-seek", handle="HANDLE", offset=1, whence=0),
        request("guest-file-write", handle="HANDLE", **{"buf-b64": "eA=="}),
        request("guest-file-seek", handle="HANDLE", offset=0, whence=0),
        request("guest-file-read", handle="HANDLE", count=20),
        request("guest-file-close", handle="HANDLE"),
    ],
    "modes": [
        request("guest-file-open", path="/tmp/none", mode="x"),
        request("guest-file-open", path="/tmp/none", mode="r+"),
    ],
    "seek to nowhere": [
        request("guest-file-open", path="/tmp/places", mode="w"),
        request("guest-file-seek", handle="HANDLE", offset=-1, whence=0),
        request("guest-file-seek", handle="HANDLE", offset=0, whence=7),
        request("guest-file-close", handle="HANDLE"),
    ],
}


def normalized(lines: bytes) -> list[t.Any]:
    """Return the replies. The texts of errors differ from version to version, and handles from run to run."""
    replies = []
    for line in lines.splitlines():
        reply = json.loads(line.lstrip(b"\xff"))
        if "error" in reply:
            reply["error"] = reply["error"]["class"]
        replies.append((line.startswith(b"\xff"), reply))
    return replies


def play(script: list[bytes], exchange: t.Callable[[bytes], bytes]) -> list[t.Any]:
    """Return the replies to a script, with HANDLE instead of handles."""
    handle, replies = 0, []
    for part in script:
        answered = normalized(exchange(part.replace(b'"HANDLE"', str(handle).encode())))
        if b"guest-file-open" in part and "return" in answered[0][1]:
            handle = answered[0][1]["return"]
            answered[0][1]["return"] = "HANDLE"
        replies += answered
    return replies


@pytest.mark.parametrize("name", SCRIPTS)
def test_model_answers_like_a_real_agent(guest: SandboxedAgent, name: str) -> None:
    model = ModelGuest(VirtualClock())
    with socket.socket(socket.AF_UNIX) as client:
        client.settimeout(20)
        client.connect(guest.socket_path)

        def ask(data: bytes) -> bytes:
            if not data.endswith((b"\n", b"}")):
                client.sendall(data)
                return b""
            # The answer to this ping shows that all answers have come.
            client.sendall(data + request("guest-ping", 815))
            received = b""
            while not (b": 815" in received and received.endswith(b"\n")):
                received += client.recv(65536)
            return b"".join(line for line in received.splitlines(keepends=True) if b": 815" not in line)

        # What an earlier test left in the parser goes first.
        ask(_LAST)
        real = play(SCRIPTS[name], ask)
    assert real == play(SCRIPTS[name], lambda data: b"".join(model.feed(data)))
