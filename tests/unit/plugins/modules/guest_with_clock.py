# Copyright (c) 2026, the netless.qga authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A guest with a clock, for the tests of time and time_info."""

from __future__ import annotations

import time
import typing as t

from ansible_collections.netless.qga.tests.guests.scripted_agent import ScriptedAgent

HOUR = 3600 * 10**9


class GuestWithClock:
    """A guest whose clock is ahead.

    :param ahead: nanoseconds.
    """

    def __init__(self, *profiles: str, ahead: int = 0) -> None:
        self.agent = ScriptedAgent(*profiles)
        self.ahead = ahead
        self.rtc_ahead = 0
        self.agent.handlers["guest-get-time"] = lambda arguments: time.time_ns() + self.ahead
        self.agent.handlers["guest-set-time"] = self.set

    @property
    def set_calls(self) -> list[t.Any]:
        """The arguments of each guest-set-time that the agent received."""
        return [request.get("arguments") for request in self.agent.requests if request["execute"] == "guest-set-time"]

    def set(self, arguments: dict[str, t.Any]) -> t.Any:
        """Set the clock, as the agent does."""
        self.ahead = arguments["time"] - time.time_ns() if "time" in arguments else self.rtc_ahead
        return {}
