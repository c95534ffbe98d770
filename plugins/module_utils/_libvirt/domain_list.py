# Copyright (c) 2026, the netless.qga authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The domains of a hypervisor, in one list."""

from __future__ import annotations

import typing as t
from dataclasses import dataclass

from ansible_collections.netless.qga.plugins.module_utils._deadline import Deadline
from ansible_collections.netless.qga.plugins.module_utils._libvirt.connection import HypervisorConnection
from ansible_collections.netless.qga.plugins.module_utils._libvirt.domain import DomainState, parse_state

# virDomainGetID() of a domain that is not active.
_NO_ID = -1


@dataclass(frozen=True)
class ListedDomain:
    """A domain as its hypervisor lists it.

    :param name: its name, which is unique on its hypervisor.
    :param uuid: its UUID.
    :param number: the number that it has while it is active.
    :param state: what it is doing.
    :param xml: its description; empty if it was not requested.
    """

    name: str
    uuid: str
    number: int | None
    state: DomainState
    xml: str = ""


def list_domains(
    libvirt: t.Any, connection: HypervisorConnection, deadline: Deadline, *, with_xml: bool
) -> list[ListedDomain]:
    """Return the domains of a hypervisor, running or not, in the order of their names.

    :param libvirt: the module ``libvirt``.
    :param with_xml: whether to request the description of each, which is one more call to libvirt.
    :raises TimeoutError: libvirt did not answer before the deadline.
    :raises libvirt.libvirtError: libvirt refuses.
    """

    def read(virconnect: t.Any) -> list[ListedDomain]:
        domains = []
        for virdomain in virconnect.listAllDomains():
            try:
                domains.append(_describe(libvirt, virdomain, with_xml=with_xml))
            except libvirt.libvirtError as exc:
                # It was removed since it was listed.
                if exc.get_error_code() != libvirt.VIR_ERR_NO_DOMAIN:
                    raise
        return sorted(domains, key=lambda domain: domain.name)

    return connection.call(read, deadline)


def _describe(libvirt: t.Any, virdomain: t.Any, *, with_xml: bool) -> ListedDomain:
    number = virdomain.ID()
    return ListedDomain(
        name=virdomain.name(),
        uuid=virdomain.UUIDString(),
        number=None if number == _NO_ID else number,
        state=parse_state(libvirt, virdomain.state()[0]),
        xml=virdomain.XMLDesc() if with_xml else "",
    )
