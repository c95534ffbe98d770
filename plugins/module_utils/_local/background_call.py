# Copyright (c) 2026, the netless.qga authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A deadline for calls into libraries that have none of their own.

They hang when a hypervisor or a name server does not answer.
"""

from __future__ import annotations

import queue
import threading
import typing as t

from ansible_collections.netless.qga.plugins.module_utils._deadline import Deadline

T = t.TypeVar("T")


class BackgroundCall(t.Generic[T]):
    """A call that runs in a thread of its own. If it never returns, it stays behind in that thread.

    :param function: what to call.
    """

    def __init__(self, function: t.Callable[[], T]) -> None:
        self._results: queue.SimpleQueue[tuple[T | None, Exception | None]] = queue.SimpleQueue()
        threading.Thread(target=_run, args=(function, self._results), daemon=True).start()

    @property
    def finished(self) -> bool:
        """Whether the function has returned or raised."""
        return not self._results.empty()

    def result(self, deadline: Deadline) -> T:
        """Return what the function returned, or raise what it raised.

        :raises TimeoutError: the function did neither before the deadline.
        """
        try:
            result, error = self._results.get(timeout=deadline.remaining())
        except queue.Empty as exc:
            raise TimeoutError from exc
        if error is not None:
            raise error
        return t.cast(T, result)


def _run(function: t.Callable[[], T], results: queue.SimpleQueue[tuple[T | None, Exception | None]]) -> None:
    try:
        results.put((function(), None))
    except Exception as exc:  # pylint: disable=broad-exception-caught  # result() raises it
        results.put((None, exc))
