# Copyright (c) 2026, the netless.qga authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The Python library libvirt in virtual time, in front of a :class:`ModelLibvirtd`."""

from __future__ import annotations

import contextlib
import sys
import types
import typing as t
from unittest import mock

from ansible_collections.netless.qga.plugins.module_utils._deadline import Deadline
from ansible_collections.netless.qga.plugins.module_utils._libvirt import connection, domain
from ansible_collections.netless.qga.tests.guests.libvirt_library import CODES, NEWER_CODES, STATES, LibvirtError

if t.TYPE_CHECKING:
    from .model_libvirtd import ModelLibvirtd


class Connection:
    """libvirt.virConnect and its only domain: all calls go to libvirtd, which they were connected to."""

    # pylint: disable=invalid-name  # they are libvirt's

    def __init__(self, daemon: ModelLibvirtd) -> None:
        self._daemon = daemon
        self.generation = daemon.generation

    def isAlive(self) -> bool:
        """Return whether libvirtd still runs that was connected to."""
        return self.generation == self._daemon.generation

    def lookupByName(self, name: str) -> Connection:
        """Return the domain."""
        self._daemon.check_connection(self.generation)
        return self

    def state(self) -> tuple[int, int]:
        """Return what the domain is doing."""
        return self._daemon.state(self.generation), 0

    def close(self) -> None:
        """Close the connection."""


class _Call:
    """A BackgroundCall without a thread: the clock knows when the caller gives up."""

    def __init__(self, daemon: ModelLibvirtd, function: t.Callable[[], t.Any]) -> None:
        self._daemon = daemon
        self._function = function

    def result(self, deadline: Deadline) -> t.Any:
        """Return what the function returns.

        :raises TimeoutError: it has not returned at the deadline.
        """
        with self._daemon.patience_until(deadline.at):
            return self._function()


@contextlib.contextmanager
def installed(daemon: ModelLibvirtd) -> t.Iterator[None]:
    """Put the library in place of the real one, and calls without threads in place of those with one."""
    library = types.SimpleNamespace(
        **CODES,
        **STATES,
        **(NEWER_CODES if daemon.is_new else {}),
        libvirtError=LibvirtError,
        open=daemon.open,
        registerErrorHandler=lambda handler, context: None,
    )
    functions = types.SimpleNamespace(
        qemuAgentCommand=lambda domain, text, seconds, flags: daemon.command(domain.generation, text, seconds)
    )
    modules = {"libvirt": library, "libvirt_qemu": functions}
    with (
        mock.patch.dict(sys.modules, modules),
        mock.patch.object(connection, "BackgroundCall", lambda function: _Call(daemon, function)),
        mock.patch.object(domain, "BackgroundCall", lambda function: _Call(daemon, function)),
    ):
        yield
