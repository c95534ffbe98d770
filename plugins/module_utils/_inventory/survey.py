# Copyright (c) 2026, the netless.qga authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Read all sources and ask all agents at the same time, until all have answered or the time is up.

The thread that calls :meth:`Survey.run` coordinates. Each listing and each question runs in a thread of its own, which
bounds its time itself. If a library hangs in spite of that, its thread is left behind.
"""

from __future__ import annotations

import queue
import threading
import typing as t
from collections import deque
from dataclasses import dataclass, field

from ansible_collections.netless.qga.plugins.module_utils._deadline import Deadline
from ansible_collections.netless.qga.plugins.module_utils._inventory.domain import (
    UNKNOWN_STATE,
    AgentReport,
    AgentState,
    Domain,
    Result,
)
from ansible_collections.netless.qga.plugins.module_utils._inventory.source import Source
from ansible_collections.netless.qga.plugins.module_utils.errors import QgaError, excerpt

# A job whose deadline is the overall one ends a moment after it.
_GRACE = 0.5

_NO_TIME_LEFT = "the time for the inventory was up before the agent could be asked"
_STILL_WAITING = "no answer before the time for the inventory was up"


@dataclass(frozen=True)
class SurveyLimits:
    """How long a survey may take, and how much it does at a time.

    :param seconds: for everything.
    :param listing_seconds: for listing the domains of one source.
    :param agent_seconds: for one agent.
    :param max_parallel: how many agents are asked at a time.
    """

    seconds: float
    listing_seconds: float
    agent_seconds: float
    max_parallel: int


@dataclass(frozen=True)
class SurveyResult:
    """What a survey found.

    :param results: the accepted domains, in the order of the sources.
    :param failures: why a source could not be read, by the name of the source.
    """

    results: list[Result] = field(default_factory=list)
    failures: dict[str, str] = field(default_factory=dict)


@dataclass
class _Progress:
    """How far the survey of one source is.

    :param error: why it could not be read; until it is listed, that there is no answer.
    :param domains: those that it lists and the survey accepts.
    :param reports: what the agents of these domains reported, by index.
    :param waiting: the indexes of the domains that are still to be asked.
    :param asking: how many are being asked.
    """

    source: Source
    error: str = _STILL_WAITING
    domains: list[Domain] = field(default_factory=list)
    reports: dict[int, AgentReport] = field(default_factory=dict)
    waiting: deque[int] = field(default_factory=deque)
    asking: int = 0

    def results(self) -> list[Result]:
        """Return the domains with the reports that there are now."""
        missing = AgentReport(AgentState.SILENT, _STILL_WAITING)
        not_asked = AgentReport(AgentState.NOT_ASKED, _NO_TIME_LEFT)
        return [
            Result(domain, self.reports.get(index, not_asked if index in self.waiting else missing))
            for index, domain in enumerate(self.domains)
        ]


class Survey:
    """One survey of some sources.

    :param sources: what to read.
    :param limits: its bounds.
    :param accept: returns whether a domain belongs to the inventory, before its agent is asked. It is called in the
        thread that calls :meth:`run`.
    :param subsets: what to ask agents for, from :func:`select`; None asks no agent.
    """

    def __init__(
        self,
        sources: t.Sequence[Source],
        limits: SurveyLimits,
        *,
        accept: t.Callable[[Domain], bool] = lambda domain: True,
        subsets: t.Sequence[str] | None = (),
    ) -> None:
        self._limits = limits
        self._accept = accept
        self._subsets = subsets
        self._progress = [_Progress(source) for source in sources]
        self._running = 0
        # What remains to be done with the result of a job, in the coordinating thread.
        self._finished: queue.SimpleQueue[t.Callable[[], None]] = queue.SimpleQueue()

    def run(self) -> SurveyResult:
        """Return what is found within the seconds of the limits, and a little more."""
        deadline = Deadline.after(self._limits.seconds)
        latest = Deadline(deadline.at + _GRACE)
        for progress in self._progress:
            self._start(self._listing, progress, deadline)
        while self._running:
            try:
                finish = self._finished.get(timeout=latest.remaining())
            except queue.Empty:
                break
            self._running -= 1
            finish()
            self._ask_waiting(deadline)
        self._close(latest)
        return SurveyResult(
            [result for progress in self._progress for result in progress.results()],
            {progress.source.name: progress.error for progress in self._progress if progress.error},
        )

    def _start(self, job: t.Callable[..., t.Callable[[], None]], *arguments: t.Any) -> None:
        """Run a job in a thread. It returns what remains to be done with its result."""
        self._running += 1
        threading.Thread(target=lambda: self._finished.put(job(*arguments)), daemon=True).start()

    def _listing(self, progress: _Progress, deadline: Deadline) -> t.Callable[[], None]:
        domains: list[Domain] = []
        error = ""
        try:
            domains = progress.source.list_domains(deadline.within(self._limits.listing_seconds))
        except QgaError as exc:
            error = str(exc)
        except Exception as exc:  # pylint: disable=broad-exception-caught  # other sources are not to suffer
            error = _unexpected(exc)

        def finish() -> None:
            progress.error = error
            progress.domains = [domain for domain in domains if self._accept(domain)]
            for index, domain in enumerate(progress.domains):
                reason = self._reason_not_to_ask(domain)
                if reason is None:
                    progress.waiting.append(index)
                else:
                    progress.reports[index] = AgentReport(AgentState.NOT_ASKED, reason)

        return finish

    def _reason_not_to_ask(self, domain: Domain) -> str | None:
        """Return why the agent of a domain is not asked; None if it is."""
        if self._subsets is None:
            return "agents are not asked"
        if domain.state not in ("running", UNKNOWN_STATE):
            return f"the domain is {domain.state}"
        return None

    def _ask_waiting(self, deadline: Deadline) -> None:
        """Start to ask as many agents as the limits allow."""
        for progress in self._progress:
            while (
                progress.waiting
                and progress.asking < progress.source.max_parallel
                and sum(other.asking for other in self._progress) < self._limits.max_parallel
                and not deadline.passed
            ):
                progress.asking += 1
                self._start(self._question, progress, progress.waiting.popleft(), deadline)

    def _question(self, progress: _Progress, index: int, deadline: Deadline) -> t.Callable[[], None]:
        try:
            report = progress.source.ask(
                progress.domains[index], self._subsets or (), deadline.within(self._limits.agent_seconds)
            )
        except Exception as exc:  # pylint: disable=broad-exception-caught  # other domains are not to suffer
            report = AgentReport(AgentState.UNAVAILABLE, _unexpected(exc))

        def finish() -> None:
            progress.asking -= 1
            progress.reports[index] = report

        return finish

    def _close(self, latest: Deadline) -> None:
        """Close the sources in a thread, which a hypervisor that hangs may delay."""

        def close() -> None:
            for progress in self._progress:
                progress.source.close()

        closing = threading.Thread(target=close, daemon=True)
        closing.start()
        closing.join(latest.remaining())


def _unexpected(exc: Exception) -> str:
    return f"unexpected error: {type(exc).__name__}: {excerpt(str(exc))}"
