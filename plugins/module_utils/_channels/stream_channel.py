# Copyright (c) 2026, the netless.qga authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The channel to an agent on a byte stream: a framing session over a transport, within deadlines."""

from __future__ import annotations

import time
import typing as t

from ansible_collections.netless.qga.plugins.module_utils._channels.channel import Call, Outcome, SyncReport
from ansible_collections.netless.qga.plugins.module_utils._channels.exchange import Exchange
from ansible_collections.netless.qga.plugins.module_utils._channels.exchange_errors import (
    lost_reply_error,
    partly_answered_error,
    unexpected_reply_error,
)
from ansible_collections.netless.qga.plugins.module_utils._channels.reply_limits import reply_limits
from ansible_collections.netless.qga.plugins.module_utils._deadline import Deadline
from ansible_collections.netless.qga.plugins.module_utils._local.fair_lock import NOTICE_SECONDS, FairLock
from ansible_collections.netless.qga.plugins.module_utils._transports.connector import Connector
from ansible_collections.netless.qga.plugins.module_utils._transports.transport import Transport
from ansible_collections.netless.qga.plugins.module_utils.errors import (
    ProtocolViolation,
    StateError,
    Unreachable,
)
from ansible_collections.netless.qga.plugins.module_utils.framing.events import (
    Answer,
    Closed,
    Discarded,
    ErrorReply,
    Event,
    Synced,
)
from ansible_collections.netless.qga.plugins.module_utils.framing.limits import DEFAULT_LIMITS, Limits
from ansible_collections.netless.qga.plugins.module_utils.framing.session import Session
from ansible_collections.netless.qga.plugins.module_utils.framing.state import State

# How many received bytes go into the session between two looks at the deadline. So many blank lines take 0.1 s.
_PIECE = 16 * 1024

# How often we check whether another process waits for the channel, in seconds.
_WAITERS_INTERVAL = 0.5

# How long we wait at least for the reply to a sync before we send another one, in seconds.
_MIN_SYNC_TIMEOUT = 0.5


