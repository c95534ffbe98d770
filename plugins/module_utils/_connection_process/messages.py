# Copyright (c) 2026, the netless.qga authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What a task and the connection process send each other: JSON objects, each after its length.

They pass through a socket between two processes of one user, so they are not checked as the messages of a guest are.
Deadlines are points on the monotonic clock, which all processes of a machine share.
"""

from __future__ import annotations

import functools
import json
import socket
import typing as t

from ansible_collections.netless.qga.plugins.module_utils import errors
from ansible_collections.netless.qga.plugins.module_utils._channels.channel import Call, NoReply, Outcome
from ansible_collections.netless.qga.plugins.module_utils._deadline import Deadline
from ansible_collections.netless.qga.plugins.module_utils.framing.events import Answer, ErrorReply

Message = dict[str, t.Any]

#: Changes whenever messages change, so that a process of another version is not used.
VERSION = 1

_LENGTH_SIZE = 4
READ_SIZE = 1 << 18
# Sockets take no infinite timeout.
_MAX_WAIT = 3600.0


def encode(message: Message) -> bytes:
    """Return the bytes of a message.

    :raises ValueError: or TypeError or RecursionError: JSON cannot hold it.
    """
    text = json.dumps(message, separators=(",", ":")).encode("ascii")
    return len(text).to_bytes(_LENGTH_SIZE, "big") + text


class MessageDecoder:
    """Received bytes, as messages."""

    def __init__(self) -> None:
        self._unread = bytearray()

    def receive_data(self, data: bytes) -> None:
        """Take bytes that were received."""
        self._unread += data

    def next_message(self) -> Message | None:
        """Return the next message; None if it has not arrived completely."""
        end = _LENGTH_SIZE + int.from_bytes(self._unread[:_LENGTH_SIZE], "big")
        if len(self._unread) < max(_LENGTH_SIZE, end):
            return None
        text = self._unread[_LENGTH_SIZE:end]
        del self._unread[:end]
        return t.cast(Message, json.loads(text))


class Link:
    """A task's end of the socket.

    :param connection: the connected socket.
    """

    def __init__(self, connection: socket.socket) -> None:
        self._socket = connection
        self._decoder = MessageDecoder()

    def send(self, data: bytes, deadline: Deadline) -> None:
        """Send an encoded message.

        :raises TimeoutError: the deadline passed first. The other side has no complete message.
        :raises ConnectionError: the other side has ended.
        """
        sent = 0
        while sent < len(data):
            rest = memoryview(data)[sent:]
            sent += self._wait(functools.partial(self._socket.send, rest), deadline)

    def receive(self, deadline: Deadline) -> Message:
        """Return the next message.

        :raises TimeoutError: the deadline passed first.
        :raises ConnectionError: the other side has ended.
        """
        while (message := self._decoder.next_message()) is None:
            data = self._wait(functools.partial(self._socket.recv, READ_SIZE), deadline)
            if not data:
                raise ConnectionError
            self._decoder.receive_data(data)
        return message

    def abandon(self) -> list[Message]:
        """End the conversation, and return the messages that had arrived.

        From here on the other side fails to send: what is not returned was not sent.
        """
        messages = []
        try:
            self._socket.shutdown(socket.SHUT_RDWR)
            while True:
                messages.append(self.receive(Deadline.after(1)))
        except OSError:
            return messages
        finally:
            self.close()

    def close(self) -> None:
        """Close the socket. May be called again."""
        self._socket.close()

    def _wait(self, function: t.Callable[[], t.Any], deadline: Deadline) -> t.Any:
        while True:
            self._socket.settimeout(min(_MAX_WAIT, max(0.001, deadline.remaining())))
            try:
                return function()
            except socket.timeout as exc:
                if deadline.passed:
                    raise TimeoutError from exc


def call_to_json(call: Call) -> list[t.Any]:
    """Return a call as JSON has it, for :func:`call_from_json`."""
    return [call.command, dict(call.arguments), call.success_response]


def call_from_json(members: t.Sequence[t.Any]) -> Call:
    """Return the call of :func:`call_to_json`."""
    return Call(*members)


def outcome_to_json(outcome: Outcome) -> list[t.Any]:
    """Return an outcome as JSON has it, for :func:`outcome_from_json`."""
    if isinstance(outcome, Answer):
        return [outcome.value]
    if isinstance(outcome, ErrorReply):
        return [outcome.error_class, outcome.desc]
    return []


def outcome_from_json(members: t.Sequence[t.Any]) -> Outcome:
    """Return the outcome of :func:`outcome_to_json`, without the number of its request."""
    if len(members) == 1:
        return Answer(0, members[0])
    return ErrorReply(0, *members) if members else NoReply()


def error_to_json(error: errors.QgaError) -> Message:
    """Return an error as JSON has it, for :func:`error_from_json`."""
    members: Message = {"class": type(error).__name__, "message": str(error)}
    if isinstance(error, errors.Unreachable):
        members["reason"] = error.reason.value
    if isinstance(error, errors.AgentRefused):
        members.update(error_class=error.error_class, desc=error.desc)
    return members


def error_from_json(members: Message) -> errors.QgaError:
    """Return the error of :func:`error_to_json`."""
    kind: t.Any = getattr(errors, members["class"])
    if issubclass(kind, errors.Unreachable):
        return t.cast(errors.QgaError, kind(members["message"], reason=errors.UnreachableReason(members["reason"])))
    if issubclass(kind, errors.AgentRefused):
        return t.cast(
            errors.QgaError, kind(members["message"], error_class=members["error_class"], desc=members["desc"])
        )
    return t.cast(errors.QgaError, kind(members["message"]))
