# Copyright (c) 2026, the netless.qga authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A hypervisor in place of the Python library libvirt, which has a stream and an event loop."""

from __future__ import annotations

import sys
import time

import pytest

from ansible_collections.netless.qga.plugins.module_utils._libvirt.event_loop import EventLoop

from .hypervisor import Hypervisor


class StreamingHypervisor(Hypervisor):
    """A hypervisor with one stream."""

    # pylint: disable=invalid-name  # they are libvirt's

    def __init__(self) -> None:
        super().__init__()
        self.open_channel_failures: list[Exception] = []
        self.arriving: list[bytes | int | Exception] = []
        self.sent = b""
        self.takes = 1000
        self.aborted = False
        self.wait = 0

    def install(self, monkeypatch: pytest.MonkeyPatch) -> None:
        super().install(monkeypatch)
        library = sys.modules["libvirt"]
        for name, value in {
            "VIR_STREAM_NONBLOCK": 1,
            "virEventRegisterDefaultImpl": lambda: None,
            "virEventAddTimeout": lambda milliseconds, callback, opaque: 1,
            "virEventUpdateTimeout": self.set_timer,
            "virEventRunDefaultImpl": self.run_loop,
        }.items():
            monkeypatch.setattr(library, name, value, raising=False)
        # The real library may have its own in this process.
        monkeypatch.setattr(EventLoop, "_timer", None)
        monkeypatch.setattr(EventLoop, "_users", set())

    def set_timer(self, timer: int, milliseconds: int) -> None:
        self.wait = milliseconds

    def run_loop(self) -> None:
        time.sleep(self.wait / 1000)

    def connect(self) -> StreamingHypervisor:
        return self

    def setKeepAlive(self, interval: int, count: int) -> None:
        assert interval > 0 and count > 0

    def newStream(self, flags: int) -> StreamingHypervisor:
        assert flags == 1
        return self

    def openChannel(self, name: str, stream: StreamingHypervisor) -> None:
        if self.open_channel_failures:
            raise self.open_channel_failures.pop(0)

    def send(self, data: bytes) -> int:
        self.sent += data[: self.takes]
        return min(len(data), self.takes)

    def recv(self, size: int) -> bytes | int:
        if not self.arriving:
            return -2
        arrived = self.arriving.pop(0)
        if isinstance(arrived, Exception):
            raise arrived
        return arrived

    def abort(self) -> None:
        self.aborted = True
