# Copyright (c) 2026, the netless.qga authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What libvirt can do to the power of a domain without its guest's agent.

Whether the guest minds is to be seen in the domain's state.
"""

from __future__ import annotations

import typing as t

from ansible_collections.netless.qga.plugins.module_utils._deadline import Deadline
from ansible_collections.netless.qga.plugins.module_utils._libvirt.domain import LibvirtDomain
from ansible_collections.netless.qga.plugins.module_utils.errors import EndpointUnavailable, OutcomeUnknown, excerpt


def press_power_button(domain: LibvirtDomain, deadline: Deadline, *, start_anew: bool = False) -> None:
    """Have the guest's ACPI say that the power button was pressed.

    :param start_anew: whether the domain is to start again when the guest has ended.
    :raises LibraryMissing: there is no Python library for libvirt.
    :raises EndpointUnavailable: libvirt does not answer or refuses.
    :raises OutcomeUnknown: it did not say in time whether it did.
    """
    libvirt = domain.library()
    if start_anew:
        flags = libvirt.VIR_DOMAIN_REBOOT_ACPI_POWER_BTN
        _order(domain, "press the power button", lambda found: found.reboot(flags), deadline)
    else:
        flags = libvirt.VIR_DOMAIN_SHUTDOWN_ACPI_POWER_BTN
        _order(domain, "press the power button", lambda found: found.shutdownFlags(flags), deadline)


def wake_up(domain: LibvirtDomain, deadline: Deadline) -> None:
    """Wake a guest up that is suspended to memory.

    :raises LibraryMissing: and the others as :func:`press_power_button` does.
    """
    _order(domain, "wake the guest up", lambda found: found.pMWakeup(0), deadline)


def _order(domain: LibvirtDomain, what: str, function: t.Callable[[t.Any], t.Any], deadline: Deadline) -> None:
    # Connects, anew if libvirt was restarted meanwhile.
    domain.state(deadline)
    try:
        domain.call(function, deadline)
    except TimeoutError as exc:
        domain.abandon()
        raise OutcomeUnknown(
            f"{domain.description}: libvirt was asked to {what}, and did not say in time whether it did"
        ) from exc
    except domain.library().libvirtError as exc:
        said = excerpt(exc.get_error_message())
        raise EndpointUnavailable(f"{domain.description}: libvirt did not {what}: {said}") from exc
