# Copyright (c) 2026, the netless.qga authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A hypervisor under libvirt as a source of domains."""

from __future__ import annotations

import typing as t
from urllib.parse import urlsplit

from ansible_collections.netless.qga.plugins.module_utils._channels.address import Address
from ansible_collections.netless.qga.plugins.module_utils._deadline import Deadline
from ansible_collections.netless.qga.plugins.module_utils._inventory.agent_query import ask_agent, channel_for_questions
from ansible_collections.netless.qga.plugins.module_utils._inventory.domain import AgentReport, Domain
from ansible_collections.netless.qga.plugins.module_utils._inventory.domain_metadata import parse_metadata
from ansible_collections.netless.qga.plugins.module_utils._libvirt.connection import HypervisorConnection
from ansible_collections.netless.qga.plugins.module_utils._libvirt.connection_pool import ConnectionPool
from ansible_collections.netless.qga.plugins.module_utils._libvirt.domain_list import ListedDomain, list_domains
from ansible_collections.netless.qga.plugins.module_utils._libvirt.errors import unreachable_error
from ansible_collections.netless.qga.plugins.module_utils._libvirt.library import import_libvirt
from ansible_collections.netless.qga.plugins.module_utils.errors import EndpointUnavailable, excerpt


class HypervisorSource:
    """The domains of one libvirt URI.

    :param uri: the URI.
    :param max_parallel: how many of its agents may be asked at a time. Each takes a connection to libvirt, and one of
        libvirtd's threads, of which it has 20 by default (``max_workers``).
    :param namespaces: see :func:`parse_metadata`.
    """

    def __init__(self, uri: str, *, max_parallel: int, namespaces: t.Mapping[str, str]) -> None:
        self.name = uri
        self.hypervisor = _host_name(uri)
        self.max_parallel = max_parallel
        self._namespaces = namespaces
        self._pool = ConnectionPool()

    def list_domains(self, deadline: Deadline) -> list[Domain]:
        """See :meth:`Source.list_domains`."""
        description = f"hypervisor {self.name}"
        libvirt = import_libvirt(description)
        try:
            listed = self._list(libvirt, deadline)
        except TimeoutError as exc:
            raise EndpointUnavailable(f"{description}: no answer from libvirt in time") from exc
        except libvirt.libvirtError as exc:
            raise unreachable_error(libvirt, exc, description, permission="domain.getattr") or EndpointUnavailable(
                f"{description}: {excerpt(exc.get_error_message())}"
            ) from exc
        return [
            Domain(
                name=domain.name,
                source=self.name,
                hypervisor=self.hypervisor,
                endpoint="libvirt",
                uri=self.name,
                uuid=domain.uuid,
                number=domain.number,
                state=domain.state.value,
                metadata=parse_metadata(domain.xml, self._namespaces),
            )
            for domain in listed
        ]

    def _list(self, libvirt: t.Any, deadline: Deadline) -> list[ListedDomain]:
        connection = HypervisorConnection(libvirt, self.name, deadline)
        try:
            listed = list_domains(libvirt, connection, deadline, with_xml=bool(self._namespaces))
        except libvirt.libvirtError:
            # After a timeout it hangs instead, and closing it would hang too.
            connection.close()
            raise
        self._pool.take_back(connection)
        return listed

    def ask(self, domain: Domain, subsets: t.Sequence[str], deadline: Deadline) -> AgentReport:
        """See :meth:`Source.ask`."""
        address = Address(domain.endpoint, domain.name, self.name)
        return ask_agent(channel_for_questions(address, deadline, self._pool), subsets, deadline)

    def close(self) -> None:
        """See :meth:`Source.close`."""
        self._pool.close()


def _host_name(uri: str) -> str:
    """Return the host in a libvirt URI; ``localhost`` if it has none."""
    try:
        return urlsplit(uri).hostname or "localhost"
    except ValueError:
        return uri
