# Copyright (c) 2026, the netless.qga authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A hypervisor as a source of domains. Its connections serve one domain after the other."""

from __future__ import annotations

import sys
import threading
import typing as t

import pytest

from ansible_collections.netless.qga.plugins.module_utils._deadline import Deadline
from ansible_collections.netless.qga.plugins.module_utils._inventory.domain import AgentState, Domain
from ansible_collections.netless.qga.plugins.module_utils._inventory.hypervisor_source import HypervisorSource
from ansible_collections.netless.qga.plugins.module_utils.errors import EndpointUnavailable, LibraryMissing

from .._libvirt.hypervisor import OFF, PAUSED, Failure, Hypervisor

URI = "qemu+ssh://root@hv1.example.com/system?no_tty=1"


@pytest.fixture(name="hypervisor")
def fixture_hypervisor(monkeypatch: pytest.MonkeyPatch) -> Hypervisor:
    hypervisor = Hypervisor()
    hypervisor.install(monkeypatch)
    return hypervisor


@pytest.fixture(name="source")
def fixture_source() -> t.Iterator[HypervisorSource]:
    source = HypervisorSource(URI, max_parallel=5, namespaces={"app": "https://example.com/app"})
    yield source
    source.close()


def soon() -> Deadline:
    return Deadline.after(20)


@pytest.mark.parametrize(
    ("uri", "host"),
    [
        (URI, "hv1.example.com"),
        ("qemu:///system", "localhost"),
        ("qemu+unix:///system?socket=/run/x", "localhost"),
        ("qemu+tls://[::1]/system", "::1"),
        ("qemu://[", "qemu://["),
    ],
)
def test_hypervisor_in_the_uri(uri: str, host: str) -> None:
    assert HypervisorSource(uri, max_parallel=1, namespaces={}).hypervisor == host


def test_domain_with_metadata(hypervisor: Hypervisor, source: HypervisorSource) -> None:
    hypervisor.metadata = "<a:info xmlns:a='https://example.com/app'><a:role>db</a:role></a:info>"
    assert source.list_domains(soon()) == [
        Domain(
            name="db1",
            source=URI,
            hypervisor="hv1.example.com",
            endpoint="libvirt",
            uri=URI,
            uuid="4dea22b3-1d52-d8f3-2516-782e98ab3fa0",
            number=7,
            state="running",
            metadata={"app": {"role": "db"}},
        )
    ]


@pytest.mark.parametrize(("power", "state", "number"), [(OFF, "off", None), (PAUSED, "paused", 7)])
def test_state_of_a_domain(
    hypervisor: Hypervisor, source: HypervisorSource, power: int, state: str, number: int | None
) -> None:
    hypervisor.power = power
    (domain,) = source.list_domains(soon())
    assert (domain.state, domain.number) == (state, number)


def test_no_description_is_requested_without_need(hypervisor: Hypervisor, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse() -> t.NoReturn:
        raise Failure(1)

    monkeypatch.setattr(hypervisor, "XMLDesc", refuse)
    source = HypervisorSource(URI, max_parallel=1, namespaces={})
    assert [domain.metadata for domain in source.list_domains(soon())] == [{}]
    source.close()


def test_domain_that_was_removed_since_it_was_listed(
    hypervisor: Hypervisor, source: HypervisorSource, monkeypatch: pytest.MonkeyPatch
) -> None:
    def vanished() -> t.NoReturn:
        raise Failure(42, "no domain with matching uuid")

    monkeypatch.setattr(hypervisor, "state", vanished)
    assert source.list_domains(soon()) == []


def test_other_errors_of_a_domain_are_errors_of_the_listing(
    hypervisor: Hypervisor, source: HypervisorSource, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse() -> t.NoReturn:
        raise Failure(88, "access denied")

    monkeypatch.setattr(hypervisor, "state", refuse)
    with pytest.raises(EndpointUnavailable, match=r"access control forbids it; domain\.getattr is needed"):
        source.list_domains(soon())
    assert hypervisor.closed


def test_hypervisor_that_refuses(hypervisor: Hypervisor, source: HypervisorSource) -> None:
    hypervisor.open_failures = [Failure(38, "Failed to connect\nsocket")]
    with pytest.raises(EndpointUnavailable, match=r"hypervisor .*: Failed to connect socket"):
        source.list_domains(soon())


def test_hypervisor_that_hangs(
    hypervisor: Hypervisor, source: HypervisorSource, monkeypatch: pytest.MonkeyPatch
) -> None:
    released = threading.Event()

    def hang() -> list[Hypervisor]:
        released.wait(60)
        return []

    monkeypatch.setattr(hypervisor, "listAllDomains", hang)
    try:
        with pytest.raises(EndpointUnavailable, match="no answer from libvirt in time"):
            source.list_domains(Deadline.after(0.2))
    finally:
        released.set()


def test_missing_library(source: HypervisorSource, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "libvirt", None)
    with pytest.raises(LibraryMissing, match="python3-libvirt"):
        source.list_domains(soon())


def test_one_connection_serves_the_list_and_all_domains(hypervisor: Hypervisor, source: HypervisorSource) -> None:
    hypervisor.serve(guest_get_osinfo={"id": "debian"})
    (domain,) = source.list_domains(soon())
    for dummy in range(3):
        report = source.ask(domain, ("os",), soon())
        assert report.state is AgentState.REACHABLE
        assert report.facts == {"os": {"id": "debian"}}
    assert (hypervisor.opened, hypervisor.closed) == (1, False)
    source.close()
    assert hypervisor.closed


def test_connection_that_is_gone_is_replaced(hypervisor: Hypervisor, source: HypervisorSource) -> None:
    hypervisor.serve()
    (domain,) = source.list_domains(soon())
    hypervisor.alive = False
    assert source.ask(domain, (), soon()).state is AgentState.REACHABLE
    assert hypervisor.opened == 2


def test_connection_that_hangs_is_not_used_again(
    hypervisor: Hypervisor, source: HypervisorSource, monkeypatch: pytest.MonkeyPatch
) -> None:
    hypervisor.serve()
    (domain,) = source.list_domains(soon())
    released = threading.Event()
    hypervisor.agent["guest-info"] = lambda arguments: released.wait(60)
    try:
        assert source.ask(domain, (), Deadline.after(0.2)).state is AgentState.SILENT
    finally:
        released.set()
    hypervisor.serve()
    assert source.ask(domain, (), soon()).state is AgentState.REACHABLE
    assert hypervisor.opened >= 2


def test_agent_that_is_not_connected(hypervisor: Hypervisor, source: HypervisorSource) -> None:
    hypervisor.serve()
    (domain,) = source.list_domains(soon())
    hypervisor.leave()
    report = source.ask(domain, (), soon())
    assert report.state is AgentState.SILENT
    assert "no guest agent is connected" in report.message
