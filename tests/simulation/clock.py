# Copyright (c) 2026, the netless.qga authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A clock that only moves when the code waits: hours of timeouts pass in milliseconds, and always in the same way."""

from __future__ import annotations

import contextlib
import typing as t
from unittest import mock

# How long reading the clock takes, in seconds. So a loop that waits for a point in time without sleeping ends too.
_READ_TIME = 1e-6

# How often the clock may be read between two waits: many more than any step of the code needs.
_MAX_READS = 200_000


class BusyLoop(AssertionError):
    """The code under test keeps reading the clock, and never waits."""


class VirtualClock:
    """The time of one simulation, in seconds."""

    def __init__(self) -> None:
        self.now = 1000.0
        self._reads = 0

    def monotonic(self) -> float:
        """Return the time. Reading it takes a moment."""
        self._reads += 1
        if self._reads > _MAX_READS:
            raise BusyLoop
        self.now += _READ_TIME
        return self.now

    def sleep(self, seconds: float) -> None:
        """Move the clock."""
        self.wait_until(self.now + seconds)

    def wait_until(self, at: float) -> None:
        """Move the clock to a point in time, unless that has passed."""
        self._reads = 0
        self.now = max(self.now, at)

    @contextlib.contextmanager
    def installed(self) -> t.Iterator[None]:
        """Replace the clock of this process. The code under test reads it as ``time.monotonic`` and ``time.sleep``."""
        with (
            mock.patch("time.monotonic", self.monotonic),
            mock.patch("time.sleep", self.sleep),
            mock.patch("time.time", self.monotonic),
        ):
            yield
