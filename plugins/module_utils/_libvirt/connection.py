# Copyright (c) 2026, the netless.qga authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A connection to a hypervisor, whose calls end at a deadline: libvirt's own have none."""

from __future__ import annotations

import contextlib
import typing as t

from ansible_collections.netless.qga.plugins.module_utils._deadline import Deadline
from ansible_collections.netless.qga.plugins.module_utils._libvirt.event_loop import EventLoop
from ansible_collections.netless.qga.plugins.module_utils._local.background_call import BackgroundCall

T = t.TypeVar("T")

# The hypervisor may be gone when we close the connection.
_CLOSE_TIMEOUT = 2.0


class HypervisorConnection:
    """An open connection to a hypervisor. A connection that hangs is to be dropped without :meth:`close`.

    :param libvirt: the module ``libvirt``.
    :param uri: of the hypervisor, like ``qemu:///system``.
    :raises TimeoutError: libvirt did not answer before the deadline.
    :raises libvirt.libvirtError: the connection failed.
    """

    def __init__(self, libvirt: t.Any, uri: str, deadline: Deadline) -> None:
        self._libvirt = libvirt
        # Errors come as exceptions; the default handler also prints them on standard error.
        libvirt.registerErrorHandler(lambda context, error: None, None)
        self._connection = BackgroundCall(lambda: libvirt.open(uri)).result(deadline)

    @property
    def broken(self) -> bool:
        """Whether the connection has turned out to be gone."""
        try:
            return not self._connection.isAlive()
        except self._libvirt.libvirtError:
            return True

    def find_domain(self, name: str, deadline: Deadline) -> t.Any:
        """Return the ``libvirt.virDomain`` of a name or UUID.

        :raises TimeoutError: libvirt did not answer before the deadline.
        :raises libvirt.libvirtError: there is no such domain, or libvirt refuses.
        """
        libvirt = self._libvirt
        return self.call(lambda connection: _look_up(libvirt, connection, name), deadline)

    def call(self, function: t.Callable[[t.Any], T], deadline: Deadline) -> T:
        """Return what the function returns for the ``libvirt.virConnect``.

        :raises TimeoutError: it did not return before the deadline.
        :raises libvirt.libvirtError: libvirt refuses.
        """
        connection = self._connection
        return BackgroundCall(lambda: function(connection)).result(deadline)

    def close(self) -> None:
        """Close the connection. Call it once; nothing else works afterwards."""
        connection, self._connection = self._connection, None
        with contextlib.suppress(TimeoutError, self._libvirt.libvirtError):
            BackgroundCall(connection.close).result(Deadline.after(_CLOSE_TIMEOUT))
        del connection
        with contextlib.suppress(self._libvirt.libvirtError):
            EventLoop.finish(self._libvirt)


def _look_up(libvirt: t.Any, connection: t.Any, name: str) -> t.Any:
    try:
        return connection.lookupByName(name)
    except libvirt.libvirtError:
        with contextlib.suppress(libvirt.libvirtError):
            return connection.lookupByUUIDString(name)
        raise
