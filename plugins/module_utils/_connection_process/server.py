# Copyright (c) 2026, the netless.qga authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The connection process: it keeps the channel to one agent open between tasks, as ssh's ControlPersist does.

It serves one request at a time, in the order in which the tasks sent them, and needs no threads for that: while the
agent works, other requests wait in their sockets. It ends when no task has used it for a time.

The process holds the channel like any other process of this user: it waits for a channel that somebody else holds, and
an idle process closes its channel as soon as somebody waits for it.
"""

from __future__ import annotations

import contextlib
import json
import os
import selectors
import signal
import socket
import sys
import typing as t

from ansible_collections.netless.qga.plugins.module_utils._channels.address import Address, make_channel
from ansible_collections.netless.qga.plugins.module_utils._channels.channel import Call, HeldChannel
from ansible_collections.netless.qga.plugins.module_utils._connection_process.client import Client
from ansible_collections.netless.qga.plugins.module_utils._connection_process.messages import (
    Message,
    call_from_json,
    error_to_json,
    outcome_to_json,
)
from ansible_collections.netless.qga.plugins.module_utils._connection_process.owner import Owner, is_alive
from ansible_collections.netless.qga.plugins.module_utils._connection_process.process_socket import check_peer
from ansible_collections.netless.qga.plugins.module_utils._deadline import Deadline
from ansible_collections.netless.qga.plugins.module_utils.errors import (
    OutcomeUnknown,
    ProtocolViolation,
    QgaError,
    Unreachable,
)
from ansible_collections.netless.qga.plugins.module_utils.framing.events import Answer

# How often an idle process checks whether another one waits for its channel, in seconds.
_WAITERS_INTERVAL = 0.15
# How often it checks whether the owners of calls for the end are still there.
_OWNERS_INTERVAL = 1.0
# Seconds for the first request after the start.
_FIRST_REQUEST_TIMEOUT = 10.0
# Seconds for each call at the end.
_LAST_CALL_TIMEOUT = 10.0
# How often to ask whether a program that such a call has started has ended, in seconds.
_LAST_POLL_INTERVAL = 0.2


class Server:
    """The connection process for one agent.

    :param address: where the agent is.
    :param listener: a listening socket.
    """

    def __init__(self, address: Address, listener: socket.socket) -> None:
        self._address = address
        self._lines: list[str] = []
        self._channel: HeldChannel = make_channel(
            address, connect_timeout=_LAST_CALL_TIMEOUT, reply_timeout=_LAST_CALL_TIMEOUT, log=self._lines.append
        )
        self._listener = listener
        self._clients: set[Client] = set()
        self._selector = selectors.DefaultSelector()
        listener.setblocking(False)
        self._selector.register(listener, selectors.EVENT_READ)
        self._idle_deadline = Deadline.after(_FIRST_REQUEST_TIMEOUT)
        self._persist = _FIRST_REQUEST_TIMEOUT
        self._owners: set[Owner] = set()
        self._last_calls: dict[str, Call] = {}

    def run(self) -> None:
        """Serve tasks until none has come for a time."""
        with contextlib.closing(self._channel):
            while True:
                self._take_events(self._next_wait())
                client = self._first_in_line()
                if client is not None:
                    self._carry_out(client, t.cast(Message, client.request))
                elif self._idle():
                    return

    def _next_wait(self) -> float | None:
        """Return for how many seconds there is nothing to do if nothing comes."""
        if self._first_in_line() is not None:
            return 0
        waits = []
        if self._channel.held:
            waits.append(_WAITERS_INTERVAL)
        if self._last_calls:
            waits.append(_OWNERS_INTERVAL)
        if not self._clients and not self._idle_deadline.passed:
            waits.append(self._idle_deadline.remaining())
        return min(waits, default=None)

    def _first_in_line(self) -> Client | None:
        waiting = [client for client in self._clients if client.request is not None]
        return min(waiting, key=lambda client: t.cast(Message, client.request)["at"], default=None)

    def _take_events(self, seconds: float | None) -> None:
        for key, dummy in self._selector.select(seconds):
            if key.data is None:
                self._accept()
            elif not key.data.make_progress():
                self._forget(key.data)
            else:
                self._watch(key.data)

    def _accept(self) -> None:
        with contextlib.suppress(BlockingIOError):
            while True:
                connection = self._listener.accept()[0]
                try:
                    check_peer(connection)
                except PermissionError:
                    connection.close()
                    continue
                client = Client(connection)
                self._clients.add(client)
                self._selector.register(connection, selectors.EVENT_READ, client)

    def _watch(self, client: Client) -> None:
        events = selectors.EVENT_READ | (selectors.EVENT_WRITE if client.has_unsent else 0)
        self._selector.modify(client.socket, events, client)

    def _forget(self, client: Client) -> None:
        """Forget a task that has ended, and its request."""
        self._selector.unregister(client.socket)
        self._clients.remove(client)
        client.socket.close()
        if not self._clients:
            self._idle_deadline = Deadline.after(self._persist)

    def _carry_out(self, client: Client, request: Message) -> None:
        client.request = None
        self._persist = request["persist"]
        pid, started = request["owner"]
        self._owners.add((pid, started))
        self._channel.connect_timeout = request["connect_timeout"]
        self._channel.reply_timeout = request["reply_timeout"]
        self._channel.native_calls = request["native_calls"]
        uses_agent = request["op"] in ("sync", "exchange")
        # Only if the task takes this message may the agent be touched: it has not given up, and knows that the outcome
        # depends on the answer from now on.
        if uses_agent and not (client.send({"started": True}) and not client.has_unsent):
            self._forget(client)
            return
        try:
            checked = self._check_channel(client, request) if uses_agent else None
            reply: Message = {"value": self._result(request) if checked is None else checked}
        except QgaError as exc:
            reply = {"error": error_to_json(exc)}
        except Exception as exc:  # pylint: disable=broad-exception-caught  # the tasks that come need a process
            self._channel.close()
            error = OutcomeUnknown(
                f"{self._channel.endpoint}: the connection process failed with {type(exc).__name__}, a bug. The "
                f"request may have been carried out"
            )
            reply = {"error": error_to_json(error)}
        reply["log"] = self._lines.copy()
        self._lines.clear()
        if client.send(reply):
            self._watch(client)
        else:
            self._forget(client)

    def _check_channel(self, client: Client, request: Message) -> t.Any:
        """Check, for a task that has just come, that the agent still answers on an open channel, or close the channel.

        So the task finds what it would find without this process: an agent that answers, or a reason why none does. The
        other side of an open channel may have ended, or its guest may have been restarted.

        :returns: the result, if the task asked for no more.
        """
        is_new, client.is_new = client.is_new, False
        if not is_new or not self._channel.held:
            return None
        deadline = Deadline(request["deadline"]).within(request["connect_timeout"])
        try:
            # This leaves half of the time for another channel.
            report = self._channel.sync(deadline.within(deadline.remaining() / 2))
        except (Unreachable, ProtocolViolation):
            self._channel.close()
            return None
        return vars(report) if request["op"] == "sync" else None

    def _result(self, request: Message) -> t.Any:
        operation, deadline = request["op"], Deadline(request["deadline"])
        if operation == "sync":
            return vars(self._channel.sync(deadline))
        if operation == "exchange":
            calls = [call_from_json(call) for call in request["calls"]]
            return [outcome_to_json(outcome) for outcome in self._channel.exchange(calls, deadline)]
        if operation == "sizes":
            # A channel that never opens.
            sized = make_channel(self._address, connect_timeout=1, reply_timeout=1, chunk=request["chunk"])
            return [sized.chunk, sized.reply_chunk]
        if operation == "close":
            self._channel.close()
        elif request["call"] is None:
            self._last_calls.pop(request["key"], None)
        else:
            self._last_calls[request["key"]] = call_from_json(request["call"])
        return None

    def _idle(self) -> bool:
        """Do what is to be done between two requests, and return whether the process is to end."""
        if self._channel.held:
            self._channel.yield_to_waiters()
        if self._last_calls and not any(map(is_alive, self._owners)):
            self._carry_out_last_calls()
        if self._clients or not self._idle_deadline.passed:
            return False
        # Owners that are alive may not need the agent for hours, but their calls have to be carried out then.
        self._channel.close()
        return not self._last_calls

    def _carry_out_last_calls(self) -> None:
        calls, self._last_calls = list(self._last_calls.values()), {}
        self._owners.clear()
        self._channel.connect_timeout = self._channel.reply_timeout = _LAST_CALL_TIMEOUT
        self._channel.native_calls = False
        for call in calls:
            with contextlib.suppress(QgaError):
                (outcome,) = self._channel.exchange([call], Deadline.after(_LAST_CALL_TIMEOUT))
                if call.command == "guest-exec" and isinstance(outcome, Answer):
                    self._wait_for_program(outcome.value)
        self._lines.clear()

    def _wait_for_program(self, started: t.Any) -> None:
        """Wait for the end of a program that a last call has started: until it is asked for, the agent remembers it."""
        pid = started.get("pid") if isinstance(started, dict) else None
        deadline = Deadline.after(_LAST_CALL_TIMEOUT)
        while isinstance(pid, int) and not deadline.passed:
            self._channel.pause(_LAST_POLL_INTERVAL, deadline)
            (outcome,) = self._channel.exchange([Call("guest-exec-status", {"pid": pid})], deadline)
            exited = isinstance(outcome, Answer) and isinstance(outcome.value, dict) and outcome.value.get("exited")
            if exited is not False:
                return


def serve(config: t.Sequence[str], listener: socket.socket, path: str) -> None:
    """Serve the tasks of one address until none has come for a time, and remove the socket.

    :param config: the endpoint, and for libvirt the domain and the URI.
    :param path: of the listening socket.
    """
    identity = os.stat(path).st_ino
    try:
        Server(Address(*config), listener).run()
    finally:
        # Nobody replaces a socket on which somebody listens, so the path is still ours, unless it was removed.
        with contextlib.suppress(FileNotFoundError):
            if os.stat(path).st_ino == identity:
                os.unlink(path)
        listener.close()


def main() -> None:
    """Run the program that :mod:`.process_start` starts."""
    # A worker of Ansible may have blocked or ignored signals.
    signal.pthread_sigmask(signal.SIG_SETMASK, [])
    for ignored in (signal.SIGHUP, signal.SIGINT):
        signal.signal(ignored, signal.SIG_IGN)
    signal.signal(signal.SIGALRM, signal.SIG_DFL)
    signal.signal(signal.SIGTERM, _end)
    listener = socket.socket(fileno=int(sys.argv[2]))
    # Not for what libvirt or an endpoint starts.
    listener.set_inheritable(False)
    serve(json.loads(sys.argv[4]), listener, sys.argv[3])


def _end(number: int, dummy: t.Any) -> t.NoReturn:
    # A second signal must not interrupt the cleanup.
    signal.signal(number, signal.SIG_IGN)
    raise SystemExit(0)
