# Copyright (c) 2026, the netless.qga authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Shows how much of a large file is copied, and how fast."""

from __future__ import annotations

import time
import typing as t

# Seconds between two lines.
_INTERVAL = 10.0

# A file with as many bytes gets a line when it is copied, however fast.
_LARGE = 16 * 1024 * 1024

_MIB = 1024 * 1024


class TransferProgress:
    """The progress of one file.

    :param action: what is done with the file, for example ``PUT file``.
    :param show: shows a line.
    :param total: how many bytes the file has, if that is known.
    :param clock: returns the time in seconds.
    """

    def __init__(
        self,
        action: str,
        show: t.Callable[[str], None],
        total: int | None = None,
        clock: t.Callable[[], float] = time.monotonic,
    ) -> None:
        self._action = action
        self._show = show
        self._total = total
        self._clock = clock
        self._started = self._shown = clock()
        self._copied = 0

    def update(self, copied: int) -> None:
        """Note how many bytes are copied, and show it if the last line was a while ago."""
        self._copied = copied
        if self._clock() - self._shown >= _INTERVAL:
            self._shown = self._clock()
            size = f"{copied / _MIB:.1f}" + (f" of {self._total / _MIB:.1f} MiB" if self._total else " MiB")
            self._show(f"{self._action}: {size}, {self._rate()}")

    def finish(self) -> None:
        """Show the size and the rate of a large file that is copied."""
        if self._copied >= _LARGE or self._shown > self._started:
            elapsed = self._clock() - self._started
            self._show(f"{self._action}: {self._copied / _MIB:.1f} MiB in {elapsed:.1f} s, {self._rate()}")

    def _rate(self) -> str:
        elapsed = self._clock() - self._started
        return f"{self._copied / _MIB / elapsed:.2f} MiB/s" if elapsed else "at once"
