# Copyright (c) 2026, the netless.qga authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What libvirt does to the power of a domain without an agent."""

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


def test_libvirt_that_cannot_be_reached(hypervisor: Hypervisor, domain: LibvirtDomain) -> None:
    hypervisor.open_failures = [Failure(38, "Connection refused")]
    for function in (domain.state, lambda deadline: wake_up(domain, deadline)):
        with pytest.raises(EndpointUnavailable, match="qemu:///system: Connection refused"):
            function(soon())
    assert hypervisor.native_calls == []


def test_requests_become_native_calls(hypervisor: Hypervisor, domain: LibvirtDomain) -> None:
    press_power_button(domain, soon())
    press_power_button(domain, soon(), restart=True)
    wake_up(domain, soon())
    assert hypervisor.native_calls == [("shutdownFlags", 1), ("reboot", 1), ("pMWakeup", 0)]


def test_refused_request_names_the_reason(hypervisor: Hypervisor, domain: LibvirtDomain) -> None:
    def refuse(flags: int) -> t.NoReturn:
        raise Failure(88, "access denied: 'QEMU' denied access: domain.init-control")

    hypervisor.own["shutdownFlags"] = refuse
    with pytest.raises(
        EndpointUnavailable, match=r"libvirt did not press the power button: access denied.*init-control"
    ):
        press_power_button(domain, soon())


def test_unanswered_request_has_unknown_outcome(hypervisor: Hypervisor, domain: LibvirtDomain) -> None:
    released = threading.Event()
    hypervisor.own["pMWakeup"] = lambda flags: released.wait(20)
    try:
        with pytest.raises(
            OutcomeUnknown, match="libvirt was asked to wake the guest up, and did not confirm it in time"
        ):
            wake_up(domain, soon())
        assert domain.state(soon()) is DomainState.RUNNING and hypervisor.opened == 2
    finally:
        released.set()
