# Copyright (c) 2026, the netless.qga authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Waiting for guest agents, with a client that shares nothing with the collection."""

from __future__ import annotations

import json
import os
import secrets
import select
import socket
import time

_ANSWER_SECONDS = 2.0
_PAUSE_SECONDS = 0.5


def wait_for_answer(endpoint: str, deadline: float) -> None:
    """Waits until an agent answers on ``unix:PATH``, ``tcp:HOST:PORT`` or ``serial:DEVICE``, and lets go of it.

    :param deadline: when to give up, in seconds of the monotonic clock.
    :raises TimeoutError: none answered.
    """
    while not _answers(endpoint):
        if time.monotonic() > deadline:
            raise TimeoutError(f"no guest agent answers on {endpoint}")
        time.sleep(_PAUSE_SECONDS)


def _answers(endpoint: str) -> bool:
    try:
        channel = _open(endpoint)
    except OSError:
        return False
    try:
        return _handshake(channel)
    except OSError:
        return False
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
    deadline = time.monotonic() + _ANSWER_SECONDS
    received = b""
    while not received.endswith(b'\xff{"return": %d}\n' % number):
        if not select.select([channel], [], [], max(0, deadline - time.monotonic()))[0]:
            return False
        chunk = os.read(channel, 4096)
        if not chunk:
            return False
        received += chunk
    return True
