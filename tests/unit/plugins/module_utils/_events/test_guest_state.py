# Copyright (c) 2026, the netless.qga authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The events that a series of observations causes."""

from __future__ import annotations

import pytest

from ansible_collections.netless.qga.plugins.module_utils._events.guest_state import Event, GuestState
from ansible_collections.netless.qga.plugins.module_utils._events.observation import Observation
from ansible_collections.netless.qga.plugins.module_utils._guest.power.boot import UNKNOWN, Boot

FIRST, SECOND = Boot(boot_id="first", ticks=100), Boot(boot_id="second", ticks=5)
SILENT = Observation(False, reason="agent_silent", message="no agent answers")
BUSY = Observation(None, reason="endpoint_busy")


def up(boot: Boot = FIRST, frozen: bool | None = False) -> Observation:
    return Observation(True, version="9.2.0", boot=boot, frozen=frozen)


def events_of(*observations: Observation, attempts: int = 1, frozen_for: float = 10) -> list[Event]:
    """Return the events of observations that are two seconds apart."""
    state = GuestState(attempts=attempts, frozen_for=frozen_for)
    return [event for number, seen in enumerate(observations) for event in state.update(seen, 2.0 * number)]


def names_of(*observations: Observation, attempts: int = 1, frozen_for: float = 10) -> list[str]:
    return [event["event"] for event in events_of(*observations, attempts=attempts, frozen_for=frozen_for)]


def test_first_observations() -> None:
    assert events_of(up(), up()) == [{"event": "up", "first": True, "version": "9.2.0"}]
    assert events_of(SILENT, SILENT) == [
        {"event": "down", "first": True, "reason": "agent_silent", "message": "no agent answers"}
    ]


def test_agent_that_was_restarted() -> None:
    events = events_of(up(), SILENT, SILENT, up())
    assert [event["event"] for event in events] == ["up", "down", "up"]
    assert events[1]["first"] is False and events[1]["seconds"] == 2
    assert events[2] == {"event": "up", "first": False, "seconds": 4, "version": "9.2.0", "rebooted": False}


def test_guest_that_has_rebooted() -> None:
    events = events_of(up(), SILENT, up(SECOND))
    assert [event["event"] for event in events] == ["up", "down", "up", "rebooted"]
    assert events[2]["rebooted"] is True
    assert events[3] == {"event": "rebooted", "evidence": "boot_id", "version": "9.2.0"}


def test_reboot_between_two_observations() -> None:
    assert names_of(up(), up(SECOND), up(SECOND)) == ["up", "rebooted"]


def test_reboot_that_only_ticks_show() -> None:
    events = events_of(up(Boot(ticks=100)), up(Boot(ticks=50)), up(Boot(ticks=60)))
    assert [event["event"] for event in events] == ["up", "rebooted"]
    assert events[1]["evidence"] == "ticks"


def test_reboot_that_is_not_certain() -> None:
    events = events_of(up(Boot(ticks=100)), SILENT, up(Boot(ticks=150)))
    assert [event["event"] for event in events] == ["up", "down", "up"]
    assert "rebooted" not in events[2]


def test_restored_snapshot_of_the_same_boot_is_no_reboot() -> None:
    assert names_of(up(), up(Boot(boot_id="first", ticks=50))) == ["up"]


def test_frozen_agent_reports_no_boot() -> None:
    assert names_of(up(), up(UNKNOWN, frozen=True), up(), up(SECOND)) == ["up", "rebooted"]


@pytest.mark.parametrize(("failures", "expected"), [(1, ["up"]), (2, ["up"]), (3, ["up", "down", "up"])])
def test_attempts_before_an_agent_counts_as_down(failures: int, expected: list[str]) -> None:
    assert names_of(up(), *[SILENT] * failures, up(), attempts=3) == expected


def test_failures_count_only_in_a_row() -> None:
    assert names_of(up(), SILENT, up(), SILENT, up(), attempts=2) == ["up"]


def test_busy_channel_shows_nothing() -> None:
    assert names_of(BUSY, up(), BUSY, BUSY, up(), SILENT, BUSY, SILENT, attempts=2) == ["up", "down"]


def test_frozen_for_long() -> None:
    frozen = up(UNKNOWN, frozen=True)
    events = events_of(up(), frozen, frozen, frozen, frozen, up(), up(), frozen_for=4)
    assert [event["event"] for event in events] == ["up", "frozen", "thawed"]
    assert events[1] == {"event": "frozen", "seconds": 4}
    assert events[2] == {"event": "thawed", "seconds": 8}


def test_short_freezes_are_no_event() -> None:
    frozen = up(UNKNOWN, frozen=True)
    assert names_of(up(), frozen, frozen, up(), frozen, frozen, up(), frozen_for=3) == ["up"]


def test_frozen_agent_that_is_busy_or_silent_in_between() -> None:
    frozen = up(UNKNOWN, frozen=True)
    assert names_of(frozen, BUSY, SILENT, frozen, attempts=2, frozen_for=6) == ["up", "frozen"]


def test_boot_is_known_only_without_interruption() -> None:
    state = GuestState(attempts=2, frozen_for=10)
    assert state.known_boot == UNKNOWN
    state.update(up(), 0)
    assert state.known_boot == FIRST
    state.update(SILENT, 1)
    assert state.known_boot == UNKNOWN
    state.update(up(SECOND), 2)
    assert state.known_boot == SECOND
