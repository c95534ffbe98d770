# Copyright (c) 2026, the netless.qga authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Signals that would end this process in the middle of what has to be finished."""

from __future__ import annotations

import contextlib
import signal
import threading
import typing as t

_SIGNALS = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGALRM)


class Interrupted(Exception):
    """A signal came that asks to end."""


class DeferredSignals:
    """Notes the signals that ask to end, so that they do so only where that is wanted.

    What is ignored stays ignored. An alarm is passed on at the end: it is Ansible's way to end a task in time.
    Only a process's main thread can do this; in another one nothing is noted.
    """

    def __init__(self) -> None:
        self.noted: signal.Signals | None = None
        self._raises = False
        self._before: dict[signal.Signals, t.Any] = {}

    @property
    def name(self) -> str:
        """The signal's name, nothing if there was none."""
        return "" if self.noted is None else self.noted.name

    def __enter__(self) -> DeferredSignals:
        if threading.current_thread() is threading.main_thread():
            for number in _SIGNALS:
                handler = signal.getsignal(number)
                # None is a handler that is not Python's and could not be put back.
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
        """Here they end what is going on.

        :raises Interrupted: one came, or had come before.
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
            # Once: what has to be finished now shall not be interrupted by a second one.
            self._raises = False
            raise Interrupted(self.name)
