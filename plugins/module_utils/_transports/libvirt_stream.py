# Copyright (c) 2026, the netless.qga authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""``libvirt:NAME``: a virtio channel of a libvirt domain, as a stream through libvirt (virDomainOpenChannel)."""

from __future__ import annotations

import contextlib
import typing as t
from dataclasses import dataclass
from functools import partial

from ansible_collections.netless.qga.plugins.module_utils._deadline import Deadline
from ansible_collections.netless.qga.plugins.module_utils._libvirt.channels import AGENT_CHANNEL, DomainChannel
from ansible_collections.netless.qga.plugins.module_utils._libvirt.domain import LibvirtDomain
from ansible_collections.netless.qga.plugins.module_utils._libvirt.event_loop import EventLoop
from ansible_collections.netless.qga.plugins.module_utils._local.background_call import BackgroundCall
from ansible_collections.netless.qga.plugins.module_utils.errors import (
    AgentSilent,
    ChannelClosed,
    EndpointBusy,
    EndpointUnavailable,
    Unreachable,
    UnreachableReason,
    excerpt,
)

# What fits into one message with stream data (VIR_NET_MESSAGE_LEGACY_PAYLOAD_MAX).
_MAX_PIECE = 262120

_RETRY_INTERVAL = 0.2

# The hypervisor may be gone when we close the channel.
_CLOSE_TIMEOUT = 2.0

# How long a hypervisor may leave our keepalive messages unanswered: interval in seconds and count. libvirtd's own
# defaults are similar.
_KEEPALIVE = (5, 3)

# How often to run the event loop for data that has arrived already. Keepalive messages of half a minute may precede the
# data or the end of the stream, and one run of the loop takes in one message.
_MIN_LOOP_RUNS = 8

# What libvirt's Python binding returns instead of data if there is none now.
_NOTHING_YET = -2


@dataclass(frozen=True)
class LibvirtStreamConnector:
    """A channel of a domain.

    :param channel: the name of its virtio port, or libvirt's alias of the device.
    :param domain: the domain's name or UUID.
    :param uri: of the hypervisor.
    """

    channel: str
    domain: str
    uri: str
    chunk: int = 1024 * 1024

    @property
    def name(self) -> str:
        return f"libvirt:{self.channel} of the domain {self.domain} on {self.uri}"

    @property
    def lock_key(self) -> str:
        return self.name

    def connect(self, deadline: Deadline) -> LibvirtStream:
        """Open the channel, and wait until no other stream holds it."""
        domain = LibvirtDomain(self.domain, self.uri, permission="domain.open-device")
        loop = self._event_loop(domain.library())
        try:
            domain.make_ready(deadline)
            self._check(domain.channels())
            return LibvirtStream(self, domain, self._open(domain, deadline), loop)
        except BaseException:
            domain.close()
            loop.close()
            raise

    def _event_loop(self, libvirt: t.Any) -> EventLoop:
        try:
            return EventLoop(libvirt)
        except libvirt.libvirtError as exc:
            raise EndpointUnavailable(
                f"{self.name}: libvirt has no event loop here: {excerpt(exc.get_error_message())}"
            ) from exc

    def find(self, channels: t.Sequence[DomainChannel]) -> DomainChannel | None:
        """Return this connector's channel among those of the domain; None if it is not there."""
        return next((channel for channel in channels if self.channel in (channel.name, channel.alias)), None)

    def _check(self, channels: t.Sequence[DomainChannel]) -> None:
        """Check that the channel can be opened: libvirt's own errors explain less.

        :raises EndpointUnavailable: it cannot be opened.
        """
        found = self.find(channels)
        if found is None:
            if not channels:
                return
            others = ", ".join(channel.name for channel in channels if channel.name != AGENT_CHANNEL) or "none"
            raise EndpointUnavailable(
                f"{self.name}: the domain has no such channel. In addition to the one that libvirt keeps to itself it "
                f"has: {others}"
            )
        if found.name == AGENT_CHANNEL:
            raise EndpointUnavailable(
                f"{self.name}: libvirt itself holds this channel as long as the domain runs. Use the endpoint libvirt, "
                f"or another channel with a qemu-ga of its own"
            )
        if found.kind != "unix":
            raise EndpointUnavailable(
                f"{self.name}: the channel is of type {found.kind}, and libvirt opens only those of type unix"
            )

    def _open(self, domain: LibvirtDomain, deadline: Deadline) -> t.Any:
        libvirt = domain.library()
        while True:
            try:
                return domain.call(lambda virdomain: self._open_stream(libvirt, virdomain), deadline)
            except TimeoutError as exc:
                domain.abandon()
                raise EndpointUnavailable(f"{self.name}: libvirt did not open the channel in time") from exc
            except libvirt.libvirtError as exc:
                text = excerpt(exc.get_error_message())
                if exc.get_error_code() != libvirt.VIR_ERR_OPERATION_FAILED:
                    raise domain.refusal(exc) or EndpointUnavailable(f"{self.name}: {text}") from exc
                deadline.sleep(_RETRY_INTERVAL)
                if deadline.passed:
                    raise EndpointBusy(f"{self.name}: another client held the channel all the time: {text}") from exc

    def _open_stream(self, libvirt: t.Any, virdomain: t.Any) -> t.Any:
        connection = virdomain.connect()
        connection.setKeepAlive(*_KEEPALIVE)
        stream = connection.newStream(libvirt.VIR_STREAM_NONBLOCK)
        virdomain.openChannel(self.channel, stream)
        return stream


