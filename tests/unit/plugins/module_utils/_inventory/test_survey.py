# Copyright (c) 2026, the netless.qga authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A survey of sources that answer, fail, hang, or never come back."""

from __future__ import annotations

import threading
import time
import typing as t

import pytest

from ansible_collections.netless.qga.plugins.module_utils._deadline import Deadline
from ansible_collections.netless.qga.plugins.module_utils._inventory.domain import AgentReport, AgentState, Domain
from ansible_collections.netless.qga.plugins.module_utils._inventory.survey import Survey, SurveyLimits
from ansible_collections.netless.qga.plugins.module_utils.errors import EndpointUnavailable

REACHABLE = AgentReport(AgentState.REACHABLE)


class FakeSource:
    """A source whose domains are given by name.

    :param failure: what listing raises.
    """

    hypervisor = "localhost"

    def __init__(
        self, name: str, domains: t.Sequence[str] = (), *, failure: Exception | None = None, max_parallel: int = 100
    ) -> None:
        self.name = name
        self.max_parallel = max_parallel
        self.failure = failure
        self.closed = False
        self.asked: list[str] = []
        self.most_at_a_time = 0
        self.released = threading.Event()
        """Ends what hangs, so that no thread outlives a test."""
        self._domains = domains
        self._at_a_time = 0
        self._lock = threading.Lock()

    def list_domains(self, deadline: Deadline) -> list[Domain]:
        if self.failure is not None:
            raise self.failure
        if "hang" in self.name:
            self.released.wait(60)
        return [self.domain(name) for name in self._domains]

    def domain(self, name: str) -> Domain:
        state = "off" if name.startswith("off") else "running"
        return Domain(name=name, source=self.name, hypervisor=self.hypervisor, endpoint="libvirt", state=state)

    def ask(self, domain: Domain, subsets: t.Sequence[str], deadline: Deadline) -> AgentReport:
        with self._lock:
            self.asked.append(domain.name)
            self._at_a_time += 1
            self.most_at_a_time = max(self.most_at_a_time, self._at_a_time)
        try:
            if domain.name.startswith("bug"):
                raise ValueError("a bug")
            if domain.name.startswith("silent"):
                self.released.wait(deadline.remaining())
                return AgentReport(AgentState.SILENT, "no answer")
            if domain.name.startswith("stuck"):
                self.released.wait(60)
            return REACHABLE
        finally:
            with self._lock:
                self._at_a_time -= 1

    def close(self) -> None:
        self.closed = True


def limits(seconds: float = 20, listing: float = 20, agent: float = 20, parallel: int = 100) -> SurveyLimits:
    return SurveyLimits(seconds, listing, agent, parallel)


def states(survey: Survey) -> dict[str, str]:
    """Run a survey, and return the state of each agent by the name of its domain."""
    return {result.domain.name: result.report.state.value for result in survey.run().results}


@pytest.fixture(name="make")
def fixture_make() -> t.Iterator[t.Callable[..., FakeSource]]:
    sources = []

    def make(*arguments: t.Any, **options: t.Any) -> FakeSource:
        sources.append(FakeSource(*arguments, **options))
        return sources[-1]

    yield make
    for source in sources:
        source.released.set()


def test_domains_keep_the_order_of_their_sources(make: t.Callable[..., FakeSource]) -> None:
    sources = [make("b", ["b2", "b1"]), make("a", ["a1"])]
    found = Survey(sources, limits()).run()
    assert [result.domain.name for result in found.results] == ["b2", "b1", "a1"]
    assert all(result.report is REACHABLE for result in found.results)
    assert not found.failures
    assert all(source.closed for source in sources)


def test_only_running_domains_are_asked(make: t.Callable[..., FakeSource]) -> None:
    source = make("a", ["on1", "off1"])
    assert states(Survey([source], limits())) == {"on1": "reachable", "off1": "not_asked"}
    assert source.asked == ["on1"]


