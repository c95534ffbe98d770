# Copyright (c) 2026, the netless.qga authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Sockets in directories as a source of domains, as Proxmox VE and QEMU without libvirt create them."""

from __future__ import annotations

import glob
import os
import re
import stat
import typing as t

from ansible_collections.netless.qga.plugins.module_utils._channels.address import Address
from ansible_collections.netless.qga.plugins.module_utils._deadline import Deadline
from ansible_collections.netless.qga.plugins.module_utils._inventory.agent_query import ask_agent, channel_for_questions
from ansible_collections.netless.qga.plugins.module_utils._inventory.domain import AgentReport, Domain
from ansible_collections.netless.qga.plugins.module_utils.errors import EndpointUnavailable, InvalidRequest


class SocketSource:
    """The domains whose agents have a socket with a path that matches a pattern.

    :param pattern: a shell pattern of absolute paths, in which ``**`` matches any number of directories.
    :param name_pattern: a regular expression, which is searched in the path. Its group ``name`` is the domain's name.
    :raises InvalidRequest: the regular expression is not valid, or has no such group.
    """

    #: Each of them has a channel of its own.
    max_parallel = 1_000_000
    hypervisor = "localhost"

    def __init__(self, pattern: str, *, name_pattern: str) -> None:
        self.name = pattern
        try:
            self._name_pattern = re.compile(name_pattern)
        except re.error as exc:
            raise InvalidRequest(f"socket_name: '{name_pattern}' is not a regular expression: {exc}") from exc
        if "name" not in self._name_pattern.groupindex:
            raise InvalidRequest(f"socket_name: '{name_pattern}' has no group (?P<name>...)")

    def list_domains(self, deadline: Deadline) -> list[Domain]:
        """See :meth:`Source.list_domains`."""
        self._check_directory()
        paths = [path for path in sorted(glob.glob(self.name, recursive=True)) if _is_socket(path)]
        matches = [(path, self._name_pattern.search(path)) for path in paths]
        return [
            Domain(name=match["name"], source=self.name, hypervisor=self.hypervisor, endpoint=f"unix:{path}")
            for path, match in matches
            if match is not None and match["name"]
        ]

    def ask(self, domain: Domain, subsets: t.Sequence[str], deadline: Deadline) -> AgentReport:
        """See :meth:`Source.ask`."""
        return ask_agent(channel_for_questions(Address(domain.endpoint), deadline), subsets, deadline)

    def close(self) -> None:
        """See :meth:`Source.close`. No channel stays open."""

    def _check_directory(self) -> None:
        """Check that the directory before the first wildcard can be read: glob skips what it cannot read."""
        if not os.path.isabs(self.name):
            raise EndpointUnavailable(f"sockets {self.name}: the pattern has to be an absolute path")
        directory = os.path.dirname(self.name)
        while glob.has_magic(directory):
            directory = os.path.dirname(directory)
        try:
            os.scandir(directory).close()
        except OSError as exc:
            raise EndpointUnavailable(f"sockets {self.name}: cannot list {directory}: {exc.strerror}") from exc


def _is_socket(path: str) -> bool:
    try:
        return stat.S_ISSOCK(os.stat(path).st_mode)
    except OSError:
        return False
