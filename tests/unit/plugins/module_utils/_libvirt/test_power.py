# Copyright (c) 2026, the netless.qga authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The state of a domain, and what libvirt does about it without an agent."""

from __future__ import annotations

import threading
import typing as t

import pytest

from ansible_collections.netless.qga.plugins.module_utils._deadline import Deadline
from ansible_collections.netless.qga.plugins.module_utils._libvirt.domain import DomainState, LibvirtDomain
from ansible_collections.netless.qga.plugins.module_utils._libvirt.power import press_power_button, wake_up
from ansible_collections.netless.qga.plugins.module_utils.errors import EndpointUnavailable, OutcomeUnknown
from ansible_collections.netless.qga.tests.unit.plugins.module_utils._libvirt.hypervisor import Failure, Hypervisor


@pytest.fixture(name="hypervisor")
def fixture_hypervisor(monkeypatch: pytest.MonkeyPatch) -> Hypervisor:
    hypervisor = Hypervisor()
    hypervisor.install(monkeypatch)
    return hypervisor


@pytest.fixture(name="domain")
def fixture_domain() -> t.Iterator[LibvirtDomain]:
    domain = LibvirtDomain("db1", "qemu:///system")
    yield domain
    domain.close()


def soon() -> Deadline:
    return Deadline.after(0.2)


@pytest.mark.parametrize(
    ("number", "state"),
    [
        (1, DomainState.RUNNING),
        (2, DomainState.RUNNING),
        (3, DomainState.PAUSED),
        (4, DomainState.RUNNING),
        (5, DomainState.OFF),
        (6, DomainState.CRASHED),
        (7, DomainState.SUSPENDED),
    ],
)
def test_every_state_can_be_asked_for(
    hypervisor: Hypervisor, domain: LibvirtDomain, number: int, state: DomainState
) -> None:
    hypervisor.power = number
    assert domain.state(soon()) is state is domain.state(soon())
    assert hypervisor.opened == 1


def test_a_domain_that_never_was_is_not_off(hypervisor: Hypervisor) -> None:
    with pytest.raises(EndpointUnavailable, match="there is no such domain"):
        LibvirtDomain("db2", "qemu:///system").state(soon())
    assert hypervisor.closed


def test_one_that_vanished_is(hypervisor: Hypervisor, domain: LibvirtDomain, monkeypatch: pytest.MonkeyPatch) -> None:
    def vanished() -> t.NoReturn:
        raise Failure(42, "no domain with matching uuid")

    domain.state(soon())
    monkeypatch.setattr(hypervisor, "state", vanished)
    assert domain.state(soon()) is DomainState.OFF


def test_libvirt_is_connected_to_anew(hypervisor: Hypervisor, domain: LibvirtDomain) -> None:
    domain.state(soon())
    hypervisor.alive = False
    assert domain.state(soon()) is DomainState.RUNNING
    assert hypervisor.opened == 2


def test_libvirt_that_is_away(hypervisor: Hypervisor, domain: LibvirtDomain) -> None:
    hypervisor.open_failures = [Failure(38, "Connection refused")]
    for function in (domain.state, lambda deadline: wake_up(domain, deadline)):
        with pytest.raises(EndpointUnavailable, match="qemu:///system: Connection refused"):
            function(soon())
    assert hypervisor.native_calls == []


def test_the_orders(hypervisor: Hypervisor, domain: LibvirtDomain) -> None:
    press_power_button(domain, soon())
    press_power_button(domain, soon(), start_anew=True)
    wake_up(domain, soon())
    assert hypervisor.native_calls == [("shutdownFlags", 1), ("reboot", 1), ("pMWakeup", 0)]


def test_an_order_that_is_refused(hypervisor: Hypervisor, domain: LibvirtDomain) -> None:
    def refuse(flags: int) -> t.NoReturn:
        raise Failure(88, "access denied: 'QEMU' denied access: domain.init-control")

    hypervisor.own["shutdownFlags"] = refuse
    with pytest.raises(
        EndpointUnavailable, match=r"libvirt did not press the power button: access denied.*init-control"
    ):
        press_power_button(domain, soon())


def test_an_order_whose_answer_does_not_come(hypervisor: Hypervisor, domain: LibvirtDomain) -> None:
    released = threading.Event()
    hypervisor.own["pMWakeup"] = lambda flags: released.wait(20)
    try:
        with pytest.raises(OutcomeUnknown, match="libvirt was asked to wake the guest up, and did not say in time"):
            wake_up(domain, soon())
        assert domain.state(soon()) is DomainState.RUNNING and hypervisor.opened == 2
    finally:
        released.set()