class LibvirtStream:
    """An open channel, with a connection of its own.

    :param loop: processes what arrives on the connection.
    """

    def __init__(
        self, connector: LibvirtStreamConnector, domain: LibvirtDomain, stream: t.Any, loop: EventLoop
    ) -> None:
        self._connector = connector
        self._domain = domain
        self._stream = stream
        self._loop = loop
        self._reason = ""

    def send(self, data: bytes, deadline: Deadline) -> None:
        stream, rest = self._stream, memoryview(data)
        while rest:
            piece = bytes(rest[:_MAX_PIECE])
            try:
                # Even on a non-blocking stream this waits as long as libvirtd takes nothing.
                sent = BackgroundCall(partial(stream.send, piece)).result(deadline)
            except self._domain.library().libvirtError as exc:
                raise ConnectionError(self._note_reason(exc)) from exc
            rest = rest[sent:]

    def receive(self, deadline: Deadline) -> bytes:
        loop_runs = 0
        while True:
            try:
                data = self._stream.recv(_MAX_PIECE)
            except self._domain.library().libvirtError as exc:
                self._note_reason(exc)
                return b""
            if data != _NOTHING_YET:
                return t.cast(bytes, data)
            if self._domain.broken:
                # libvirt does not end the stream then.
                self._reason = "the connection to libvirt broke"
                return b""
            if loop_runs >= _MIN_LOOP_RUNS and deadline.passed:
                raise TimeoutError
            try:
                self._loop.run(deadline)
            except self._domain.library().libvirtError as exc:
                self._note_reason(exc)
                return b""
            loop_runs += 1

    def no_reply_error(self) -> Unreachable:
        channel = self._connector.find(self._domain.channels())
        if channel is not None and not channel.connected:
            return AgentSilent(
                f"{self._connector.name}: nothing in the guest has opened the channel. Is the guest up, and a qemu-ga "
                f"running in it with --path=/dev/virtio-ports/{channel.name}?"
            )
        return AgentSilent(
            f"{self._connector.name}: the channel is open on both sides, but no guest agent answers. Does the agent "
            f"hang, or does another program on the hypervisor hold the channel's socket, which serves one at a time?"
        )

    def closed_error(self) -> Unreachable:
        reason = f": {self._reason}" if self._reason else ""
        return ChannelClosed(
            f"{self._connector.name}: the stream ended{reason}. Did the domain or libvirt stop?",
            reason=UnreachableReason.CLOSED,
        )

    def close(self) -> None:
        stream, self._stream = self._stream, None
        if stream is None:
            return
        with contextlib.suppress(TimeoutError, self._domain.library().libvirtError):
            BackgroundCall(stream.abort).result(Deadline.after(_CLOSE_TIMEOUT))
        del stream
        self._domain.close()
        self._loop.close()

    def _note_reason(self, exc: t.Any) -> str:
        self._reason = excerpt(exc.get_error_message())
        return self._reason
