# Copyright (c) 2026, the netless.qga authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What libvirt can do to the power of a domain without the guest's agent.

Whether the guest reacts shows in the domain's state.
"""

from __future__ import annotations

import typing as t

from ansible_collections.netless.qga.plugins.module_utils._deadline import Deadline
from ansible_collections.netless.qga.plugins.module_utils._libvirt.domain import LibvirtDomain
from ansible_collections.netless.qga.plugins.module_utils.errors import EndpointUnavailable, OutcomeUnknown, excerpt


def press_power_button(domain: LibvirtDomain, deadline: Deadline, *, restart: bool = False) -> None:
    """Press the power button of the guest (ACPI).

    :param restart: whether the domain is to start again when the guest has ended.
    :raises LibraryMissing: there is no Python library for libvirt.
    :raises EndpointUnavailable: libvirt does not answer or refuses.
    :raises OutcomeUnknown: libvirt did not confirm it in time, or the connection broke meanwhile.
    """
    libvirt = domain.library()
    if restart:
        flags = libvirt.VIR_DOMAIN_REBOOT_ACPI_POWER_BTN
        _request(domain, "press the power button", lambda virdomain: virdomain.reboot(flags), deadline)
    else:
        flags = libvirt.VIR_DOMAIN_SHUTDOWN_ACPI_POWER_BTN
        _request(domain, "press the power button", lambda virdomain: virdomain.shutdownFlags(flags), deadline)


def wake_up(domain: LibvirtDomain, deadline: Deadline) -> None:
    """Wake up a guest that is suspended to memory.

    :raises LibraryMissing: there is no Python library for libvirt.
    :raises EndpointUnavailable: libvirt does not answer or refuses.
    :raises OutcomeUnknown: libvirt did not confirm it in time, or the connection broke meanwhile.
    """
    _request(domain, "wake the guest up", lambda virdomain: virdomain.pMWakeup(0), deadline)


def _request(domain: LibvirtDomain, what: str, function: t.Callable[[t.Any], t.Any], deadline: Deadline) -> None:
    # Connects to libvirt, again if it was restarted meanwhile.
    domain.state(deadline)
    try:
        domain.call(function, deadline)
    except TimeoutError as exc:
        domain.abandon()
        raise OutcomeUnknown(
            f"{domain.description}: libvirt was asked to {what}, and did not confirm it in time"
        ) from exc
    except domain.library().libvirtError as exc:
        text = excerpt(exc.get_error_message())
        if domain.broken:
            raise OutcomeUnknown(
                f"{domain.description}: libvirt was asked to {what}, and the connection broke: {text}"
            ) from exc
        raise EndpointUnavailable(f"{domain.description}: libvirt did not {what}: {text}") from exc
