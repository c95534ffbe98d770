# Copyright (c) 2026, the netless.qga authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Checks of the way to an agent: the libraries, libvirt and the domain, the channel, and whether an agent answers."""

from __future__ import annotations

import contextlib
import typing as t

from ansible_collections.netless.qga.plugins.module_utils._guest.diagnosis.finding import OK, PROBLEM, Context, Finding
from ansible_collections.netless.qga.plugins.module_utils._libvirt.domain import DomainState, LibvirtDomain
from ansible_collections.netless.qga.plugins.module_utils._schema.validation import require_jsonschema
from ansible_collections.netless.qga.plugins.module_utils.errors import (
    ChannelClosed,
    EndpointBusy,
    EndpointUnavailable,
    LibraryMissing,
    OutcomeUnknown,
    ProtocolViolation,
    QgaError,
    Unreachable,
)

_WHERE_TO_INSTALL = (
    "Install it where this module runs: on the controller for a host whose connection is netless.qga.guest_agent, "
    "otherwise on the host itself, for the Python that ansible_python_interpreter names there"
)
_CORRECT_THE_DOMAIN = (
    "Depending on the message, correct the name of the domain or the URI, start libvirt's daemon, or give this user "
    "access; virsh with the same URI, as the same user, has to find the domain. The guide to permissions explains who "
    "may do what"
)
_RESUME = (
    "Find out why with virsh domstate --reason: the cause may be a snapshot, a migration, or a full disk on the "
    "hypervisor. When that is over, resume the domain with virsh resume"
)
# Why the agent cannot answer in this state, and what to do about it.
_STATES = {
    DomainState.OFF: (
        "the domain is off",
        "Start it with virsh start, and wait until its agent answers with netless.qga.sync and its wait_timeout",
    ),
    DomainState.CRASHED: (
        "the domain has crashed",
        "Find out why in QEMU's log, in /var/log/libvirt/qemu on the hypervisor, and start it again with virsh start",
    ),
    DomainState.PAUSED: ("the domain is paused, so its guest cannot answer", _RESUME),
    DomainState.SUSPENDED: ("the guest is suspended to memory", "Wake it up with virsh dompmwakeup"),
}
_CORRECT_THE_ENDPOINT = (
    "Depending on the message, start the virtual machine, correct the endpoint, or give this user access to it. The "
    "guide to endpoints explains how to set up each of them"
)
_CORRECT_THE_CHANNEL = (
    "Give the domain the channel that the message names, with virsh attach-device while it runs or with virsh edit "
    "before it is started again, use an endpoint that it has, or give this user access. The guides to endpoints and to "
    "permissions explain more"
)
_END_THE_OTHER_CLIENT = (
    "End the other client, or wait for it. For a libvirt domain use the endpoint libvirt, or libvirt:NAME with a "
    "second agent; for a QEMU socket, ss -xp or fuser -v on the hypervisor shows which process has it open. Tasks on "
    "one controller wait for each other, for which a longer timeout helps"
)
_START_THE_AGENT = (
    "If the guest is still booting, wait with netless.qga.sync and its wait_timeout. Otherwise log in at its console "
    "(virsh console, or a serial line), install the package qemu-guest-agent, and start the service qemu-guest-agent, "
    "on this channel if it is not the usual one"
)
_RESTART_THE_AGENT = (
    "The agent hangs, or is busy with another client's long command. Wait for it, or restart the service "
    "qemu-guest-agent at the guest's console; what the agent was doing may go on hanging, for example a filesystem "
    "whose server is gone"
)
_NOT_AN_AGENT = (
    "Check that the endpoint leads to a guest agent, and not to a console or to something else, and that no other "
    "client writes to it; then restart the service qemu-guest-agent in the guest"
)

# In bytes. Fewer are normal: an agent answers the byte 0xFF in front of a sync with an error, which is thrown away.
_USUALLY_DISCARDED = 100


