# Copyright (c) 2026, the netless.qga authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A client of guest agents that shares nothing with the collection."""

from __future__ import annotations

import base64
import contextlib
import json
import os
import secrets
import select
import socket
import time
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

_ANSWER_SECONDS = 2.0
_PAUSE_SECONDS = 0.5
_COMMAND_SECONDS = 60.0


def wait_for_answer(endpoint: str, deadline: float) -> None:
    """Waits until an agent answers on ``unix:PATH``, ``tcp:HOST:PORT`` or ``serial:DEVICE``, and lets go of it.

    :param deadline: when to give up, in seconds of the monotonic clock.
    :raises TimeoutError: none answered.
    """
    while not _answers(endpoint):
        if time.monotonic() > deadline:
            raise TimeoutError(f"no guest agent answers on {endpoint}")
        time.sleep(_PAUSE_SECONDS)


def ask(endpoint: str, command: str, arguments: Mapping[str, object]) -> Any:
    """What an agent that answers returns for a command.

    :raises OSError: it cannot be reached, or does not answer any more.
    :raises RuntimeError: it refuses.
    """
    with _opened(endpoint) as channel:
        if not _handshake(channel):
            raise TimeoutError(f"no guest agent answers on {endpoint}")
        request = {"execute": command, "arguments": arguments}
        os.write(channel, json.dumps(request).encode() + b"\n")
        reply = json.loads(_receive(channel, b"\n", time.monotonic() + _COMMAND_SECONDS))
    if "error" in reply:
        raise RuntimeError(f"{command} on {endpoint}: {reply['error']['desc']}")
    return reply["return"]


def run(endpoint: str, command: Sequence[str], stdin: str) -> str:
    """Runs a program in the guest and returns what it prints.

    :raises OSError: the agent cannot be reached, or the program does not end within a minute.
    :raises RuntimeError: it failed; the message is what it said.
    """
    arguments = {"path": command[0], "arg": command[1:], "capture-output": True, "input-data": _base64(stdin)}
    process = ask(endpoint, "guest-exec", arguments)
    deadline = time.monotonic() + _COMMAND_SECONDS
    while not (status := ask(endpoint, "guest-exec-status", process))["exited"]:
        if time.monotonic() > deadline:
            raise TimeoutError(f"{command[0]} on {endpoint} does not end")
        time.sleep(_PAUSE_SECONDS)
    if status.get("exitcode") != 0:
        said = base64.b64decode(status.get("err-data", "")).decode(errors="replace").strip()
        raise RuntimeError(f"{command[0]} on {endpoint} failed: {said}")
    return base64.b64decode(status.get("out-data", "")).decode()


def _base64(text: str) -> str:
    return base64.b64encode(text.encode()).decode()


def _answers(endpoint: str) -> bool:
    try:
        with _opened(endpoint) as channel:
            return _handshake(channel)
    except OSError:
        return False


@contextlib.contextmanager
def _opened(endpoint: str) -> Iterator[int]:
    channel = _open(endpoint)
    try:
        yield channel
    finally:
        os.close(channel)


def _open(endpoint: str) -> int:
    """Returns a descriptor of the channel.

    :raises OSError: it cannot be opened.
    """
    method, dummy, address = endpoint.partition(":")
    if method == "serial":
        return os.open(address, os.O_RDWR | os.O_NOCTTY)
    if method == "tcp":
        host, dummy, port = address.rpartition(":")
        return socket.create_connection((host, int(port))).detach()
    client = socket.socket(socket.AF_UNIX)
    try:
        client.connect(address)
    except OSError:
        client.close()
        raise
    return client.detach()


def _handshake(channel: int) -> bool:
    number = secrets.randbits(62)
    request = {"execute": "guest-sync-delimited", "arguments": {"id": number}}
    os.write(channel, b"\xff" + json.dumps(request).encode() + b"\n")
    try:
        _receive(channel, b'\xff{"return": %d}\n' % number, time.monotonic() + _ANSWER_SECONDS)
    except OSError:
        return False
    return True


def _receive(channel: int, end: bytes, deadline: float) -> bytes:
    """Reads until what was received ends with ``end``.

    :raises OSError: it did not come to that.
    """
    received = b""
    while not received.endswith(end):
        if not select.select([channel], [], [], max(0, deadline - time.monotonic()))[0]:
            raise TimeoutError("the guest agent does not answer")
        chunk = os.read(channel, 4096)
        if not chunk:
            raise ConnectionResetError("the guest agent's channel was closed")
        received += chunk
    return received
