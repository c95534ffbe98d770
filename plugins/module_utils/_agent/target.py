# Copyright (c) 2026, the netless.qga authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The way to an agent: where it is, and how patient to be on it."""

from __future__ import annotations

import math
import typing as t
from dataclasses import asdict, dataclass, replace

from ansible_collections.netless.qga.plugins.module_utils._agent.agent import Agent
from ansible_collections.netless.qga.plugins.module_utils._channels.address import Address, make_channel
from ansible_collections.netless.qga.plugins.module_utils._deadline import Deadline

if t.TYPE_CHECKING:
    from ansible_collections.netless.qga.plugins.module_utils._libvirt.domain import LibvirtDomain

#: Seconds that most commands of an agent may take.
DEFAULT_TIMEOUT = 30.0


@dataclass(frozen=True)
class Target:
    """The way to an agent, and how patient to be on it.

    :param address: where the agent is.
    :param connect_timeout: seconds until it has to have answered for the first time.
    :param reply_timeout: seconds that it may take for one answer, if a command does not usually take longer.
    :param limit: seconds that it may take for any answer, if the user said so.
    :param chunk: how many bytes of a file go into one request or reply, if not what suits the endpoint.
    :param log: takes lines of names, sizes and times.
    """

    address: Address
    connect_timeout: float = 10.0
    reply_timeout: float = DEFAULT_TIMEOUT
    limit: float | None = None
    chunk: int | None = None
    log: t.Callable[[str], None] = lambda line: None

    @classmethod
    def from_dict(cls, mapping: t.Mapping[str, t.Any]) -> Target:
        """Return the target that :meth:`as_dict` described. It logs nothing."""
        return cls(**{**mapping, "address": Address(**mapping["address"])})

    def as_dict(self) -> dict[str, t.Any]:
        """Return everything except ``log``, as values that JSON can hold, for :meth:`from_dict` in another process."""
        return {
            "address": asdict(self.address),
            "connect_timeout": self.connect_timeout,
            "reply_timeout": self.reply_timeout,
            "limit": self.limit,
            "chunk": self.chunk,
        }

    def with_options(self, params: t.Mapping[str, t.Any]) -> Target:
        """The same, but for what the options of a module say."""
        timeout, endpoint = params["timeout"], params["endpoint"]
        if params["domain"] and not endpoint and not self.address.uses_libvirt:
            # Who names a domain means that one, and not the guest at some socket.
            endpoint = Address.endpoint
        address = Address(
            endpoint=endpoint or self.address.endpoint,
            domain=params["domain"] or self.address.domain,
            uri=params["uri"] or self.address.uri,
        )
        if timeout is None:
            return replace(self, address=address)
        return replace(self, address=address, connect_timeout=timeout, limit=timeout)

    def agent(
        self, *, native_calls: bool = True, validate_replies: bool = True, limit_each_reply: bool = False
    ) -> Agent:
        """The agent there.

        :param own_calls: see :class:`LibvirtChannel`.
        :param check_replies: whether its replies are checked against QEMU's schema.
        :param many_calls: whether it is for calls with one deadline, so that each answer needs a limit besides.
        :raises LibraryMissing: they are to be checked, and cannot be. What was answered would have been done.
        """
        channel = make_channel(
            self.address,
            connect_timeout=self.connect_timeout,
            # Otherwise what a command may take is up to the deadline of its call.
            reply_timeout=self._answer_seconds if limit_each_reply else math.inf,
            native_calls=native_calls,
            chunk=self.chunk,
            log=self.log,
        )
        if not validate_replies:
            return Agent(channel)
        from ansible_collections.netless.qga.plugins.module_utils._schema.validation import (
            check_reply,
            require_jsonschema,
        )

        require_jsonschema()
        return Agent(channel, check_reply=check_reply)

    def libvirt_domain(self) -> LibvirtDomain | None:
        """The domain at the address, if it is one of libvirt's."""
        address = self.address
        if not address.uses_libvirt:
            return None
        from ansible_collections.netless.qga.plugins.module_utils._libvirt.domain import LibvirtDomain

        return LibvirtDomain(address.domain, address.uri)

    def deadline(self, usual: float = DEFAULT_TIMEOUT) -> Deadline:
        """When a command has to have been answered.

        :param usual: seconds that it may well take.
        """
        return Deadline.after(max(usual, self.reply_timeout) if self.limit is None else self.limit)

    def overall_deadline(self, calls: int = 1) -> Deadline:
        """When several commands have to have been answered, for an agent that limits each answer by itself.

        :param calls: for so many of them at least, reaching the agent and each answer can take all of their time.
        """
        return Deadline.after(max(DEFAULT_TIMEOUT, self.connect_timeout + calls * self._answer_seconds))

    @property
    def _answer_seconds(self) -> float:
        return self.limit or self.reply_timeout
