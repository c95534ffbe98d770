# Copyright (c) 2026, the netless.qga authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Calls of libraries that have no deadline of their own, and hang when a hypervisor or a resolver is gone."""

from __future__ import annotations

import queue
import threading
import typing as t

from ansible_collections.netless.qga.plugins.module_utils._deadline import Deadline

T = t.TypeVar("T")


class BackgroundCall(t.Generic[T]):
    """A call that is under way in a thread of its own. One that never returns is left behind there.

    :param function: what to call.
    """

    def __init__(self, function: t.Callable[[], T]) -> None:
        self._results: queue.SimpleQueue[tuple[T | None, Exception | None]] = queue.SimpleQueue()
        threading.Thread(target=_run, args=(function, self._results), daemon=True).start()

    def result(self, deadline: Deadline) -> T:
        """What the function returned or raised.

        :raises TimeoutError: it did neither before the deadline.
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
    except Exception as exc:  # pylint: disable=broad-exception-caught  # whoever waits gets it
        results.put((None, exc))
