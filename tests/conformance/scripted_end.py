# Copyright (c) 2026, the netless.qga authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The agent's end of the channel: it answers like qemu-ga, except for what a case spoils, and records what arrives."""

from __future__ import annotations

import contextlib
import itertools
import json
import socket
import threading
from collections.abc import Iterable
from dataclasses import dataclass
from types import TracebackType
from typing import Any

from ..guests.scripted_agent import STRAY_FF, ErrorReply, RequestParser, send
from .cases import Case, Reply, Step
from .channels import Channel
from .guest import Guest

_POLL_SECONDS = 0.05
_SYNCS = ("guest-sync", "guest-sync-delimited")
# What other agents are asked for, and what costs nothing to answer.
_ANSWERS: dict[str, Any] = {"guest-ping": {}, "guest-fsfreeze-status": "thawed"}


@dataclass(frozen=True)
class Request:
    """A request that the agent got.

    :param connection: the number of the connection.
    :param follows_ff: whether a byte 0xFF came directly before it.
    :param command: its command.
    :param arguments: its arguments.
    """

    connection: int
    follows_ff: bool
    command: str
    arguments: Any


class ScriptedEnd:
    """The end of the channel in one case. It serves one connection after the other until its ``with`` block ends."""

    def __init__(self, case: Case, guest: Guest, channel: Channel) -> None:
        self._case = case
        self._guest = guest
        self._channel = channel
        self._parser = RequestParser()
        self._queued = case.greeting
        self._left = case.times
        self._connections = 0
        self._follows_ff = False
        self._ended, self._healed = threading.Event(), threading.Event()
        self._thread = threading.Thread(target=self._serve, daemon=True)
        self.requests: list[Request] = []
        """The requests so far."""
        self.lost: list[int] = []
        """How many requests there were when a reply was lost, whole or in part."""
        for dummy in self._parser.feed(case.leftover):
            raise ValueError("a leftover is not a complete request")

    def __enter__(self) -> ScriptedEnd:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._ended.set()
        self._thread.join()

    def heal(self) -> None:
        """Answer everything correctly from now on.

        Replies that are late reach the client with its next connection or request.
        """
        self._left = 0
        self._healed.set()

    def _serve(self) -> None:
        while not self._ended.is_set():
            connection = self._channel.open(_POLL_SECONDS)
            if connection is None:
                continue
            self._connections += 1
            with connection, contextlib.suppress(ConnectionError):
                connection.settimeout(_POLL_SECONDS)
                self._serve_one(connection)

    def _serve_one(self, connection: socket.socket) -> None:
        connected = self._take(connection, self._unqueue())
        while connected and not self._ended.is_set():
            try:
                data = connection.recv(4096)
            except socket.timeout:
                continue
            if not data:
                return
            for text in self._parser.feed(data):
                connected = connected and self._take(connection, itertools.chain(self._unqueue(), self._answer(text)))

    def _unqueue(self) -> Iterable[Step]:
        """Return what waits in the channel: at first the greeting, later the replies that are late."""
        if self._case.is_late and not self._healed.is_set():
            return []
        queued, self._queued = self._queued, b""
        return [queued]

    def _take(self, connection: socket.socket, steps: Iterable[Step]) -> bool:
        """Take steps, and return whether the connection is still open."""
        for step in steps:
            if self._ended.is_set():
                return False
            if step is None:
                self._guest.restart_agent()
                self._parser = RequestParser()
                return False
            if isinstance(step, float):
                self._ended.wait(step)
                continue
            send(connection, step, self._ended)
        return True

    def _answer(self, text: bytes) -> Iterable[Step]:
        if text == b"\xff":
            self._follows_ff = True
            return [STRAY_FF]
        follows_ff, self._follows_ff = self._follows_ff, False
        try:
            request = json.loads(text)
        except ValueError:
            return [_line({"error": {"class": "GenericError", "desc": "JSON parse error, expecting value"}})]
        command = request.get("execute", "") if isinstance(request, dict) else ""
        arguments = request.get("arguments", {}) if isinstance(request, dict) else {}
        self.requests.append(Request(self._connections, follows_ff, command, arguments))
        reply = self._reply(request, command, arguments)
        line = b"\xff" * (command == "guest-sync-delimited" and "return" in reply) + _line(reply)
        return self._spoil(Reply(command, request, reply, line))

    def _spoil(self, reply: Reply) -> Iterable[Step]:
        if not self._left or not self._case.spoils(reply):
            return [reply.line]
        self._left -= 1
        if self._case.loses:
            self.lost.append(len(self.requests))
        if self._case.is_late:
            self._queued += reply.line
            return []
        return self._case.steps(reply, self._healed.is_set)

    def _reply(self, request: Any, command: str, arguments: Any) -> dict[str, Any]:
        try:
            reply = {"return": self._execute(request, command, arguments)}
        except ErrorReply as error:
            reply = dict(error.reply)
        if self._case.echoes_ids and isinstance(request, dict) and "id" in request:
            reply["id"] = request["id"]
        return reply

    def _execute(self, request: Any, command: str, arguments: Any) -> Any:
        if not isinstance(request, dict):
            raise ErrorReply("QMP input must be a JSON object")
        if "id" in request and not self._case.accepts_ids:
            raise ErrorReply("QMP input member 'id' is unexpected")
        if command in _SYNCS:
            return arguments["id"]
        if command == "guest-info":
            names = (*_SYNCS, *_ANSWERS, "guest-info", *self._guest.commands)
            commands = [{"enabled": True, "name": name, "success-response": True} for name in names]
            return {"version": "9.2.0", "supported_commands": commands}
        if command in _ANSWERS:
            return _ANSWERS[command]
        if command not in self._guest.commands:
            raise ErrorReply(f"The command {command} has not been found", "CommandNotFound")
        try:
            return self._guest.commands[command](arguments)
        except KeyError as error:
            raise ErrorReply(f"Parameter {error} is missing") from error


def _line(reply: dict[str, Any]) -> bytes:
    return json.dumps(reply).encode() + b"\n"
