# Copyright (c) 2026, the netless.qga authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The channel to a real agent breaks at any byte, in any phase of a task."""

from __future__ import annotations

from ansible_collections.netless.qga.tests.faults import workers
from ansible_collections.netless.qga.tests.faults.places import connect_places
from ansible_collections.netless.qga.tests.guests.trees import SUITES

CASES = 1000


def test_channel_breaks_at_any_byte() -> None:
    report = workers.run(SUITES, first=0, cases=CASES, workers=16)
    assert not report.failures, "\n".join(report.failures)
    assert report.cases == CASES and report.tally.right and report.tally.errors
    # A small call has so few bytes that a part of the cases may have none of them.
    phases = {"close", "exec submit and status", "file write and read", "spool read", "sync", "warm job"}
    assert phases <= set(report.tally.phases)


def test_channel_breaks_on_connecting() -> None:
    chosen = connect_places()
    report = workers.run(SUITES, first=0, cases=len(chosen) * len(SUITES), workers=len(SUITES), chosen=chosen)
    assert not report.failures, "\n".join(report.failures)
    assert report.tally.phases == {"connect": len(chosen) * len(SUITES)}