def libraries(context: Context) -> t.Iterator[Finding]:
    """Check whether Python has the libraries that reaching this agent needs."""
    try:
        require_jsonschema()
        if context.domain is not None:
            context.domain.library()
    except LibraryMissing as exc:
        yield Finding("libraries", PROBLEM, str(exc), _WHERE_TO_INSTALL, ends=True)
    else:
        yield Finding("libraries", OK, "Python has the libraries that are needed")


def libvirt(context: Context) -> t.Iterator[Finding]:
    """Check whether libvirt can be reached, and knows the domain."""
    if context.domain is None:
        return
    try:
        context.domain.state(context.deadline())
    except EndpointUnavailable as exc:
        yield Finding("libvirt", PROBLEM, str(exc), _CORRECT_THE_DOMAIN, ends=True)
    else:
        message = f"{context.domain.description}: libvirt knows it{_versions(context.domain, context)}"
        yield Finding("libvirt", OK, message)


def domain(context: Context) -> t.Iterator[Finding]:
    """Check whether the domain runs."""
    if context.domain is None:
        return
    state = context.domain.state(context.deadline())
    if state in _STATES:
        reason, advice = _STATES[state]
        yield Finding("domain", PROBLEM, f"{context.domain.description}: {reason}", advice, ends=True)
    else:
        yield Finding("domain", OK, f"{context.domain.description}: it runs")


def agent(context: Context) -> t.Iterator[Finding]:
    """Check whether the channel can be opened, and an agent answers on it."""
    try:
        report = context.agent.sync(context.deadline())
    except (EndpointUnavailable, EndpointBusy) as exc:
        unavailable = _CORRECT_THE_ENDPOINT if context.domain is None else _CORRECT_THE_CHANNEL
        advice = _END_THE_OTHER_CLIENT if isinstance(exc, EndpointBusy) else unavailable
        yield Finding("channel", PROBLEM, str(exc), advice, ends=True)
        return
    except (Unreachable, OutcomeUnknown, ProtocolViolation) as exc:
        yield no_agent("agent", context, exc)
        return
    yield Finding("channel", OK, f"{context.agent.endpoint}: it can be opened")
    leftover = (
        f". {report.discarded} bytes of older replies were thrown away" if report.discarded > _USUALLY_DISCARDED else ""
    )
    yield Finding("agent", OK, f"An agent answers; it took {report.seconds:.3f} s to sync with it{leftover}")


def no_agent(check: str, context: Context, exc: QgaError) -> Finding:
    """Return the finding for an agent that does not answer, stops answering, or is something else.

    :param check: the check that the error stopped.
    :param exc: the error.
    """
    if isinstance(exc, ProtocolViolation):
        advice = _NOT_AN_AGENT
    elif isinstance(exc, OutcomeUnknown) or _is_connected(context):
        advice = _RESTART_THE_AGENT
    elif isinstance(exc, ChannelClosed):
        advice = _CORRECT_THE_ENDPOINT
    else:
        advice = _START_THE_AGENT
    return Finding(check, PROBLEM, str(exc), advice, ends=True)


def _is_connected(context: Context) -> bool:
    """Check whether a program in the guest has the channel open, as far as libvirt knows."""
    channels = context.domain.channels() if context.domain is not None else []
    return any(channel.connected for channel in channels if context.channel in (channel.name, channel.alias))


def _versions(known_domain: LibvirtDomain, context: Context) -> str:
    def read(virtual_domain: t.Any) -> tuple[int, int]:
        connection = virtual_domain.connect()
        return connection.getLibVersion(), connection.getVersion()

    with contextlib.suppress(TimeoutError, known_domain.library().libvirtError):
        libvirt, qemu = known_domain.call(read, context.deadline())
        return f", under libvirt {_dotted(libvirt)} and QEMU {_dotted(qemu)}"
    return ""


def _dotted(version: int) -> str:
    """Format a version of libvirt or QEMU: a number with three digits for each part."""
    return f"{version // 1_000_000}.{version // 1000 % 1000}.{version % 1000}"
