# Copyright (c) 2026, the netless.qga authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Where the scripted end meets the client: on a socket of its own, or behind a channel that something else relays."""

from __future__ import annotations

import contextlib
import os
import pathlib
import socket
from types import TracebackType
from typing import Protocol


class Channel(Protocol):
    """A channel whose one end is the scripted end."""

    def open(self, seconds: float) -> socket.socket | None:
        """Return a new connection, or None if there is none within some seconds."""

    def wait(self) -> None:
        """Wait until the client can use the channel."""


class ListeningChannel:
    """A Unix socket that clients connect to, like that of a chardev. Use it in a ``with`` block."""

    def __init__(self, path: pathlib.Path) -> None:
        self._path = path
        self._listener = socket.socket(socket.AF_UNIX)

    def __enter__(self) -> ListeningChannel:
        self._listener.bind(str(self._path))
        self._listener.listen(1)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._listener.close()
        with contextlib.suppress(FileNotFoundError):
            os.unlink(self._path)

    def open(self, seconds: float) -> socket.socket | None:
        """Return the connection of the next client."""
        self._listener.settimeout(seconds)
        try:
            return self._listener.accept()[0]
        except socket.timeout:
            return None

    def wait(self) -> None:
        """Return at once: clients may connect before the agent accepts them."""
