# Copyright (c) 2026, the netless.qga authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The module diagnosis_info: findings about libvirt and the domain."""

from __future__ import annotations

import sys
import typing as t

import pytest

from ansible_collections.netless.qga.plugins.module_utils._agent.target import Target
from ansible_collections.netless.qga.plugins.module_utils._channels.address import Address
from ansible_collections.netless.qga.tests.unit.plugins.module_utils._libvirt.hypervisor import (
    Failure,
    Hypervisor,
    channel_xml,
)

from .conftest import TEST_TIMEOUT, operation_of
from .diagnosed_agent import findings_by_check


class HypervisorWithVersions(Hypervisor):
    """A hypervisor that also reports versions."""

    # pylint: disable=invalid-name  # libvirt's names

    def connect(self) -> Hypervisor:
        return self

    def getLibVersion(self) -> int:
        return 9_000_000

    def getVersion(self) -> int:
        return 7_002_022


@pytest.fixture
def hypervisor(monkeypatch: pytest.MonkeyPatch) -> HypervisorWithVersions:
    hypervisor = HypervisorWithVersions()
    hypervisor.install(monkeypatch)
    return hypervisor


def diagnose_domain(name: str = "db1", endpoint: str = "libvirt") -> dict[str, t.Any]:
    """Run diagnosis_info on a domain, as the fixture ``diagnose`` does on an agent."""
    params = {"domain": name, "uri": None, "endpoint": endpoint, "timeout": TEST_TIMEOUT}
    result = operation_of("diagnosis_info").carry_out(params, Target(Address()), check_mode=False, diff_mode=False)
    return findings_by_check(result)


@pytest.mark.parametrize(
    ("code", "reason"),
    [(45, "rejected the authentication"), (38, "says libvirt"), (88, "access control")],
)
def test_refused_connection_is_a_problem(hypervisor: HypervisorWithVersions, code: int, reason: str) -> None:
    hypervisor.open_failures = [Failure(code)]
    found = diagnose_domain()
    assert found["libvirt"]["status"] == "problem" and reason in found["libvirt"]["message"]
    assert "guide to permissions" in found["libvirt"]["advice"] and "domain" not in found


def test_unknown_domain_is_a_problem(hypervisor: HypervisorWithVersions) -> None:
    found = diagnose_domain("nobody")
    assert found["libvirt"]["status"] == "problem" and "no such domain" in found["libvirt"]["message"]


@pytest.mark.parametrize(("state", "reason"), [(3, "paused"), (5, "off"), (6, "crashed"), (7, "suspended")])
def test_domain_that_does_not_run_is_a_problem(hypervisor: HypervisorWithVersions, state: int, reason: str) -> None:
    hypervisor.states = [state] * 9
    found = diagnose_domain()
    assert found["libvirt"]["status"] == "ok"
    assert found["domain"]["status"] == "problem" and reason in found["domain"]["message"]
    assert "virsh" in found["domain"]["advice"]
    assert list(found)[-1] == "domain"


@pytest.mark.parametrize(
    ("code", "text", "check", "advice"),
    [
        (74, "QEMU guest agent is not configured", "channel", "virsh attach-device"),
        (88, "access denied", "channel", "virsh attach-device"),
        (29, "operation forbidden", "channel", "virsh attach-device"),
        (86, "Guest agent is not responding: QEMU guest agent is not connected", "agent", "package qemu-guest-agent"),
        (86, "Guest agent is not responding: Guest agent not available for now", "agent", "hangs"),
    ],
)
def test_unavailable_agent_or_channel_is_a_problem(
    hypervisor: HypervisorWithVersions, code: int, text: str, check: str, advice: str
) -> None:
    hypervisor.channels = channel_xml("org.qemu.guest_agent.0", 0, connected=advice == "hangs")
    hypervisor.replies = [Failure(code, text)]
    found = diagnose_domain()
    assert found["domain"]["status"] == "ok" and "under libvirt 9.0.0 and QEMU 7.2.22" in found["libvirt"]["message"]
    assert found[check]["status"] == "problem" and advice in found[check]["advice"]
    assert list(found)[-1] == check


def test_missing_libvirt_library_is_a_problem(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "libvirt", None)
    found = diagnose_domain()
    assert found["libraries"]["status"] == "problem" and "libvirt-python" in found["libraries"]["message"]


def test_libvirt_that_disappears_between_checks_is_a_problem(
    hypervisor: HypervisorWithVersions, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail() -> int:
        hypervisor.alive = False
        hypervisor.open_failures = [Failure(38, "Failed to connect socket")]
        raise Failure(38, "Broken pipe")

    monkeypatch.setattr(hypervisor, "getLibVersion", fail)
    found = diagnose_domain()
    assert "under libvirt" not in found["libvirt"]["message"]
    assert found["domain"]["status"] == "problem" and "Failed to connect socket" in found["domain"]["message"]
