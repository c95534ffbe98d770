# Copyright (c) 2026, the netless.qga authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Deadlines, on a clock that the test sets."""

from __future__ import annotations

import time

import pytest

from ansible_collections.netless.qga.plugins.module_utils._deadline import Deadline


@pytest.fixture(name="clock")
def fixture_clock(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """Replace the clock by a list with the time in it, which sleeping advances."""
    now = [1000.0]

    def sleep(seconds: float) -> None:
        now[0] += seconds

    monkeypatch.setattr(time, "monotonic", lambda: now[0])
    monkeypatch.setattr(time, "sleep", sleep)
    return now


def test_remaining_time_shrinks_to_zero(clock: list[float]) -> None:
    deadline = Deadline.after(5)
    assert (deadline.remaining(), deadline.passed) == (5, False)
    clock[0] += 4
    assert (deadline.remaining(), deadline.passed) == (1, False)
    clock[0] += 1
    assert (deadline.remaining(), deadline.passed) == (0, True)
    clock[0] += 1
    assert (deadline.remaining(), deadline.passed) == (0, True)


def test_sleep_ends_at_the_deadline(clock: list[float]) -> None:
    deadline = Deadline.after(5)
    deadline.sleep(2)
    assert clock[0] == 1002
    deadline.sleep(10)
    assert clock[0] == 1005
    deadline.sleep(10)
    assert clock[0] == 1005


def test_within_returns_the_sooner_deadline(clock: list[float]) -> None:
    deadline = Deadline.after(5)
    assert deadline.within(2) == Deadline(1002)
    assert deadline.within(10) is deadline
    assert Deadline(1) < Deadline(2)
