# Copyright (c) 2026, the netless.qga authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Many cases on many agents at once: nearly all of a case is waiting, for replies that the relay has lost."""

from __future__ import annotations

import contextlib
import multiprocessing
import time
import traceback
import typing as t
from collections import defaultdict
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, field

from ansible_collections.netless.qga.tests.guests import trees
from ansible_collections.netless.qga.tests.guests.sandbox import SandboxedAgent

from .cases import Cases, Tally
from .places import Place, places
from .scenarios import counting_module

_MAX_FAILURES = 20
"""After so many failures on one agent there are no more cases on it."""


@dataclass
class Report:
    """How the cases ended.

    :param suites: how many ran on the agent of each suite.
    :param failures: the messages of those that failed.
    """

    tally: Tally = field(default_factory=Tally)
    suites: dict[str, int] = field(default_factory=lambda: defaultdict(int))
    failures: list[str] = field(default_factory=list)

    def add(self, other: Report) -> None:
        """Add the cases of another one."""
        self.tally.add(other.tally)
        for suite, count in other.suites.items():
            self.suites[suite] += count
        self.failures += other.failures

    @property
    def cases(self) -> int:
        """How many cases have run."""
        return sum(self.suites.values())


def run(
    suites: t.Sequence[str],
    *,
    first: int,
    cases: int,
    workers: int,
    seconds: float = float("inf"),
    chosen: t.Sequence[Place] = (),
) -> Report:
    """Run cases, and return how they ended.

    :param suites: the suites of the agents.
    :param first: the number of the first case; the number chooses the place.
    :param cases: how many cases there are in all.
    :param workers: how many agents there are at a time, at least one of each suite.
    :param seconds: how many seconds after the preparations no more cases begin.
    :param chosen: the places; by default all places are used in turn.
    """
    per_suite = max(1, workers // len(suites))
    # Made once, and passed on to the workers by the fork.
    counting_module()
    with ProcessPoolExecutor(per_suite * len(suites), multiprocessing.get_context("fork")) as pool:
        found = {suite: list(chosen) for suite in suites}
        if not chosen:
            found = dict(zip(suites, pool.map(_places, suites)))
        end = time.monotonic() + seconds
        slices = []
        for index, suite in enumerate(suites):
            numbers = range(first + index, first + cases, len(suites))
            for worker in range(per_suite):
                mine = numbers[worker::per_suite]
                slices.append((suite, [found[suite][number // len(suites) % len(found[suite])] for number in mine]))
        report = Report()
        for future in [pool.submit(_run_on_agents, *part, end) for part in slices]:
            report.add(future.result())
    return report


def _places(suite: str) -> list[Place]:
    with SandboxedAgent(trees.build(suite)) as guest, Cases(guest) as cases:
        return places(cases.transcripts())


def _run_on_agents(suite: str, chosen: list[Place], end: float) -> Report:
    """Run cases one after the other. After a failure there is another agent, since the first may be gone."""
    report = Report()
    remaining = enumerate(chosen, start=1)
    while len(report.failures) < _MAX_FAILURES:
        with contextlib.ExitStack() as stack:
            guest = stack.enter_context(SandboxedAgent(trees.build(suite)))
            cases = stack.enter_context(Cases(guest))
            try:
                for number, place in remaining:
                    if time.monotonic() > end:
                        break
                    report.suites[suite] += 1
                    cases.run(number, place)
                cases.check_counters()
            except Exception:  # pylint: disable=broad-exception-caught
                report.failures.append(f"{suite}: {traceback.format_exc()}")
            else:
                report.tally.add(cases.tally)
                break
            report.tally.add(cases.tally)
    return report
