# Copyright (c) 2026, the netless.qga authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Where an agent is and how long to wait for it, as the connection plugin and every module use it."""

from __future__ import annotations

import math
import os
import sys
import typing as t
from dataclasses import asdict, dataclass, replace

from ansible_collections.netless.qga.plugins.module_utils._agent.agent import Agent
from ansible_collections.netless.qga.plugins.module_utils._agent.option_checks import check_positive
from ansible_collections.netless.qga.plugins.module_utils._channels.address import Address, make_channel
from ansible_collections.netless.qga.plugins.module_utils._deadline import Deadline

if t.TYPE_CHECKING:
    from ansible_collections.netless.qga.plugins.module_utils._channels.channel import Channel
    from ansible_collections.netless.qga.plugins.module_utils._libvirt.domain import LibvirtDomain

#: Seconds that most commands of an agent may take.
DEFAULT_TIMEOUT = 30.0

# For how long a process keeps a channel open, in seconds. libvirtd serves many clients; other channels serve one, and
# other programs and users cannot ask us for it.
_SHARED_PERSIST = 60.0
_SINGLE_CLIENT_PERSIST = 5.0


@dataclass(frozen=True)
class Target:
    """Where an agent is, and how long to wait for it.

    :param address: where the agent is.
    :param connect_timeout: seconds that the agent may take until its first answer.
    :param reply_timeout: seconds that it may take for one answer, unless the command is known to take longer.
    :param limit: seconds that it may take for any answer, if the user set the option ``timeout``.
    :param chunk: how many bytes of a file go into one request or reply; by default as many as suit the endpoint.
    :param log: takes lines of names, sizes and times.
    :param persist: seconds for which a process keeps the channel open after its last use, for the next task. With 0
        there is no such process; with None the seconds suit the endpoint.
    :param owner: the process ID of the Ansible process that the task belongs to; by default this process's.
    """

    address: Address
    connect_timeout: float = 10.0
    reply_timeout: float = DEFAULT_TIMEOUT
    limit: float | None = None
    chunk: int | None = None
    log: t.Callable[[str], None] = lambda line: None
    persist: float | None = 0.0
    owner: int | None = None

    @classmethod
    def from_dict(cls, mapping: t.Mapping[str, t.Any]) -> Target:
        """Return the target that :meth:`as_dict` described. It logs nothing, and opens the channel itself."""
        return cls(**{**mapping, "address": Address(**mapping["address"])})

    def as_dict(self) -> dict[str, t.Any]:
        """Return the target as values that JSON can hold, for :meth:`from_dict` in a process that outlives the task.

        ``log``, ``persist`` and ``owner`` belong to the task, and are left out.
        """
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
        # Otherwise the deadline of each call limits its answer.
        reply_timeout = self._answer_timeout if limit_each_reply else math.inf
        channel = self._channel(reply_timeout, native_calls=native_calls)
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

    def _channel(self, reply_timeout: float, *, native_calls: bool) -> Channel:
        options: dict[str, t.Any] = {
            "connect_timeout": self.connect_timeout,
            "reply_timeout": reply_timeout,
            "native_calls": native_calls,
            "chunk": self.chunk,
            "log": self.log,
        }
        persist = self.persist
        if persist is None:
            persist = _SHARED_PERSIST if self.address.uses_libvirt_rpc else _SINGLE_CLIENT_PERSIST
        if not persist or sys.platform != "linux":
            return make_channel(self.address, **options)
        from ansible_collections.netless.qga.plugins.module_utils._connection_process.persistent_channel import (
            PersistentChannel,
        )

        return PersistentChannel(self.address, persist=persist, owner=self.owner or os.getpid(), **options)

    @property
    def _answer_timeout(self) -> float:
        return self.limit or self.reply_timeout
