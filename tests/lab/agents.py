# Copyright (c) 2026, the netless.qga authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A client of guest agents that shares no code with the collection."""

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

_ANSWER_TIMEOUT = 2.0
_POLL_INTERVAL = 0.5
_COMMAND_TIMEOUT = 60.0


def wait_for_answer(endpoint: str, deadline: float) -> None:
    """Wait until an agent answers on ``unix:PATH``, ``tcp:HOST:PORT`` or ``serial:DEVICE``, and close the channel.

    :param deadline: when to give up, in seconds of the monotonic clock.
    :raises TimeoutError: no agent answered.
    """
    while not _answers(endpoint):
        if time.monotonic() > deadline:
            raise TimeoutError(f"no guest agent answers on {endpoint}")
        time.sleep(_POLL_INTERVAL)


def ask(endpoint: str, command: str, arguments: Mapping[str, object]) -> Any:
    """Send a command to an agent, and return its reply.

    :raises OSError: the agent cannot be reached, or stops answering.
    :raises RuntimeError: the agent refuses.
    """
    with _opened(endpoint) as channel:
        if not _handshake(channel):
            raise TimeoutError(f"no guest agent answers on {endpoint}")
        request = {"execute": command, "arguments": arguments}
        os.write(channel, json.dumps(request).encode() + b"\n")
        reply = json.loads(_receive(channel, b"\n", time.monotonic() + _COMMAND_TIMEOUT))
    if "error" in reply:
        raise RuntimeError(f"{command} on {endpoint}: {reply['error']['desc']}")
    return reply["return"]


def run(endpoint: str, command: Sequence[str], stdin: str) -> str:
    """Run a program in the guest and return what it prints.

    :raises OSError: the agent cannot be reached, or the program does not end within a minute.
    :raises RuntimeError: the program failed; the message contains its standard error.
    """
    arguments = {"path": command[0], "arg": command[1:], "capture-output": True, "input-data": _base64(stdin)}
    process = ask(endpoint, "guest-exec", arguments)
    deadline = time.monotonic() + _COMMAND_TIMEOUT
    while not (status := ask(endpoint, "guest-exec-status", process))["exited"]:
        if time.monotonic() > deadline:
            raise TimeoutError(f"{command[0]} on {endpoint} does not end")
        time.sleep(_POLL_INTERVAL)
    if status.get("exitcode") != 0:
        errors = base64.b64decode(status.get("err-data", "")).decode(errors="replace").strip()
        raise RuntimeError(f"{command[0]} on {endpoint} failed: {errors}")
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
    """Open the channel and return its file descriptor.

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
    sync_id = secrets.randbits(62)
    request = {"execute": "guest-sync-delimited", "arguments": {"id": sync_id}}
    os.write(channel, b"\xff" + json.dumps(request).encode() + b"\n")
    try:
        _receive(channel, b'\xff{"return": %d}\n' % sync_id, time.monotonic() + _ANSWER_TIMEOUT)
    except OSError:
        return False
    return True


def _receive(channel: int, end: bytes, deadline: float) -> bytes:
    """Read until the received data ends with ``end``.

    :raises OSError: that did not happen.
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
