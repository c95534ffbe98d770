# Copyright (c) 2026, the netless.qga authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The bookkeeping of an exchange: which of its calls are sent, which are answered, and with what outcome."""

from __future__ import annotations

import time
import typing as t
from collections import deque

from ansible_collections.netless.qga.plugins.module_utils._channels.channel import Call, NoReply, Outcome
from ansible_collections.netless.qga.plugins.module_utils.framing.events import Answer, ErrorReply


class Exchange:
    """The calls of one :meth:`Channel.exchange`, in order, and their outcomes so far.

    :param calls: the commands for the agent.
    """

    def __init__(self, calls: t.Sequence[Call]) -> None:
        self._calls = calls
        # Calls by their index in the sequence, and those that were sent by the number of their request.
        self._waiting = deque(range(len(calls)))
        self._in_flight: dict[int, int] = {}
        self._outcomes: dict[int, Outcome] = {}
        self._started = time.monotonic()

    @property
    def finished(self) -> bool:
        """Whether every call has an outcome."""
        return not self._waiting and not self._in_flight

    @property
    def next_call(self) -> Call | None:
        """The next call to send, None if all are sent."""
        return self._calls[self._waiting[0]] if self._waiting else None

    @property
    def in_flight(self) -> list[Call]:
        """The calls that were sent and are not answered."""
        return [self._calls[index] for index in self._in_flight.values()]

    @property
    def answered(self) -> int:
        """How many calls have an outcome."""
        return len(self._outcomes)

    @property
    def seconds(self) -> float:
        """How long the exchange has taken so far."""
        return time.monotonic() - self._started

    def sent(self, number: int) -> None:
        """Note that the next call was sent.

        :param number: the number of its request.
        """
        self._in_flight[number] = self._waiting.popleft()

    def take(self, event: Answer | ErrorReply) -> Call:
        """Note what the agent answered to a request, and return its call."""
        index = self._in_flight.pop(event.number)
        self._outcomes[index] = event
        return self._calls[index]

    def take_silence(self) -> bool:
        """Note that no more answers come. A call that is silent when it succeeds has succeeded.

        :returns: whether that gives every call an outcome; if not, nothing is noted.
        """
        if self._waiting or any(call.success_response for call in self.in_flight):
            return False
        self._outcomes.update((index, NoReply()) for index in self._in_flight.values())
        self._in_flight.clear()
        return True

    def outcomes(self) -> list[Outcome]:
        """Return the outcome of each call, once the exchange is finished."""
        return [self._outcomes[index] for index in range(len(self._calls))]
