# Copyright (c) 2026, the netless.qga authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Connections to one hypervisor that are used for one domain after the other.

Over ssh, to connect takes longer than everything that is asked afterwards.
"""

from __future__ import annotations

import threading
import typing as t

from ansible_collections.netless.qga.plugins.module_utils._deadline import Deadline
from ansible_collections.netless.qga.plugins.module_utils._libvirt.connection import HypervisorConnection


class ConnectionPool:
    """The open connections to one hypervisor that nobody uses at the moment. Threads may share it.

    A connection that hangs does not come back, because :class:`LibvirtDomain` abandons it.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._idle: list[HypervisorConnection] = []
        self._closed = False

    def connect(self, libvirt: t.Any, uri: str, deadline: Deadline) -> PooledConnection:
        """Return an idle connection, or a new one.

        :param libvirt: the module ``libvirt``.
        :param uri: of the hypervisor, always the same one.
        :raises TimeoutError: libvirt did not answer before the deadline.
        :raises libvirt.libvirtError: the connection failed.
        """
        idle = self._take_idle()
        while idle is not None and idle.broken:
            idle.close()
            idle = self._take_idle()
        return PooledConnection(self, idle or HypervisorConnection(libvirt, uri, deadline))

    def take_back(self, connection: HypervisorConnection) -> None:
        """Keep a connection for the next domain, or close it if it is of no use any more."""
        with self._lock:
            keep = not self._closed and not connection.broken
            if keep:
                self._idle.append(connection)
        if not keep:
            connection.close()

    def close(self) -> None:
        """Close the idle connections now, and the others when they come back."""
        with self._lock:
            self._closed = True
            idle, self._idle = self._idle, []
        for connection in idle:
            connection.close()

    def _take_idle(self) -> HypervisorConnection | None:
        with self._lock:
            return self._idle.pop() if self._idle else None


class PooledConnection:
    """A connection that goes back to its pool when it is closed, as a :class:`DomainConnection`."""

    def __init__(self, pool: ConnectionPool, connection: HypervisorConnection) -> None:
        self._pool = pool
        self._connection = connection

    @property
    def broken(self) -> bool:
        return self._connection.broken

    def find_domain(self, name: str, deadline: Deadline) -> t.Any:
        return self._connection.find_domain(name, deadline)

    def close(self) -> None:
        self._pool.take_back(self._connection)
