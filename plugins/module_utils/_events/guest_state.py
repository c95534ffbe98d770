# Copyright (c) 2026, the netless.qga authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What changes at a guest, as events, from a series of observations."""

from __future__ import annotations

import typing as t

from ansible_collections.netless.qga.plugins.module_utils._events.observation import Observation
from ansible_collections.netless.qga.plugins.module_utils._guest.power.boot import UNKNOWN, Boot

Event = dict[str, t.Any]


class GuestState:
    """The state of one guest, and the events that lead to it.

    :param attempts: how many observations in a row have to find no agent until it counts as down.
    :param frozen_for: for how many seconds filesystems have to be frozen until that is an event.
    """

    def __init__(self, *, attempts: int, frozen_for: float) -> None:
        self._attempts = attempts
        self._frozen_for = frozen_for
        self._up: bool | None = None
        self._since = 0.0
        self._failures = 0
        self._boot = UNKNOWN
        self._frozen_since: float | None = None
        self._frozen_reported = False

    @property
    def known_boot(self) -> Boot:
        """What is known of the boot that the guest is in; nothing if the last observation found no agent."""
        return self._boot if self._up and not self._failures else UNKNOWN

    def update(self, seen: Observation, now: float) -> list[Event]:
        """Take an observation, and return the events that it causes, in order.

        :param now: seconds on a clock that does not jump.
        """
        if seen.answers is None:
            return []
        if not seen.answers:
            return self._update_silent(seen, now)
        return [*self._update_up(seen, now), *self._update_frozen(seen, now)]

    def _update_silent(self, seen: Observation, now: float) -> list[Event]:
        self._failures += 1
        if self._failures < self._attempts or self._up is False:
            return []
        return [self._change(False, now, {"reason": seen.reason, "message": seen.message})]

    def _update_up(self, seen: Observation, now: float) -> list[Event]:
        self._failures = 0
        rebooted = self._boot.is_another(seen.boot)
        evidence = "boot_id" if self._boot.boot_id is not None and seen.boot.boot_id is not None else "ticks"
        self._remember(seen.boot, keep=not rebooted)
        details = {"version": seen.version} if seen.version else {}
        events = []
        if not self._up:
            known = {} if rebooted is None else {"rebooted": rebooted}
            events.append(self._change(True, now, {**details, **known}))
        if rebooted:
            events.append({"event": "rebooted", "evidence": evidence, **details})
        return events

    def _change(self, up: bool, now: float, details: Event) -> Event:
        """Return the event for an agent that went up or down, or was seen for the first time."""
        event: Event = {"event": "up" if up else "down", "first": self._up is None, **details}
        if self._up is not None:
            event["seconds"] = round(now - self._since, 3)
        self._up, self._since = up, now
        return event

    def _remember(self, boot: Boot, *, keep: bool) -> None:
        """Remember what an observation shows of the boot. A frozen agent reports nothing about it."""
        known = self._boot if keep else UNKNOWN
        self._boot = Boot(
            boot_id=known.boot_id if boot.boot_id is None else boot.boot_id,
            ticks=known.ticks if boot.ticks is None else boot.ticks,
        )

    def _update_frozen(self, seen: Observation, now: float) -> list[Event]:
        if seen.frozen is None:
            return []
        if not seen.frozen:
            events = self._thawed(now) if self._frozen_reported else []
            self._frozen_since, self._frozen_reported = None, False
            return events
        if self._frozen_since is None:
            self._frozen_since = now
        seconds = now - self._frozen_since
        if self._frozen_reported or seconds < self._frozen_for:
            return []
        self._frozen_reported = True
        return [{"event": "frozen", "seconds": round(seconds, 3)}]

    def _thawed(self, now: float) -> list[Event]:
        return [{"event": "thawed", "seconds": round(now - (self._frozen_since or now), 3)}]
