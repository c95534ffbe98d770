# Copyright (c) 2026, the netless.qga authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The files with what the guest's end of forwards sends, in parts of a fixed size (see :mod:`.server`)."""

from __future__ import annotations

import contextlib
import os


class Parts:
    """The files with what one session sends.

    :param prefix: their path without the number.
    :param size: the size of each.
    """

    def __init__(self, prefix: str, size: int) -> None:
        self._prefix = prefix
        self._size = size
        self._number = 0
        self._left = size
        self._descriptor = self._create(0)

    def write(self, data: bytes) -> None:
        """Write data, into more than one part if necessary."""
        rest = memoryview(data)
        while rest:
            written = os.write(self._descriptor, rest[: self._left])
            rest = rest[written:]
            self._left -= written
            if not self._left:
                self._begin_next()

    def close(self) -> None:
        """Close the current part."""
        os.close(self._descriptor)

    def _begin_next(self) -> None:
        descriptor = self._create(self._number + 1)
        os.close(self._descriptor)
        with contextlib.suppress(OSError):
            os.unlink(f"{self._prefix}.{self._number - 1}")
        self._descriptor, self._number, self._left = descriptor, self._number + 1, self._size

    def _create(self, number: int) -> int:
        return os.open(f"{self._prefix}.{number}", os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
