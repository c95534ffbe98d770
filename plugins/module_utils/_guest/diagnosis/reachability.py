# Copyright (c) 2026, the netless.qga authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Looking at the way to an agent: the libraries it takes, the domain, the channel, and whether anybody answers."""

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

_INSTALL_WHERE = (
    "It is needed where this module runs: on the controller for a host whose connection is netless.qga.guest_agent, "
    "elsewhere on the host itself, for the Python that ansible_python_interpreter names there"
)
_CORRECT_THE_DOMAIN = (
    "Correct the name of the domain or the URI, start the daemon of libvirt, or let this user in, whichever the "
    "message says; virsh with the same URI, as the same user, has to find the domain. The guide to permissions tells "
    "who may do what"
)
_SEE_WHY_PAUSED = (
    "See why with virsh domstate --reason: it may be a snapshot, a migration, or a full disk on the hypervisor. When "
    "that is over, let it go on with virsh resume"
)
# What is so, and what to do about it.
_STATES = {
    DomainState.OFF: (
        "the domain is off",
        "Start it with virsh start, and wait until its agent answers with netless.qga.sync and its wait_timeout",
    ),
    DomainState.CRASHED: (
        "the domain has crashed",
        "See why in the log of QEMU, in /var/log/libvirt/qemu on the hypervisor, and start it anew with virsh start",
    ),
    DomainState.PAUSED: ("the domain is paused, so that its guest cannot answer", _SEE_WHY_PAUSED),
    DomainState.SUSPENDED: ("the guest is suspended to memory", "Wake it up with virsh dompmwakeup"),
}
_CORRECT_THE_ENDPOINT = (
    "Start the virtual machine, correct the endpoint, or let this user use it, whichever the message says. The guide "
    "to endpoints tells how to set each of them up"
)
_CORRECT_THE_CHANNEL = (
    "Give the domain the channel that the message tells of, with virsh attach-device while it runs or with virsh edit "
    "and a new start, use an endpoint that it has, or let this user use it. The guides to endpoints and to permissions "
    "tell more"
)
_LET_GO = (
    "End the other client, or wait for it. For a domain of libvirt's use the endpoint libvirt, or libvirt:NAME with an "
    "agent of its own; for a socket of QEMU's, ss -xp or fuser -v on the hypervisor shows who has it. Tasks of one "
    "controller take turns, for which a longer timeout helps"
)
_START_THE_AGENT = (
    "Wait if the guest is still booting, with netless.qga.sync and its wait_timeout. If not, log in at its console "
    "(virsh console, or a serial line) and have the package qemu-guest-agent installed and the service "
    "qemu-guest-agent running, on this channel if it is not the usual one"
)
_RESTART_THE_AGENT = (
    "The agent hangs, or is busy with a long command of another client's. Wait for it, or restart the service "
    "qemu-guest-agent at the guest's console; what it was doing may hang on, like a filesystem whose server is gone"
)
_NOT_AN_AGENT = (
    "See that the endpoint leads to a guest agent, and not to a console or to something else, and that no other client "
    "writes to it; then restart the service qemu-guest-agent in the guest"
)

# In bytes: an agent complains of the byte 0xFF that comes before a sync, and that is thrown away.
_USUALLY_DISCARDED = 100


def libraries(context: Context) -> t.Iterator[Finding]:
    """Whether Python has what driving this agent takes."""
    try:
        require_jsonschema()
        if context.domain is not None:
            context.domain.library()
    except LibraryMissing as exc:
        yield Finding("libraries", PROBLEM, str(exc), _INSTALL_WHERE, ends=True)
    else:
        yield Finding("libraries", OK, "Python has the libraries that it takes")


def libvirt(context: Context) -> t.Iterator[Finding]:
    """Whether libvirt lets itself be asked, and knows the domain."""
    if context.domain is None:
        return
    try:
        context.domain.state(context.deadline())
    except EndpointUnavailable as exc:
        yield Finding("libvirt", PROBLEM, str(exc), _CORRECT_THE_DOMAIN, ends=True)
    else:
        message = f"{context.domain.description}: it can be asked about{_versions(context.domain, context)}"
        yield Finding("libvirt", OK, message)


def domain(context: Context) -> t.Iterator[Finding]:
    """Whether the domain runs."""
    if context.domain is None:
        return
    state = context.domain.state(context.deadline())
    if state in _STATES:
        reason, advice = _STATES[state]
        yield Finding("domain", PROBLEM, f"{context.domain.description}: {reason}", advice, ends=True)
    else:
        yield Finding("domain", OK, f"{context.domain.description}: it runs")


def agent(context: Context) -> t.Iterator[Finding]:
    """Whether the channel can be opened, and an agent answers on it."""
    try:
        report = context.agent.sync(context.deadline())
    except (EndpointUnavailable, EndpointBusy) as exc:
        missing = _CORRECT_THE_ENDPOINT if context.domain is None else _CORRECT_THE_CHANNEL
        advice = _LET_GO if isinstance(exc, EndpointBusy) else missing
        yield Finding("channel", PROBLEM, str(exc), advice, ends=True)
        return
    except (Unreachable, OutcomeUnknown, ProtocolViolation) as exc:
        yield no_agent("agent", context, exc)
        return
    yield Finding("channel", OK, f"{context.agent.endpoint}: it can be opened")
    left = f". {report.discarded} bytes of before were thrown away" if report.discarded > _USUALLY_DISCARDED else ""
    yield Finding("agent", OK, f"An agent answers; it took {report.seconds:.3f} s to sync with it{left}")


def no_agent(check: str, context: Context, exc: QgaError) -> Finding:
    """What is found if the agent does not answer, or stops to, or something else does.

    :param check: during which it did so.
    :param exc: what came instead.
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
    """Whether something in the guest has the channel open, as far as libvirt tells."""
    channels = [] if context.domain is None else context.domain.channels()
    return any(channel.connected for channel in channels if context.channel in (channel.name, channel.alias))


def _versions(found: LibvirtDomain, context: Context) -> str:
    def ask(virtual_domain: t.Any) -> tuple[int, int]:
        connection = virtual_domain.connect()
        return connection.getLibVersion(), connection.getVersion()

    with contextlib.suppress(TimeoutError, found.library().libvirtError):
        libvirt, qemu = found.call(ask, context.deadline())
        return f", under libvirt {_dotted(libvirt)} and QEMU {_dotted(qemu)}"
    return ""


def _dotted(version: int) -> str:
    """A version as libvirt has them: a number with three digits for each part."""
    return f"{version // 1_000_000}.{version // 1000 % 1000}.{version % 1000}"