class StreamChannel:
    """A channel that opens when it is first needed, and syncs whenever it has to.

    :param connector: opens the byte stream to the agent.
    :param connect_timeout: seconds for waiting for other processes, opening the stream and the sync together.
    :param reply_timeout: seconds that the agent may take for one reply.
    :param chunk: how many bytes of a file go into one request or reply; by default as many as suit the endpoint.
    :param limits: bounds for what the guest may send.
    :param log: takes lines of names, sizes and times. Contents are never logged.
    """

    def __init__(
        self,
        connector: Connector,
        *,
        connect_timeout: float = 10.0,
        reply_timeout: float = 30.0,
        chunk: int | None = None,
        limits: Limits = DEFAULT_LIMITS,
        log: t.Callable[[str], None] = lambda line: None,
    ) -> None:
        self.endpoint = connector.name
        self.chunk = self.reply_chunk = chunk or connector.chunk
        self.connect_timeout = connect_timeout
        self.reply_timeout = reply_timeout
        self.native_calls = False
        self._connector = connector
        self._limits = limits
        self._log = log
        self._lock = FairLock(connector.lock_key)
        self._next_waiters_check = 0.0
        self._transport: Transport | None = None
        self._session = Session(limits=limits)
        self._received = memoryview(b"")

    def sync(self, deadline: Deadline) -> SyncReport:
        """See :meth:`Channel.sync`."""
        self._open(deadline)
        return self._sync(deadline)

    def exchange(self, calls: t.Sequence[Call], deadline: Deadline) -> list[Outcome]:
        """See :meth:`Channel.exchange`. As many requests are unanswered at a time as the agent can take."""
        exchange = Exchange(calls)
        try:
            while not exchange.finished:
                if not exchange.in_flight:
                    self._make_ready(deadline.within(self.connect_timeout))
                reply_deadline = deadline.within(self.reply_timeout)
                self._send_what_fits(exchange, reply_deadline)
                self._take_event(exchange, reply_deadline)
        except (TimeoutError, ConnectionError) as exc:
            self._end_unanswered(exchange, exc)
        except ProtocolViolation as exc:
            if not exchange.in_flight:
                raise
            raise unexpected_reply_error([call.command for call in exchange.in_flight], exc) from exc
        except Unreachable as exc:
            if not exchange.answered:
                raise
            raise partly_answered_error(exc, answered=exchange.answered, total=len(calls)) from exc
        return exchange.outcomes()

    def _send_what_fits(self, exchange: Exchange, deadline: Deadline) -> None:
        while (call := exchange.next_call) is not None:
            request = self._session.prepare(
                call.command,
                call.arguments,
                success_response=call.success_response,
                limits=reply_limits(call.command, call.arguments, self._limits),
            )
            if not self._session.has_room(request):
                return
            exchange.sent(request.number)
            self._connected().send(self._session.send(request), deadline)
            self._log(f"{call.command}: {len(request.data)} bytes sent")

    def _take_event(self, exchange: Exchange, deadline: Deadline) -> None:
        event = self._next_event(deadline)
        if isinstance(event, Closed):
            raise ConnectionError
        if isinstance(event, (Answer, ErrorReply)):
            call = exchange.take(event)
            self._log(f"{call.command} answered after {exchange.seconds:.4f} s")

    def _end_unanswered(self, exchange: Exchange, exc: OSError) -> None:
        """End an exchange at a timeout or at the end of the channel.

        :raises OutcomeUnknown: a call has no outcome.
        """
        self._session.abandon()
        if isinstance(exc, ConnectionError):
            reason = str(self._close_with_error())
        else:
            reason = f"{self.endpoint}: no answer for {exchange.seconds:.1f} s"
        lost = [call.command for call in exchange.in_flight]
        if not exchange.take_silence():
            raise lost_reply_error(lost, reason) from exc

    def pause(self, seconds: float, deadline: Deadline) -> None:
        """See :meth:`Channel.pause`."""
        if self._session.state is State.IDLE and self._lock.has_waiters():
            self._disconnect()
            seconds = max(seconds, 2 * NOTICE_SECONDS)
        deadline.sleep(seconds)

    @property
    def held(self) -> bool:
        """See :attr:`HeldChannel.held`."""
        return self._lock.held

    def yield_to_waiters(self) -> None:
        """See :meth:`HeldChannel.yield_to_waiters`."""
        if self._lock.has_waiters():
            self._disconnect()
            # Long enough for the waiting process to notice.
            time.sleep(2 * NOTICE_SECONDS)
        else:
            self._next_waiters_check = time.monotonic() + _WAITERS_INTERVAL

    def close(self) -> None:
        """See :meth:`Channel.close`."""
        self._disconnect()

    def _next_event(self, deadline: Deadline) -> Event:
        """Return the next event that matters. Discarded bytes are only logged.

        :raises TimeoutError: no event came before the deadline.
        :raises ProtocolViolation: something came that no agent sends.
        """
        while True:
            try:
                event = self._session.next_event()
            except ProtocolViolation as exc:
                raise ProtocolViolation(f"{self.endpoint}: {exc}") from exc
            if isinstance(event, Discarded):
                self._log(f"discarded {event.size} bytes: {event.reason}")
            elif event is not None:
                return event
            elif deadline.passed:
                # Stop even if bytes keep coming: a guest must not be able to keep us busy with discarded bytes.
                raise TimeoutError
            else:
                piece = self._receive(deadline)
                if piece:
                    self._session.receive_data(piece)
                else:
                    self._session.receive_eof()

    def _receive(self, deadline: Deadline) -> bytes:
        """Return the next bytes of what has arrived, as many as take little time; nothing at the end of the stream.

        :raises TimeoutError: nothing arrived before the deadline.
        """
        if not self._received:
            self._received = memoryview(self._connected().receive(deadline))
        piece, self._received = bytes(self._received[:_PIECE]), self._received[_PIECE:]
        return piece

    def _close_with_error(self) -> Unreachable:
        """Close a channel that the other side ended, and return the error to raise."""
        error = self._connected().closed_error()
        self._disconnect()
        return error

    # Opening and syncing

    def _make_ready(self, deadline: Deadline) -> None:
        """Make the channel open and in sync, with nothing left to read."""
        if time.monotonic() > self._next_waiters_check:
            self.yield_to_waiters()
        while not self._is_ready(deadline):
            self._open(deadline)
            self._sync(deadline)

    def _is_ready(self, deadline: Deadline) -> bool:
        """Discard what came without a request, which would pass for an answer, and return whether one can be sent."""
        if self._transport is None:
            return False
        try:
            while self._session.state is State.IDLE and not deadline.passed:
                while self._session.next_event():
                    self._log("discarded a line that came without a request")
                piece = self._receive(Deadline.after(0))
                if not piece:
                    # Nothing is lost if the channel ends between two calls. A restarted agent can be reconnected.
                    self._disconnect()
                    return False
                self._session.receive_data(piece)
        except TimeoutError:
            pass
        except ProtocolViolation as exc:
            self._log(f"out of sync: {exc}")
        # An unread part of a line would become part of the answer.
        return self._session.state is State.IDLE and not self._session.has_unread and not self._received

    def _open(self, deadline: Deadline) -> None:
        if self._transport is not None:
            return
        self._lock.acquire(deadline)
        try:
            self._transport = self._connector.connect(deadline)
        except BaseException:
            self._lock.release()
            raise
        self._next_waiters_check = time.monotonic() + _WAITERS_INTERVAL
        self._session = Session(limits=self._limits)
        self._received = memoryview(b"")

    def _disconnect(self) -> None:
        if self._transport is not None:
            self._transport.close()
            self._transport = None
        self._lock.release()

    def _connected(self) -> Transport:
        if self._transport is None:
            raise StateError(f"{self.endpoint}: the channel is not open")
        return self._transport

    def _sync(self, deadline: Deadline) -> SyncReport:
        while True:
            # A sync whose bytes were lost on the way is never answered. It does no harm to send another one.
            attempt = deadline.within(max(_MIN_SYNC_TIMEOUT, deadline.remaining() / 2))
            started = time.monotonic()
            try:
                self._connected().send(self._session.sync(), attempt)
                event = self._next_event(attempt)
            except TimeoutError as exc:
                self._session.abandon()
                if deadline.passed:
                    error = self._connected().no_reply_error()
                    self._disconnect()
                    raise error from exc
                continue
            except ConnectionError as exc:
                raise self._close_with_error() from exc
            except ProtocolViolation:
                self._disconnect()
                raise
            # Any other event means that the agent refused this kind of sync. The session's next one is of another kind.
            if isinstance(event, Synced):
                report = SyncReport(event.sync_id, event.discarded, event.delimited, time.monotonic() - started)
                self._log(f"synced after {report.seconds:.4f} s, {report.discarded} bytes discarded")
                return report
            if isinstance(event, Closed):
                raise self._close_with_error()
