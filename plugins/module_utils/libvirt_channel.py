# Copyright (c) 2026, the netless.qga authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The channel to the agent of a libvirt domain: libvirtd speaks with it, and is asked to (virDomainQemuAgentCommand).

libvirtd does the sync, by guest-sync and not the delimited one, and serves one caller at a time. It is never sent
guest-sync-delimited: a reply with a 0xFF in front breaks its link to the agent, for all and until that reconnects.
"""

from __future__ import annotations

import contextlib
import math
import queue
import secrets
import threading
import time
import typing as t
from xml.etree import ElementTree

from ansible_collections.netless.qga.plugins.module_utils.channel import Call, Outcome, Silence, SyncReport
from ansible_collections.netless.qga.plugins.module_utils.deadline import Deadline
from ansible_collections.netless.qga.plugins.module_utils.errors import (
    AgentSilent,
    EndpointBusy,
    EndpointUnavailable,
    InvalidRequest,
    LibraryMissing,
    OutcomeUnknown,
    ProtocolViolation,
    Unreachable,
)
from ansible_collections.netless.qga.plugins.module_utils.framing_events import Answer, Refusal
from ansible_collections.netless.qga.plugins.module_utils.limits import DEFAULT_LIMITS, Limits
from ansible_collections.netless.qga.plugins.module_utils.strict_json import UnacceptableJson, dumps, loads

T = t.TypeVar("T")

# libvirtd 9.0 loses requests of 192 KiB and more, and keeps others from the agent for a second; 160 KiB pass.
_CHUNK = 128 * 1024

_RETRY_SECONDS = 0.2

_GRACE_SECONDS = 5.0

_NO_CHANNEL = (
    "the domain has no channel for a guest agent: add <channel type='unix'><target type='virtio' "
    "name='org.qemu.guest_agent.0'/></channel> to its devices"
)


class LibvirtChannel:
    """One domain's agent, through libvirt.

    :param domain: its name or UUID.
    :param uri: of the hypervisor, like ``qemu:///system``.
    :param connect_timeout: seconds for connecting to libvirt and the first answer of the agent.
    :param reply_timeout: seconds that the agent may take for one reply.
    :param chunk: how many bytes of a file go into one request or reply, if not what suits libvirt.
    :param grace: seconds that libvirt may take beyond the agent's time, for its own part and the way to it.
    :param log: takes lines of names, sizes and times. Contents are never logged.
    """

    def __init__(
        self,
        domain: str,
        uri: str,
        *,
        connect_timeout: float = 10.0,
        reply_timeout: float = 30.0,
        chunk: int | None = None,
        grace: float = _GRACE_SECONDS,
        limits: Limits = DEFAULT_LIMITS,
        log: t.Callable[[str], None] = lambda line: None,
    ) -> None:
        self.endpoint = f"libvirt domain {domain} on {uri}"
        self.chunk = chunk or _CHUNK
        self.connect_timeout = connect_timeout
        self.reply_timeout = reply_timeout
        self._grace = grace
        self._name = domain
        self._uri = uri
        self._limits = limits
        self._log = log
        self._connection: t.Any = None
        self._domain: t.Any = None

    def sync(self, deadline: Deadline) -> SyncReport:
        """See :meth:`Channel.sync`. It is a plain one, of libvirtd's and on top of it one of ours."""
        started = time.monotonic()
        sync_id = secrets.randbelow(2**63 - 1) + 1
        try:
            (outcome,) = self.exchange([Call("guest-sync", {"id": sync_id})], deadline)
        except OutcomeUnknown as exc:
            raise AgentSilent(str(exc)) from exc
        if not isinstance(outcome, Answer) or outcome.value != sync_id:
            raise ProtocolViolation(f"{self.endpoint}: the answer to guest-sync is not its id")
        return SyncReport(sync_id, 0, False, time.monotonic() - started)

    def exchange(self, calls: t.Sequence[Call], deadline: Deadline) -> list[Outcome]:
        """See :meth:`Channel.exchange`. libvirtd carries them out one by one."""
        self._open(deadline.within(self.connect_timeout))
        return [self._exchange(call, deadline.within(self.reply_timeout)) for call in calls]

    def pause(self, seconds: float, deadline: Deadline) -> None:
        """See :meth:`Channel.pause`. libvirtd gives others their turn between two commands anyway."""
        deadline.sleep(seconds)

    def close(self) -> None:
        """See :meth:`Channel.close`."""
        self._domain = None
        if self._connection is not None:
            connection, self._connection = self._connection, None
            with contextlib.suppress(self._libvirt.libvirtError):
                connection.close()

    def _open(self, deadline: Deadline) -> None:
        if self._domain is not None:
            return
        try:
            import libvirt
            import libvirt_qemu
        except ImportError as exc:
            raise LibraryMissing(
                f"{self.endpoint}: the Python library libvirt is missing. Install python3-libvirt of the distribution, "
                f"or libvirt-python from PyPI, for the Python that runs Ansible"
            ) from exc
        self._libvirt, self._libvirt_qemu = libvirt, libvirt_qemu
        # Errors come as exceptions; the default handler prints them on standard error as well.
        libvirt.registerErrorHandler(lambda context, error: None, None)
        try:
            self._connection = _within(deadline, lambda: libvirt.open(self._uri))
            self._domain = _within(deadline, self._look_up)
        except TimeoutError as exc:
            self._abandon()
            raise EndpointUnavailable(f"{self.endpoint}: no answer from libvirt in time") from exc
        except libvirt.libvirtError as exc:
            self.close()
            raise self._unavailable(exc) from exc

    def _abandon(self) -> None:
        """Forget a connection that hangs: closing it would hang too. The next call opens another one."""
        self._domain = self._connection = None

    def _look_up(self) -> t.Any:
        try:
            return self._connection.lookupByName(self._name)
        except self._libvirt.libvirtError:
            with contextlib.suppress(self._libvirt.libvirtError):
                return self._connection.lookupByUUIDString(self._name)
            raise

    def _exchange(self, call: Call, deadline: Deadline) -> Outcome:
        try:
            text = dumps({"execute": call.command, "arguments": dict(call.arguments)}).decode("ascii")
        except UnacceptableJson as exc:
            raise InvalidRequest(f"{call.command}: its arguments cannot be sent: {exc}") from exc
        started = time.monotonic()
        while True:
            try:
                reply = self._command(text, deadline)
                break
            except TimeoutError as exc:
                self._abandon()
                raise self._unknown(call, "no answer from libvirt in time") from exc
            except self._libvirt.libvirtError as exc:
                outcome = self._understand(call, exc, deadline)
                if outcome is not None:
                    return outcome
            deadline.sleep(_RETRY_SECONDS)
        self._log(f"{call.command}: {len(text)} bytes sent, answered after {time.monotonic() - started:.4f} s")
        return Answer(0, self._parse(call, reply))

    def _command(self, text: str, deadline: Deadline) -> str:
        seconds = max(1, math.ceil(deadline.remaining()))
        return t.cast(
            str,
            _within(
                Deadline.after(seconds + self._grace),
                lambda: self._libvirt_qemu.qemuAgentCommand(self._domain, text, seconds, 0),
            ),
        )

    def _understand(self, call: Call, exc: t.Any, deadline: Deadline) -> Outcome | None:
        """What an error of libvirt's means for a call: an outcome, an exception, or None to try again."""
        virt, code, text = self._libvirt, exc.get_error_code(), exc.get_error_message()
        if code in (virt.VIR_ERR_INTERNAL_ERROR, getattr(virt, "VIR_ERR_AGENT_COMMAND_FAILED", None)):
            # The agent's own error; its class is lost on the way.
            return Refusal(0, "GenericError", text.rpartition(f"'{call.command}': ")[2])
        if code in (virt.VIR_ERR_OPERATION_TIMEOUT, virt.VIR_ERR_OPERATION_FAILED):
            # Another client's command is under way, and ours was not sent.
            if deadline.passed:
                raise EndpointBusy(f"{self.endpoint}: another client kept the agent busy all the time: {text}")
            return None
        timed_out = code == getattr(virt, "VIR_ERR_AGENT_COMMAND_TIMEOUT", None)
        if code == virt.VIR_ERR_AGENT_UNRESPONSIVE:
            # libvirt before 112 existed says by it that there is no agent, and that it did not answer.
            timed_out = self._agent_is_connected()
        broken = not self._connection.isAlive()
        if timed_out or broken:
            error = self._unknown(call, text)
            if broken:
                self.close()
            if call.success_response:
                raise error
            return Silence()
        raise self._unavailable(exc)

    def _unknown(self, call: Call, reason: str) -> OutcomeUnknown:
        paused = " The domain is paused" if self._is_paused() else ""
        return OutcomeUnknown(
            f"the answer to {call.command} is lost; whether it was carried out is not known, so it is not sent again. "
            f"{self.endpoint}: {reason}.{paused}"
        )

    def _unavailable(self, exc: t.Any) -> Unreachable:
        virt, code, text = self._libvirt, exc.get_error_code(), exc.get_error_message()
        reason = {
            virt.VIR_ERR_NO_DOMAIN: f"there is no such domain: {text}",
            virt.VIR_ERR_OPERATION_INVALID: f"the domain is off: {text}",
            virt.VIR_ERR_ARGUMENT_UNSUPPORTED: _NO_CHANNEL,
            virt.VIR_ERR_AGENT_UNRESPONSIVE: "no guest agent is connected: is the guest up, and qemu-guest-agent "
            f"running in it? ({text})",
            virt.VIR_ERR_OPERATION_DENIED: f"the connection to libvirt is read-only: {text}",
            virt.VIR_ERR_ACCESS_DENIED: f"libvirt's access control forbids it; domain:write is needed: {text}",
            virt.VIR_ERR_AUTH_FAILED: f"libvirt did not accept who we are: {text}",
        }.get(code, text)
        kind = AgentSilent if code == virt.VIR_ERR_AGENT_UNRESPONSIVE else EndpointUnavailable
        return kind(f"{self.endpoint}: {reason}")

    def _agent_is_connected(self) -> bool:
        """Whether the guest has the channel open, as the live XML says."""
        with contextlib.suppress(self._libvirt.libvirtError, ElementTree.ParseError):
            channels = ElementTree.fromstring(self._domain.XMLDesc()).iterfind("devices/channel/target")
            return any(
                target.get("name") == "org.qemu.guest_agent.0" and target.get("state") == "connected"
                for target in channels
            )
        return False

    def _is_paused(self) -> bool:
        if self._domain is None:
            return False
        with contextlib.suppress(self._libvirt.libvirtError):
            return bool(self._domain.state()[0] == self._libvirt.VIR_DOMAIN_PAUSED)
        return False

    def _parse(self, call: Call, reply: str) -> t.Any:
        limits = self._limits
        try:
            members = loads(
                reply.encode("utf-8", errors="surrogatepass"),
                max_depth=limits.depth,
                max_values=limits.values,
                max_digits=limits.digits,
            )
        except UnacceptableJson as exc:
            raise ProtocolViolation(f"{self.endpoint}: the reply to {call.command} is unacceptable: {exc}") from exc
        if not isinstance(members, dict) or "return" not in members:
            raise ProtocolViolation(f"{self.endpoint}: the reply to {call.command} has no 'return'")
        return members["return"]


def _within(deadline: Deadline, function: t.Callable[[], T]) -> T:
    """The function's result. libvirt's calls know no deadline for the way to a hypervisor that is far or gone.

    :raises TimeoutError: it did not return in time. Its thread is left behind, and ends with this process.
    """
    results: queue.SimpleQueue[tuple[T | None, Exception | None]] = queue.SimpleQueue()

    def run() -> None:
        try:
            results.put((function(), None))
        except Exception as exc:  # pylint: disable=broad-exception-caught  # whoever waits gets it
            results.put((None, exc))

    threading.Thread(target=run, daemon=True).start()
    try:
        result, error = results.get(timeout=deadline.remaining())
    except queue.Empty as exc:
        raise TimeoutError from exc
    if error is not None:
        raise error
    return t.cast(T, result)
