# Copyright (c) 2026, the netless.qga authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Absolute points in time on the monotonic clock, so that an operation of many steps still ends in time.

One deadline is handed down through all layers; each step waits for what is left of it.
"""

from __future__ import annotations

import time
from dataclasses import dataclass


@dataclass(frozen=True, order=True)
class Deadline:
    """A point on the monotonic clock.

    :param at: seconds, as :func:`time.monotonic` counts them.
    """

    at: float

    @classmethod
    def after(cls, seconds: float) -> Deadline:
        """Return the deadline a number of seconds from now."""
        return cls(time.monotonic() + seconds)

    def remaining(self) -> float:
        """Return the seconds that are left, never negative."""
        return max(0.0, self.at - time.monotonic())

    @property
    def passed(self) -> bool:
        """Whether the deadline has passed."""
        return time.monotonic() >= self.at

    def within(self, seconds: float) -> Deadline:
        """Return this deadline, or the one a number of seconds from now if that is sooner."""
        return min(self, Deadline.after(seconds))

    def sleep(self, seconds: float) -> None:
        """Sleep for a number of seconds, or until the deadline if that is sooner."""
        time.sleep(min(seconds, self.remaining()))
