# Copyright (c) 2026, the netless.qga authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The channel to the agent of a libvirt domain: libvirtd talks to the agent for us (virDomainQemuAgentCommand).

libvirtd does the sync, with guest-sync and not the delimited one, and serves one caller at a time. We never send it
guest-sync-delimited: a reply that starts with 0xFF breaks its link to the agent, for every client and until the agent
reconnects.
"""

from __future__ import annotations

import math
import re
import time
import typing as t

from ansible_collections.netless.qga.plugins.module_utils._channels.channel import Call, NoReply, Outcome, SyncReport
from ansible_collections.netless.qga.plugins.module_utils._channels.exchange_errors import (
    lost_reply_error,
    partly_answered_error,
)
from ansible_collections.netless.qga.plugins.module_utils._channels.reply_limits import reply_limits
from ansible_collections.netless.qga.plugins.module_utils._deadline import Deadline
from ansible_collections.netless.qga.plugins.module_utils._libvirt.connection import HypervisorConnection
from ansible_collections.netless.qga.plugins.module_utils._libvirt.domain import DomainConnection, LibvirtDomain
from ansible_collections.netless.qga.plugins.module_utils._libvirt.native_calls import (
    LIMITED_BY_LIBVIRT,
    PERMISSIONS,
    NativeCall,
    limited,
    native_call,
)
from ansible_collections.netless.qga.plugins.module_utils.errors import (
    AgentSilent,
    EndpointBusy,
    InvalidRequest,
    OutcomeUnknown,
    ProtocolViolation,
    Unreachable,
    excerpt,
)
from ansible_collections.netless.qga.plugins.module_utils.framing.events import Answer, ErrorReply
from ansible_collections.netless.qga.plugins.module_utils.framing.limits import DEFAULT_LIMITS, Limits
from ansible_collections.netless.qga.plugins.module_utils.framing.message import random_id
from ansible_collections.netless.qga.plugins.module_utils.framing.strict_json import UnacceptableJson, dumps, loads

# libvirtd 9.0 loses requests of 192 KiB and more, and keeps others from the agent for a second. 160 KiB work.
_CHUNK = 128 * 1024

# A reply of more than 4 MiB is lost, and one of 10 MiB breaks libvirtd's link to the agent, for every client.
_MAX_CHUNK = 1024 * 1024
_MAX_MESSAGE = 4 * 1024 * 1024
# A read of more bytes makes such a reply: it is base64 with a few words around it.
_MAX_READ = _MAX_MESSAGE // 4 * 3 - 1024

_RETRY_INTERVAL = 0.2

_NO_ANSWER = (
    "no answer in time. The agent hangs, another client's command keeps it busy, or libvirt is out of reach; if this "
    "goes on, restart qemu-guest-agent in the guest"
)


def _whole_seconds(deadline: Deadline) -> int:
    """Return the whole seconds until a deadline, because libvirt takes no fractions.

    libvirt may need more: 9.0 needs five for its sync, and 30 if another client's command is in progress. The seconds
    are rounded down, so that libvirt answers before we give up and abandon the connection.
    """
    return max(1, math.floor(deadline.remaining()))


class LibvirtChannel:
    """A channel to the agent of one domain, through libvirt.

    :param domain: its name or UUID.
    :param uri: the hypervisor, like ``qemu:///system``.
    :param connect_timeout: seconds for connecting to libvirt and for the first answer of the agent.
    :param reply_timeout: seconds that the agent may take for one reply.
    :param chunk: how many bytes of a file go into one request or reply, at most 1 MiB; by default as many as suit
        libvirt.
    :param native_calls: whether to use libvirt's own function for a command that has one. All other commands are sent
        to the agent unchanged.
    :param limits: bounds for what the guest may send.
    :param log: takes lines of names, sizes and times. Contents are never logged.
    :param connect: see :class:`LibvirtDomain`.
    """

    def __init__(
        self,
        domain: str,
        uri: str,
        *,
        connect_timeout: float = 10.0,
        reply_timeout: float = 30.0,
        chunk: int | None = None,
        native_calls: bool = False,
        limits: Limits = DEFAULT_LIMITS,
        log: t.Callable[[str], None] = lambda line: None,
        connect: t.Callable[[t.Any, str, Deadline], DomainConnection] = HypervisorConnection,
    ) -> None:
        self._domain = LibvirtDomain(domain, uri, connect=connect)
        self.endpoint = self._domain.description
        self.chunk = min(chunk or _CHUNK, _MAX_CHUNK)
        self.reply_chunk = min(chunk or _MAX_CHUNK, _MAX_CHUNK)
        self.connect_timeout = connect_timeout
        self.reply_timeout = reply_timeout
        self.native_calls = native_calls
        self._limits = limits
        self._log = log

    def sync(self, deadline: Deadline) -> SyncReport:
        """See :meth:`Channel.sync`. libvirtd does a plain sync, and we send another one on top of it."""
        started = time.monotonic()
        sync_id = random_id()
        try:
            outcome = self.exchange([Call("guest-sync", {"id": sync_id})], deadline)[0]
        except OutcomeUnknown as exc:
            raise AgentSilent(str(exc)) from exc
        if not isinstance(outcome, Answer) or outcome.value != sync_id:
            raise ProtocolViolation(f"{self.endpoint}: the answer to guest-sync is not its id")
        return SyncReport(sync_id, 0, False, time.monotonic() - started)

    def exchange(self, calls: t.Sequence[Call], deadline: Deadline) -> list[Outcome]:
        """See :meth:`Channel.exchange`. libvirtd carries the calls out one by one."""
        outcomes: list[Outcome] = []
        try:
            for call in calls:
                # After a call that was not answered, the next one needs another connection.
                self._domain.make_ready(deadline.within(self.connect_timeout))
                outcomes.append(self._exchange(call, deadline.within(self.reply_timeout)))
        except Unreachable as exc:
            if not outcomes:
                raise
            raise partly_answered_error(exc, answered=len(outcomes), total=len(calls)) from exc
        return outcomes

    def pause(self, seconds: float, deadline: Deadline) -> None:
        """See :meth:`Channel.pause`. libvirtd serves other clients between two commands anyway."""
        deadline.sleep(seconds)

    @property
    def held(self) -> bool:
        """See :attr:`HeldChannel.held`."""
        return False

    def yield_to_waiters(self) -> None:
        """See :meth:`HeldChannel.yield_to_waiters`. Nobody waits for libvirtd, which serves many clients."""

    def close(self) -> None:
        """See :meth:`Channel.close`."""
        self._domain.close()

    def _exchange(self, call: Call, deadline: Deadline) -> Outcome:
        try:
            text = dumps({"execute": call.command, "arguments": dict(call.arguments)}).decode("ascii")
        except UnacceptableJson as exc:
            raise InvalidRequest(f"{call.command}: its arguments cannot be sent: {exc}") from exc
        self._check_size(call, text)
        native = native_call(self._domain.library(), call.command, call.arguments) if self.native_calls else None
        started = time.monotonic()
        while True:
            try:
                value = self._carry_out(call, text, native, deadline)
                break
            except TimeoutError as exc:
                self._domain.abandon()
                if not call.success_response:
                    return NoReply()
                raise self._unknown(call, _NO_ANSWER) from exc
            except self._domain.library().libvirtError as exc:
                outcome = self._interpret(call, exc, deadline, native=native is not None)
                if outcome is not None:
                    return outcome
        self._log(f"{call.command}: {len(text)} bytes sent, answered after {time.monotonic() - started:.4f} s")
        return Answer(0, value)

    def _check_size(self, call: Call, text: str) -> None:
        if len(text) > _MAX_MESSAGE:
            raise InvalidRequest(
                f"{self.endpoint}: {call.command} takes {len(text)} bytes, and libvirt accepts no more than "
                f"{_MAX_MESSAGE}"
            )
        count = call.arguments.get("count")
        if call.command == "guest-file-read" and isinstance(count, int) and count > _MAX_READ:
            raise InvalidRequest(
                f"{self.endpoint}: {call.command} of {count} bytes: libvirt loses a reply of more than "
                f"{_MAX_MESSAGE} bytes, and the data in it. Read at most {_MAX_READ} bytes at a time"
            )

    def _command(self, text: str, deadline: Deadline) -> str:
        # The library libvirt, which was imported before, includes it.
        import libvirt_qemu  # pylint: disable=import-error

        seconds = _whole_seconds(deadline)
        return self._domain.call(
            lambda domain: t.cast(str, libvirt_qemu.qemuAgentCommand(domain, text, seconds, 0)), deadline
        )

    def _carry_out(self, call: Call, text: str, native: NativeCall | None, deadline: Deadline) -> t.Any:
        if native is None:
            return self._parse(call, self._command(text, deadline))
        if call.command != LIMITED_BY_LIBVIRT:
            native = limited(self._domain.library(), native, _whole_seconds(deadline))
        return self._domain.call(native, deadline)

    def _interpret(self, call: Call, exc: t.Any, deadline: Deadline, *, native: bool) -> Outcome | None:
        """Find out what an error of libvirt means for a call.

        :param native: whether libvirt's own function was called.
        :returns: the call's outcome, or None to try again.
        :raises EndpointBusy: another client uses the agent until the deadline.
        :raises Unreachable: libvirt cannot reach the agent, and the call was not carried out.
        :raises OutcomeUnknown: the call may have been carried out.
        """
        libvirt, code, text = self._domain.library(), exc.get_error_code(), exc.get_error_message()
        if not self._domain.broken:
            # libvirt may have sent a list of mountpoints as guest-fsfreeze-freeze-list instead.
            quoted = re.search(rf"'{re.escape(call.command)}(?:-list)?'(?:: )?", text)
            if code == getattr(libvirt, "VIR_ERR_AGENT_COMMAND_FAILED", None) or (
                code == libvirt.VIR_ERR_INTERNAL_ERROR and quoted
            ):
                # The agent's own error. libvirt does not pass on its class.
                return ErrorReply(0, "", (text[quoted.end() :] if quoted else "") or text)
            if native and code in (
                libvirt.VIR_ERR_INVALID_ARG,
                libvirt.VIR_ERR_OPERATION_FAILED,
                libvirt.VIR_ERR_OPERATION_UNSUPPORTED,
            ):
                return ErrorReply(0, "", text)
            if code in (libvirt.VIR_ERR_OPERATION_TIMEOUT, libvirt.VIR_ERR_OPERATION_FAILED):
                # Another client's command is in progress, and libvirt did not send ours.
                deadline.sleep(_RETRY_INTERVAL)
                if deadline.passed:
                    raise EndpointBusy(
                        f"{self.endpoint}: another client kept the agent busy all the time: {excerpt(text)}"
                    )
                return None
            if refusal := self._domain.refusal(exc, PERMISSIONS.get(call.command) if native else None):
                if isinstance(refusal, AgentSilent) and self._domain.is_settling and not deadline.passed:
                    deadline.sleep(_RETRY_INTERVAL)
                    return None
                raise refusal
        if not call.success_response:
            return NoReply()
        raise self._unknown(call, excerpt(text))

    def _unknown(self, call: Call, reason: str) -> OutcomeUnknown:
        paused = ". The domain is paused" if self._domain.paused else ""
        return lost_reply_error([call.command], f"{self.endpoint}: {reason}{paused}")

    def _parse(self, call: Call, reply: str) -> t.Any:
        try:
            members = loads(reply, reply_limits(call.command, call.arguments, self._limits))
        except UnacceptableJson as exc:
            raise ProtocolViolation(f"{self.endpoint}: the reply to {call.command} is unacceptable: {exc}") from exc
        if not isinstance(members, dict) or "return" not in members:
            raise ProtocolViolation(f"{self.endpoint}: the reply to {call.command} has no 'return'")
        return members["return"]
