# Copyright (c) 2026, the netless.qga authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Where an agent is and how long to wait for it, as the connection plugin and every module use it."""

from __future__ import annotations

import math
import typing as t
from dataclasses import asdict, dataclass, replace

from ansible_collections.netless.qga.plugins.module_utils._agent.agent import Agent
from ansible_collections.netless.qga.plugins.module_utils._agent.option_checks import check_positive
from ansible_collections.netless.qga.plugins.module_utils._channels.address import Address, make_channel
from ansible_collections.netless.qga.plugins.module_utils._deadline import Deadline

if t.TYPE_CHECKING:
    from ansible_collections.netless.qga.plugins.module_utils._libvirt.domain import LibvirtDomain

#: Seconds that most commands of an agent may take.
DEFAULT_TIMEOUT = 30.0


@dataclass(frozen=True)
class Target:
    """Where an agent is, and how long to wait for it.

    :param address: where the agent is.
    :param connect_timeout: seconds that the agent may take until its first answer.
    :param reply_timeout: seconds that it may take for one answer, unless the command is known to take longer.
    :param limit: seconds that it may take for any answer, if the user set the option ``timeout``.
    :param chunk: how many bytes of a file go into one request or reply; by default as many as suit the endpoint.
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
        """Return this target, changed by the options of a module that are set.

        :param params: the module's options ``domain``, ``endpoint``, ``timeout`` and ``uri``.
        :raises InvalidRequest: the timeout is not a positive number.
        """
        timeout, endpoint = params["timeout"], params["endpoint"]
        if params["domain"] and not endpoint and not self.address.uses_libvirt:
            # An explicit domain overrides the connection's socket.
            endpoint = Address.endpoint
        address = Address(
            endpoint=endpoint or self.address.endpoint,
            domain=params["domain"] or self.address.domain,
            uri=params["uri"] or self.address.uri,
        )
        if timeout is None:
            return replace(self, address=address)
        check_positive("timeout", timeout)
        return replace(self, address=address, connect_timeout=timeout, limit=timeout)

    def agent(
        self, *, native_calls: bool = True, validate_replies: bool = True, limit_each_reply: bool = False
    ) -> Agent:
        """Return the agent. Its channel opens when it is first used.

        :param native_calls: see :class:`LibvirtChannel`.
        :param validate_replies: whether to check its replies against QEMU's schema.
        :param limit_each_reply: whether each answer has a time limit of its own, because many calls share one deadline.
        :raises InvalidRequest: the address is not valid.
        :raises LibraryMissing: the library that checks replies is missing. It is required before anything is sent,
            because a command whose reply cannot be checked would have been carried out.
        """
        channel = make_channel(
            self.address,
            connect_timeout=self.connect_timeout,
            # Otherwise the deadline of each call limits its answer.
            reply_timeout=self._answer_timeout if limit_each_reply else math.inf,
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
        """Return the domain at the address, None if it is not an address of libvirt."""
        address = self.address
        if not address.uses_libvirt:
            return None
        from ansible_collections.netless.qga.plugins.module_utils._libvirt.domain import LibvirtDomain

        return LibvirtDomain(address.domain, address.uri)

    def deadline(self, usual: float = DEFAULT_TIMEOUT) -> Deadline:
        """Return the time by which a command must be answered.

        :param usual: seconds that the command may normally take.
        """
        return Deadline.after(max(usual, self.reply_timeout) if self.limit is None else self.limit)

    def overall_deadline(self, calls: int = 1) -> Deadline:
        """Return the time by which several commands must be answered, if the agent limits each answer by itself.

        :param calls: how many commands. Reaching the agent and each answer may take the whole time that it has.
        """
        return Deadline.after(max(DEFAULT_TIMEOUT, self.connect_timeout + calls * self._answer_timeout))

    @property
    def _answer_timeout(self) -> float:
        return self.limit or self.reply_timeout
