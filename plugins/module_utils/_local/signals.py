# Copyright (c) 2026, the netless.qga authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Signals that ask this process to end, held back while it does something that has to be finished.

Ansible and users end a task by a signal. Python's default action would end the process anywhere, also between two steps
that belong together.
"""

from __future__ import annotations

import contextlib
import signal
import threading
import typing as t

_SIGNALS = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGALRM)


class Interrupted(Exception):
    """A signal asked this process to end. The message is the name of the signal."""


class DeferredSignals:
    """A context in which signals that ask the process to end are only noted, except inside :meth:`raising`.

    Signals that the process ignores stay ignored. A noted SIGALRM is raised again at the end of the context, because
    Ansible uses it to end a task in time. Only the main thread of a process can set signal handlers; in another thread
    the context notes nothing.
    """

    def __init__(self) -> None:
        self.noted: signal.Signals | None = None
        self._raises = False
        self._before: dict[signal.Signals, t.Any] = {}

    @property
    def name(self) -> str:
        """The name of the first signal that was noted; empty if there was none."""
        return "" if self.noted is None else self.noted.name

    def __enter__(self) -> DeferredSignals:
        if threading.current_thread() is threading.main_thread():
            for number in _SIGNALS:
                handler = signal.getsignal(number)
                # None is a handler that was not set by Python, and cannot be restored.
                unused = number == signal.SIGALRM and handler == signal.SIG_DFL
                if not unused and handler not in (signal.SIG_IGN, None):
                    self._before[number] = signal.signal(number, self._note)
        return self

    def __exit__(self, *exception: t.Any) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)
        if self.noted == signal.SIGALRM:
            signal.raise_signal(signal.SIGALRM)

    @contextlib.contextmanager
    def raising(self) -> t.Iterator[None]:
        """Let signals interrupt the block.

        :raises Interrupted: a signal arrived in the block, or was noted before it.
        """
        self._raises = True
        try:
            if self.noted is not None:
                raise Interrupted(self.name)
            yield
        finally:
            self._raises = False

    def _note(self, number: int, dummy: t.Any) -> None:
        self.noted = self.noted or signal.Signals(number)
        if self._raises:
            # Only once: a second signal must not interrupt what the first one's handler has to finish.
            self._raises = False
            raise Interrupted(self.name)