def test_no_agent_is_asked_without_subsets(make: t.Callable[..., FakeSource]) -> None:
    source = make("a", ["on1"])
    assert states(Survey([source], limits(), subsets=None)) == {"on1": "not_asked"}
    assert source.asked == []


def test_rejected_domains_are_neither_asked_nor_returned(make: t.Callable[..., FakeSource]) -> None:
    source = make("a", ["web1", "db1"])
    caller = threading.get_ident()
    callers = set()

    def accept(domain: Domain) -> bool:
        callers.add(threading.get_ident())
        return domain.name == "db1"

    assert states(Survey([source], limits(), accept=accept)) == {"db1": "reachable"}
    assert source.asked == ["db1"]
    assert callers == {caller}


def test_error_of_the_filter_is_raised(make: t.Callable[..., FakeSource]) -> None:
    def accept(domain: Domain) -> bool:
        raise KeyError("filters")

    with pytest.raises(KeyError):
        Survey([make("a", ["web1"])], limits(), accept=accept).run()


@pytest.mark.parametrize(
    ("failure", "message"),
    [
        (EndpointUnavailable("hypervisor b: refused"), "hypervisor b: refused"),
        (ValueError("a bug\nhere"), "unexpected error: ValueError: a bug here"),
    ],
)
def test_source_that_fails_costs_only_itself(
    make: t.Callable[..., FakeSource], failure: Exception, message: str
) -> None:
    found = Survey([make("b", failure=failure), make("a", ["a1"])], limits()).run()
    assert [result.domain.name for result in found.results] == ["a1"]
    assert found.failures == {"b": message}


def test_question_that_fails_costs_only_itself(make: t.Callable[..., FakeSource]) -> None:
    found = Survey([make("a", ["bug1", "on1"])], limits()).run()
    assert [result.report.state for result in found.results] == [AgentState.UNAVAILABLE, AgentState.REACHABLE]
    assert "ValueError: a bug" in found.results[0].report.message


def test_silent_agents_are_waited_for_together(make: t.Callable[..., FakeSource]) -> None:
    source = make("a", [f"silent{number}" for number in range(20)] + ["on1"])
    started = time.monotonic()
    found = states(Survey([source], limits(agent=1)))
    # One after the other, they would take 20 seconds.
    assert time.monotonic() - started < 10
    assert found.pop("on1") == "reachable"
    assert set(found.values()) == {"silent"}


def test_source_limits_how_many_of_its_agents_are_asked_at_a_time(make: t.Callable[..., FakeSource]) -> None:
    narrow = make("a", [f"silent{number}" for number in range(4)], max_parallel=2)
    assert set(states(Survey([narrow], limits(agent=0.2))).values()) == {"silent"}
    assert narrow.most_at_a_time == 2


def test_survey_limits_how_many_agents_are_asked_at_a_time(make: t.Callable[..., FakeSource]) -> None:
    sources = [make("a", ["silent1", "silent2"]), make("b", ["silent3", "on1"])]
    found = states(Survey(sources, limits(agent=0.2, parallel=1)))
    assert found == {"silent1": "silent", "silent2": "silent", "silent3": "silent", "on1": "reachable"}
    assert [source.most_at_a_time for source in sources] == [1, 1]


def test_survey_ends_in_spite_of_what_never_comes_back(make: t.Callable[..., FakeSource]) -> None:
    sources = [make("hangs", ["never"]), make("a", ["stuck1", "on1", "late1"], max_parallel=1), make("b", ["on2"])]
    started = time.monotonic()
    found = Survey(sources, limits(seconds=1)).run()
    assert time.monotonic() - started < 10
    reports = {result.domain.name: result.report.state.value for result in found.results}
    assert reports == {"stuck1": "silent", "on1": "not_asked", "late1": "not_asked", "on2": "reachable"}
    assert list(found.failures) == ["hangs"]
    assert "no answer" in found.failures["hangs"]
