# Copyright (c) 2026, the netless.qga authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What an inventory knows about one domain: where it was found, and what its agent reported."""

from __future__ import annotations

import enum
import typing as t
from dataclasses import dataclass, field

#: The state of a domain that was found as a socket, which does not show it.
UNKNOWN_STATE = "unknown"


@dataclass(frozen=True)
class Domain:
    """A domain that a source lists.

    :param name: its name.
    :param source: the libvirt URI or the pattern of sockets that it was found with.
    :param hypervisor: the machine that it runs on, as the URI names it.
    :param endpoint: where its agent is, as the connection's option ``endpoint``.
    :param uri: the libvirt URI; empty without libvirt.
    :param uuid: its UUID; empty without libvirt.
    :param number: libvirt's number of a running domain.
    :param state: the value of a :class:`DomainState`, or :data:`UNKNOWN_STATE`.
    :param metadata: its metadata by the keys that the user chose, see :func:`parse_metadata`.
    """

    name: str
    source: str
    hypervisor: str
    endpoint: str
    uri: str = ""
    uuid: str = ""
    number: int | None = None
    state: str = UNKNOWN_STATE
    metadata: dict[str, t.Any] = field(default_factory=dict)


class AgentState(enum.Enum):
    """What became of the attempt to ask an agent."""

    #: It answered.
    REACHABLE = "reachable"
    #: Its channel is open, and it did not answer in time.
    SILENT = "silent"
    #: Another client holds its channel.
    BUSY = "busy"
    #: Its channel cannot be opened: it does not exist, or this user may not use it.
    UNAVAILABLE = "unavailable"
    #: It sent something that no agent sends.
    INVALID = "invalid"
    #: Nobody asked: the domain does not run, the time was up, or the user did not want it.
    NOT_ASKED = "not_asked"


@dataclass(frozen=True)
class AgentReport:
    """What an agent reported.

    :param state: what became of the attempt to ask it.
    :param message: the reason if it did not answer.
    :param version: its version; empty if it does not report one.
    :param facts: the subsets that it reported, as :func:`gather` returns them. They come from the guest, and are not
        trustworthy.
    :param domain_state: what the attempt revealed about the domain; empty if nothing.
    """

    state: AgentState
    message: str = ""
    version: str = ""
    facts: dict[str, t.Any] = field(default_factory=dict)
    domain_state: str = ""


@dataclass(frozen=True)
class Result:
    """A domain and what its agent reported."""

    domain: Domain
    report: AgentReport

    @property
    def state(self) -> str:
        """What the domain is doing, as far as its source and its agent show it."""
        return self.report.domain_state or self.domain.state
