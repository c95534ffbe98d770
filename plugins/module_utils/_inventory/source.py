# Copyright (c) 2026, the netless.qga authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The interface of what an inventory reads domains from."""

from __future__ import annotations

import typing as t

from ansible_collections.netless.qga.plugins.module_utils._deadline import Deadline
from ansible_collections.netless.qga.plugins.module_utils._inventory.domain import AgentReport, Domain


class Source(t.Protocol):
    """A hypervisor, or a pattern of sockets. Threads call its methods, several at a time."""

    @property
    def name(self) -> str:
        """The libvirt URI or the pattern, as the user wrote it."""

    @property
    def hypervisor(self) -> str:
        """The machine that the domains run on."""

    @property
    def max_parallel(self) -> int:
        """How many of its agents may be asked at a time."""

    def list_domains(self, deadline: Deadline) -> list[Domain]:
        """Return all domains.

        :raises QgaError: they cannot be listed. The message names the reason, and what to do next.
        """

    def ask(self, domain: Domain, subsets: t.Sequence[str], deadline: Deadline) -> AgentReport:
        """Ask the agent of one of the domains, see :func:`ask_agent`."""

    def close(self) -> None:
        """Close what is open. Threads that still ask may go on."""
