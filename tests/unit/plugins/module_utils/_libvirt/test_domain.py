# Copyright (c) 2026, the netless.qga authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The state of a domain, and its connection to libvirt."""

from __future__ import annotations

import typing as t

import pytest

from ansible_collections.netless.qga.plugins.module_utils._deadline import Deadline
from ansible_collections.netless.qga.plugins.module_utils._libvirt.domain import DomainState, LibvirtDomain
from ansible_collections.netless.qga.plugins.module_utils.errors import EndpointUnavailable
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
def test_state_of_a_domain(hypervisor: Hypervisor, domain: LibvirtDomain, number: int, state: DomainState) -> None:
    hypervisor.power = number
    assert domain.state(soon()) is state is domain.state(soon())
    assert hypervisor.opened == 1


def test_domain_that_does_not_exist_is_an_error(hypervisor: Hypervisor) -> None:
    with pytest.raises(EndpointUnavailable, match="there is no such domain"):
        LibvirtDomain("db2", "qemu:///system").state(soon())
    assert hypervisor.closed


def test_domain_that_vanished_is_off(
    hypervisor: Hypervisor, domain: LibvirtDomain, monkeypatch: pytest.MonkeyPatch
) -> None:
    def vanished() -> t.NoReturn:
        raise Failure(42, "no domain with matching uuid")

    domain.state(soon())
    monkeypatch.setattr(hypervisor, "state", vanished)
    assert domain.state(soon()) is DomainState.OFF


def test_lost_connection_is_opened_again(hypervisor: Hypervisor, domain: LibvirtDomain) -> None:
    domain.state(soon())
    hypervisor.alive = False
    assert domain.state(soon()) is DomainState.RUNNING
    assert hypervisor.opened == 2
