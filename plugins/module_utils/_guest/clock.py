# Copyright (c) 2026, the netless.qga authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A guest's clock: reading how far it is off the clock of the host where this runs, and setting it."""

from __future__ import annotations

import datetime
import decimal
import time
import typing as t
from dataclasses import dataclass

from ansible_collections.netless.qga.plugins.module_utils._agent.agent import Agent
from ansible_collections.netless.qga.plugins.module_utils._deadline import Deadline
from ansible_collections.netless.qga.plugins.module_utils.errors import (
    AgentRefused,
    CommandUnavailable,
    InvalidRequest,
    TaskFailed,
)

_EPOCH = datetime.datetime(1970, 1, 1, tzinfo=datetime.timezone.utc)
_NANOSECONDS = 10**9

# The best reading counts: the first one may include opening the channel, and any may be delayed.
_ATTEMPTS = 3


def moment(nanoseconds: int) -> dict[str, t.Any]:
    """Return a point in time as a part of a module's result."""
    date = _EPOCH + datetime.timedelta(microseconds=nanoseconds // 1000)
    return {
        "nanoseconds": nanoseconds,
        "iso8601": date.replace(tzinfo=None).isoformat(timespec="microseconds") + "Z",
    }


@dataclass(frozen=True)
class Reading:
    """What a guest's clock showed at one moment.

    :param nanoseconds: since 1970 in UTC.
    :param drift: nanoseconds that it was ahead of the host's clock.
    :param uncertainty: nanoseconds that the drift may be wrong, half of the round trip.
    """

    nanoseconds: int
    drift: int
    uncertainty: int

    def as_result(self) -> dict[str, t.Any]:
        """Return it as a part of a module's result."""
        return {
            "time": moment(self.nanoseconds),
            "drift": self.drift / _NANOSECONDS,
            "uncertainty": self.uncertainty / _NANOSECONDS,
        }

    def as_diff(self) -> dict[str, str]:
        """Return it as one side of a diff."""
        return {"drift": f"{self.drift / _NANOSECONDS:+.3f} s", "time": moment(self.nanoseconds)["iso8601"]}


@dataclass(frozen=True)
class Adjustment:
    """What an attempt to set a clock led to.

    :param before: what the clock showed before.
    :param after: what it shows now, or would show in check mode.
    :param changed: whether the clock was set, or would be in check mode.
    :param reached: whether the clock now shows what it should.
    :param refusal: the error that the agent reported.
    """

    before: Reading
    after: Reading
    changed: bool
    reached: bool = True
    refusal: AgentRefused | None = None

    def as_result(self, *, diff_mode: bool) -> dict[str, t.Any]:
        """Return it as the result of a module."""
        result = {
            "changed": self.changed,
            **self.after.as_result(),
            "drift_before": self.before.drift / _NANOSECONDS,
        }
        if diff_mode and self.changed:
            result["diff"] = {"before": self.before.as_diff(), "after": self.after.as_diff()}
        return result

    @property
    def warnings(self) -> list[str]:
        """Why the user should look at the guest although its clock was set."""
        if self.refusal is None or not self.reached:
            return []
        return [f"The guest's clock was set, but its agent reports an error: {self.refusal}"]

    def require_reached(self, endpoint: str, result: t.Mapping[str, t.Any]) -> None:
        """Raise an error if the clock does not show what it should.

        :param endpoint: of the guest's agent.
        :param result: goes into the error.
        :raises TaskFailed: the agent refused to set the clock, or the clock shows something else.
        """
        if self.reached:
            return
        ahead = f"{self.after.drift / _NANOSECONDS:.3f} s ahead of this host's"
        if self.refusal is not None:
            raise TaskFailed(
                f"{self.refusal}. The guest's clock is {ahead}, which is not what it should be",
                error="agent_refused",
                **result,
            )
        raise TaskFailed(
            f"{endpoint}: the agent reports that it has set the guest's clock, but the clock is {ahead}, which is not "
            f"what it should be. A time service in the guest may have set it back",
            error="clock_not_set",
            **result,
        )


def parse(text: str) -> int:
    """Return the nanoseconds since 1970 of a point in time that a user wrote.

    :param text: seconds since 1970, or an ISO 8601 date and time with an offset from UTC, or ``Z``.
    :raises InvalidRequest: it is neither, or out of the range of an agent.
    """
    text = text.strip()
    try:
        nanoseconds = int(decimal.Decimal(text) * _NANOSECONDS)
    except (ArithmeticError, ValueError):
        nanoseconds = _parse_date(text)
    if not 0 <= nanoseconds < 2**63:
        raise InvalidRequest(f"time: {text!r} is before 1970 or after 2262, which no agent can set")
    return nanoseconds


def _parse_date(text: str) -> int:
    try:
        # Python before 3.11 does not know the Z.
        date = datetime.datetime.fromisoformat(f"{text[:-1]}+00:00" if text[-1:] in ("Z", "z") else text)
    except ValueError as exc:
        raise InvalidRequest(
            f"time: {text!r} is neither a number of seconds since 1970 nor like 2026-01-31T12:00:00Z"
        ) from exc
    if date.tzinfo is None:
        raise InvalidRequest(f"time: {text!r} has no time zone: end it with Z for UTC, or with an offset like +01:00")
    return (date - _EPOCH) // datetime.timedelta(microseconds=1) * 1000


def read_clock(agent: Agent, deadline: t.Callable[[], Deadline]) -> Reading:
    """Read a guest's clock.

    :param deadline: makes the deadline of one command.
    :returns: the best of several readings.
    """
    return min((_read_once(agent, deadline()) for dummy in range(_ATTEMPTS)), key=lambda reading: reading.uncertainty)


def _read_once(agent: Agent, deadline: Deadline) -> Reading:
    host, started = time.time_ns(), time.monotonic_ns()
    nanoseconds: int = agent.call("guest-get-time", deadline=deadline, repeatable=True)
    half = (time.monotonic_ns() - started) // 2
    return Reading(nanoseconds, nanoseconds - (host + half), half)


class Clock:
    """A guest's clock, to be set.

    :param agent: the guest's agent.
    :param deadline: makes the deadline of one command.
    :param max_drift: seconds that the clock may be off without being set.
    :param check_mode: whether to change nothing.
    """

    def __init__(
        self, agent: Agent, deadline: t.Callable[[], Deadline], *, max_drift: float, check_mode: bool = False
    ) -> None:
        self._agent = agent
        self._deadline = deadline
        self._max_drift = max_drift * _NANOSECONDS
        self._check_mode = check_mode

    def follow_host(self) -> Adjustment:
        """Set the clock to the host's time if it is off."""
        return self._adjust(self._read(), 0)

    def set(self, nanoseconds: int) -> Adjustment:
        """Set the clock to a point in time if it is off, from where it continues."""
        before = self._read()
        return self._adjust(before, nanoseconds - time.time_ns())

    def follow_rtc(self) -> Adjustment:
        """Set the clock to the guest's real-time clock, always: the agent does not report what that shows."""
        before = self._read()
        if self._check_mode:
            return Adjustment(before, before, changed=True)
        self._agent.call("guest-set-time", deadline=self._deadline())
        after = self._read()
        doubt = before.uncertainty + after.uncertainty
        return Adjustment(before, after, changed=abs(after.drift - before.drift) > self._max_drift + doubt)

    def _adjust(self, before: Reading, drift: int) -> Adjustment:
        """Set the clock to be a number of nanoseconds ahead of the host's clock, if it is not."""
        if abs(before.drift - drift) <= self._max_drift + before.uncertainty:
            return Adjustment(before, before, changed=False)
        if self._check_mode:
            predicted = Reading(before.nanoseconds - before.drift + drift, drift, before.uncertainty)
            return Adjustment(before, predicted, changed=True)
        started = time.monotonic_ns()
        refusal: AgentRefused | None = None
        try:
            arguments = {"time": time.time_ns() + drift + before.uncertainty}
            self._agent.call("guest-set-time", arguments, deadline=self._deadline())
        except CommandUnavailable:
            raise
        except AgentRefused as exc:
            # The agent sets the system's time first, and may then fail to write it to the guest's real-time clock.
            refusal = exc
        # It is not known at which moment of this time the clock was set.
        doubt = time.monotonic_ns() - started
        after = self._read()
        reached = abs(after.drift - drift) <= self._max_drift + after.uncertainty + doubt
        moved = abs(after.drift - before.drift) > before.uncertainty + after.uncertainty
        return Adjustment(before, after, changed=moved, reached=reached, refusal=refusal)

    def _read(self) -> Reading:
        return read_clock(self._agent, self._deadline)
