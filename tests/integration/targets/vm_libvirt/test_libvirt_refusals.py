# Copyright (c) 2026, the netless.qga authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Domains and channels without an agent. The error comes soon, and only as an exception, with nothing printed."""

from __future__ import annotations

import threading
import time

import libvirt  # pylint: disable=import-error
import pytest

from ansible_collections.netless.qga.plugins.module_utils._agent.agent import Agent
from ansible_collections.netless.qga.plugins.module_utils._deadline import Deadline
from ansible_collections.netless.qga.plugins.module_utils.errors import (
    AgentSilent,
    EndpointBusy,
    EndpointUnavailable,
    Unreachable,
)
from ansible_collections.netless.qga.tests.integration.targets.vm_libvirt.domains import (
    ENDPOINTS,
    GUEST,
    STREAM,
    URI,
    Dial,
    empty_domain,
)
from ansible_collections.netless.qga.tests.lab.machine import AGENT_CHANNEL, SECOND_CHANNEL

READ_ONLY = f"{URI}?socket=/run/libvirt/libvirt-sock-ro"


def refusal(agent: Agent, kind: type[Unreachable], *, seconds: float = 20, within: float = 3) -> str:
    """Return the message for an endpoint without an agent, which has to come before the deadline.

    :param kind: the class of the error.
    :param within: seconds that the error may take.
    """
    started = time.monotonic()
    with pytest.raises(kind) as caught:
        agent.call("guest-ping", deadline=Deadline.after(seconds))
    assert time.monotonic() - started < within
    return str(caught.value)


@pytest.mark.parametrize("endpoint", ENDPOINTS)
def test_no_such_domain(dial: Dial, endpoint: str, uri: str, capfd: pytest.CaptureFixture[str]) -> None:
    text = refusal(dial(endpoint, domain="netless-nowhere", uri=uri), EndpointUnavailable)
    assert "there is no such domain" in text and "netless-nowhere" in text
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize("endpoint", ENDPOINTS)
def test_no_such_hypervisor(dial: Dial, endpoint: str, capfd: pytest.CaptureFixture[str]) -> None:
    text = refusal(dial(endpoint, uri="qemu+unix:///system?socket=/no/such"), EndpointUnavailable)
    assert "/no/such" in text
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize("endpoint", ENDPOINTS)
def test_domain_that_is_off(dial: Dial, endpoint: str, hypervisor: libvirt.virConnect) -> None:
    domain = hypervisor.defineXML(
        "<domain type='qemu'><name>netless-off-test</name><memory unit='MiB'>16</memory>"
        "<os><type arch='x86_64' machine='q35'>hvm</type></os></domain>"
    )
    try:
        assert "the domain is off" in refusal(dial(endpoint, domain="netless-off-test"), EndpointUnavailable)
    finally:
        domain.undefine()


@pytest.mark.parametrize("endpoint", ENDPOINTS)
def test_domain_that_is_paused(dial: Dial, endpoint: str, empty: libvirt.virDomain) -> None:
    empty.suspend()
    assert "the domain is paused" in refusal(dial(endpoint, domain=empty.name()), EndpointUnavailable)


@pytest.mark.parametrize("endpoint", ENDPOINTS)
def test_read_only_connection(dial: Dial, endpoint: str, capfd: pytest.CaptureFixture[str]) -> None:
    assert "read-only" in refusal(dial(endpoint, uri=READ_ONLY), EndpointUnavailable)
    assert capfd.readouterr() == ("", "")


def test_domain_without_channel(dial: Dial, hypervisor: libvirt.virConnect) -> None:
    with empty_domain(hypervisor, "without-channel") as domain:
        assert f"name='{AGENT_CHANNEL}'" in refusal(dial("libvirt", domain=domain.name()), EndpointUnavailable)
        assert "cannot find channel" in refusal(dial(STREAM, domain=domain.name()), EndpointUnavailable)


def test_guest_without_agent(dial: Dial, empty: libvirt.virDomain) -> None:
    assert "no guest agent is connected" in refusal(dial("libvirt", domain=empty.name()), AgentSilent)


def test_channel_without_agent(dial: Dial, empty: libvirt.virDomain) -> None:
    agent = dial("libvirt:io.netless.silent.0", domain=empty.name())
    started = time.monotonic()
    text = refusal(agent, AgentSilent, seconds=1.5)
    assert time.monotonic() - started >= 1.5
    assert "--path=/dev/virtio-ports/io.netless.silent.0" in text


@pytest.mark.parametrize("name", [AGENT_CHANNEL, "channel0"])
def test_channel_that_libvirt_holds(dial: Dial, name: str) -> None:
    assert "Use the endpoint libvirt" in refusal(dial(f"libvirt:{name}"), EndpointUnavailable)


def test_no_such_channel(dial: Dial) -> None:
    text = refusal(dial("libvirt:io.netless.nothing.0"), EndpointUnavailable)
    assert "no such channel" in text and SECOND_CHANNEL in text and AGENT_CHANNEL not in text


def test_channel_that_is_not_a_socket(dial: Dial, empty: libvirt.virDomain) -> None:
    text = refusal(dial("libvirt:io.netless.terminal.0", domain=empty.name()), EndpointUnavailable)
    assert "of type pty" in text


def test_channel_that_another_stream_holds(dial: Dial, hypervisor: libvirt.virConnect, deadline: Deadline) -> None:
    stream = hypervisor.newStream()
    hypervisor.lookupByName(GUEST).openChannel(SECOND_CHANNEL, stream)
    assert "Active channel stream exists" in refusal(dial(STREAM), EndpointBusy, seconds=1, within=3)
    release = threading.Timer(1, stream.abort)
    release.start()
    assert dial(STREAM).call("guest-ping", deadline=deadline) == {}
    release.join()
