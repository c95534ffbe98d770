# Copyright (c) 2026, the netless.qga authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What libvirt's errors mean for the agent of a domain, as far as it is certain that libvirt did nothing."""

from __future__ import annotations

import typing as t

from ansible_collections.netless.qga.plugins.module_utils._libvirt.channels import AGENT_CHANNEL
from ansible_collections.netless.qga.plugins.module_utils.errors import (
    AgentSilent,
    EndpointUnavailable,
    Unreachable,
    excerpt,
)

_NO_CHANNEL = (
    "the domain has no channel for a guest agent: add <channel type='unix'><target type='virtio' "
    f"name='{AGENT_CHANNEL}'/></channel> to its devices"
)

_NO_AGENT = {
    "not connected": "no guest agent is connected: is the guest up, and qemu-guest-agent running in it?",
    "not available due to an error": "libvirt gave up the guest agent after an error: restart qemu-guest-agent in the "
    "guest, with virsh console or by a reboot",
}


def unreachable_error(libvirt: t.Any, error: t.Any, endpoint: str, *, permission: str) -> Unreachable | None:
    """Return what an error of libvirt means; None if libvirt may have done what it was asked to.

    :param libvirt: the module ``libvirt``.
    :param error: the ``libvirt.libvirtError``.
    :param endpoint: the domain and its hypervisor, for the message.
    :param permission: what libvirt's access control has to allow for the call.
    """
    code, text = error.get_error_code(), error.get_error_message()
    shown = excerpt(text)
    reasons = {
        libvirt.VIR_ERR_NO_DOMAIN: f"there is no such domain: {shown}",
        libvirt.VIR_ERR_OPERATION_INVALID: f"the domain is off: {shown}",
        libvirt.VIR_ERR_ARGUMENT_UNSUPPORTED: _NO_CHANNEL,
        libvirt.VIR_ERR_OPERATION_DENIED: f"the connection to libvirt is read-only: {shown}",
        libvirt.VIR_ERR_ACCESS_DENIED: f"libvirt's access control forbids it; {permission} is needed: {shown}",
        libvirt.VIR_ERR_NO_SUPPORT: f"this hypervisor has no such function: {shown}",
        libvirt.VIR_ERR_AUTH_FAILED: f"libvirt rejected the authentication: {shown}",
    }
    if code in reasons:
        return EndpointUnavailable(f"{endpoint}: {reasons[code]}")
    if code == libvirt.VIR_ERR_AGENT_UNRESPONSIVE:
        # libvirt uses the same code for a command that it sent and the agent did not answer. Only the text
        # distinguishes these two; if it is translated, the outcome of the command counts as unknown.
        for sign, reason in _NO_AGENT.items():
            if sign in text:
                return AgentSilent(f"{endpoint}: {reason} ({shown})")
    return None
