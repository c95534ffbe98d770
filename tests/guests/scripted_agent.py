# Copyright (c) 2026, the netless.qga authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""An agent that follows a script, to be old, frozen, broken or hostile in ways that real agents cannot be made to be.

In a test: ``with ScriptedAgent("no_ids", "cut").listening() as path:`` or ``.connected() as socket:``. A test adds what
no profile has to :attr:`ScriptedAgent.handlers` or :attr:`ScriptedAgent.deliveries`. As a program:
``python3 scripted_agent.py SOCKET --profile NAME --profile NAME``.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import pathlib
import re
import signal
import socket
import sys
import tempfile
import threading
from collections.abc import Iterable, Iterator
from typing import Any, Callable, Union

if __name__ == "__main__":
    # Python does not know the package of a program, which relative imports need (PEP 366).
    __package__ = "guests"  # pylint: disable=redefined-builtin
    sys.path[0] = str(pathlib.Path(__file__).resolve().parents[1])

from .agent_profiles import PROFILES

Arguments = dict[str, Any]
Handler = Callable[[Arguments], Any]
"""Returns a command's return value, or :data:`NO_REPLY`, or raises :class:`ErrorReply`."""
Step = Union[bytes, float, None]
"""Bytes to send, seconds to wait, or None: close the connection."""
Delivery = Callable[[bytes], Iterable[Step]]
"""Turns the line of a reply into the steps that are taken instead of sending it."""

NO_REPLY = object()
STRAY_FF = b"""{"error": {"class": "GenericError", "desc": "JSON parse error, stray '\\uFFFD'"}}\n"""
"""How qemu-ga answers a byte 0xFF."""
ALLOWED_WHILE_FROZEN = frozenset(
    ("guest-fsfreeze-status", "guest-fsfreeze-thaw", "guest-info", "guest-ping", "guest-sync", "guest-sync-delimited")
)
WITHOUT_SUCCESS_RESPONSE = ("guest-shutdown", "guest-suspend-disk", "guest-suspend-hybrid", "guest-suspend-ram")


class ErrorReply(Exception):
    """An error reply.

    :param description: its ``desc``.
    :param kind: its ``class``.
    """

    def __init__(self, description: str, kind: str = "GenericError") -> None:
        super().__init__(description)
        self.reply = {"error": {"class": kind, "desc": description}}


# What a string, and what a text between its strings, may contain without an effect on where it ends.
_PLAIN = re.compile(rb'[^"\\\xfe\xff]+')
_PLAIN_OUTSIDE = re.compile(rb'[^"{}\[\]\xfe\xff]+')


class RequestParser:
    """A parser of streams of JSON texts, like qemu-ga's: a text ends where its braces balance, and 0xFF resets it."""

    def __init__(self) -> None:
        self._reset()

    @property
    def is_between_texts(self) -> bool:
        """Whether nothing of a text that has not ended is left."""
        return not self._text

    def _reset(self) -> None:
        self._text = bytearray()
        self._depth = 0
        self._in_string = self._escaped = self._skipping = False

    def feed(self, data: bytes) -> Iterator[bytes]:
        """Yield complete texts, a lone 0xFF for each byte that reset the parser, and stray characters."""
        position = 0
        while position < len(data):
            # Megabytes of base64 are one step, and not one for each character.
            plain = None
            if not self._escaped and self._text:
                plain = (_PLAIN if self._in_string else _PLAIN_OUTSIDE).match(data, position)
            if plain:
                self._text += plain[0]
                position = plain.end()
                continue
            value = data[position]
            position += 1
            if value >= 0xFE:
                self._reset()
                yield b"\xff"
            elif self._text or not (self._skips(value) or bytes((value,)).isspace()):
                self._text.append(value)
                self._follow(value)
                if self._depth <= 0 and not self._in_string:
                    text = bytes(self._text)
                    self._reset()
                    self._skipping = text[0] not in b'{["'
                    yield text

    def _skips(self, value: int) -> bool:
        """Return whether a character continues stray text, which qemu-ga reports only once."""
        self._skipping = self._skipping and value >= 0x20 and value not in b"{}[]:,"
        return self._skipping

    def _follow(self, value: int) -> None:
        if self._in_string:
            self._in_string = self._escaped or value != ord('"')
            self._escaped = value == ord("\\") and not self._escaped
        elif value == ord('"'):
            self._in_string = True
        elif value in b"{[":
            self._depth += 1
        elif value in b"}]":
            self._depth -= 1


def send(connection: socket.socket, data: bytes, ended: threading.Event) -> None:
    """Send all of the data, or as much as the client takes until the event is set.

    :param connection: a connection with a timeout, which is how often to look at the event.
    """
    unsent = memoryview(data)
    while unsent and not ended.is_set():
        with contextlib.suppress(socket.timeout):
            unsent = unsent[connection.send(unsent) :]


class ScriptedAgent:
    """A server for one client after the other, like qemu-ga. Without profiles it behaves like a current agent.

    :param profiles: names of :data:`~.agent_profiles.PROFILES`, each of which changes some of the attributes.
    """

    def __init__(self, *profiles: str) -> None:
        self.handlers: dict[str, Handler] = {
            "guest-sync": lambda arguments: arguments["id"],
            "guest-sync-delimited": lambda arguments: arguments["id"],
            "guest-ping": lambda arguments: {},
            "guest-info": lambda arguments: self._information(),
            "guest-exec": lambda arguments: {"pid": 4711},
            "guest-exec-status": lambda arguments: {"exited": True, "exitcode": 0},
            "guest-get-host-name": lambda arguments: {"host-name": "scripted"},
            "guest-fsfreeze-status": lambda arguments: "frozen" if self.frozen else "thawed",
            "guest-fsfreeze-freeze": lambda arguments: self._freeze(True),
            "guest-fsfreeze-thaw": lambda arguments: self._freeze(False),
        }
        self.handlers.update({name: lambda arguments: NO_REPLY for name in WITHOUT_SUCCESS_RESPONSE})
        self.version = "9.2.0"
        self.ids = "echoed"
        """What the agent does with a request's id: ``echoed``, ``ignored`` or ``refused``."""
        self.greeting = b""
        """Sent to each client when it connects."""
        self.silent = False
        self.frozen = False
        self.frozen_text = "the command is not allowed"
        self.disabled: set[str] = set()
        self.deliveries: list[Delivery] = []
        """Applied one after the other to each reply except those of the two sync commands."""
        self.requests: list[Any] = []
        """The requests so far, decoded."""
        self.received = b""
        """Everything received so far, as bytes."""
        self._parser = RequestParser()
        self._ended = threading.Event()
        for profile in profiles:
            PROFILES[profile](self)

    @contextlib.contextmanager
    def listening(self, path: str | None = None) -> Iterator[str]:
        """Serve clients on a Unix socket, by default a new one; yield its path, and remove it afterwards."""
        with contextlib.ExitStack() as stack:
            # Not the caller's TMPDIR: the path of a socket has to be shorter than 108 bytes.
            path = path or stack.enter_context(tempfile.TemporaryDirectory(prefix="qga-", dir="/tmp")) + "/agent.sock"
            listener = stack.enter_context(socket.socket(socket.AF_UNIX))
            listener.bind(path)
            stack.callback(os.unlink, path)
            listener.listen(1)
            with self._thread(self._accept, listener):
                yield path

    @contextlib.contextmanager
    def connected(self) -> Iterator[socket.socket]:
        """Yield a socket, and serve its other end."""
        ours, theirs = socket.socketpair()
        with ours, theirs, self._thread(self.serve, ours):
            yield theirs

    @contextlib.contextmanager
    def _thread(self, function: Callable[[socket.socket], None], served: socket.socket) -> Iterator[None]:
        self._ended.clear()
        served.settimeout(0.05)
        thread = threading.Thread(target=function, args=[served], daemon=True)
        thread.start()
        try:
            yield
        finally:
            self._ended.set()
            thread.join()

    def _accept(self, listener: socket.socket) -> None:
        while not self._ended.is_set():
            with contextlib.suppress(socket.timeout):
                connection, dummy = listener.accept()
                connection.settimeout(0.05)
                with connection:
                    self.serve(connection)

    def serve(self, connection: socket.socket) -> None:
        """Serve one connection until either side ends it."""
        # A client that disconnects is no error.
        with contextlib.suppress(ConnectionError):
            connected = self._take(connection, [self.greeting])
            while connected and not self._ended.is_set():
                try:
                    data = connection.recv(4096)
                except socket.timeout:
                    continue
                self.received += data
                connected = data != b""
                for text in self._parser.feed(data):
                    connected = connected and self._take(connection, self._answer(text))

    def _take(self, connection: socket.socket, steps: Iterable[Step]) -> bool:
        for step in steps:
            if step is None or self._ended.is_set():
                return False
            if isinstance(step, float):
                self._ended.wait(step)
                continue
            send(connection, step, self._ended)
        return True

    def _answer(self, text: bytes) -> Iterable[Step]:
        request: Any = None
        reply: Any = {"error": {"class": "GenericError", "desc": "JSON parse error, expecting value"}}
        if text != b"\xff":
            with contextlib.suppress(ValueError):
                request = json.loads(text)
                self.requests.append(request)
                reply = self._reply(request)
        if self.silent or reply is None:
            return []
        command = request.get("execute") if isinstance(request, dict) else None
        delimited = command == "guest-sync-delimited" and "return" in reply
        line = STRAY_FF if text == b"\xff" else b"\xff" * delimited + json.dumps(reply).encode() + b"\n"
        steps: Iterable[Step] = [line]
        if command not in (None, "guest-sync", "guest-sync-delimited"):
            for delivery in self.deliveries:
                steps = _deliver(steps, delivery)
        return steps

    def _reply(self, request: Any) -> Any:
        try:
            value = self._execute(request)
            if value is NO_REPLY:
                return None
            reply = {"return": value}
        except ErrorReply as error:
            reply = dict(error.reply)
        if self.ids == "echoed" and isinstance(request, dict) and "id" in request:
            reply["id"] = request["id"]
        return reply

    def _execute(self, request: Any) -> Any:
        if not isinstance(request, dict):
            raise ErrorReply("QMP input must be a JSON object")
        for member in request:
            if member not in ("execute", "arguments", *(() if self.ids == "refused" else ("id",))):
                raise ErrorReply(f"QMP input member '{member}' is unexpected")
        command = request.get("execute", "")
        if command not in self.handlers:
            raise ErrorReply(f"The command {command} has not been found", "CommandNotFound")
        if not self._enabled(command):
            reason = "the command is not allowed" if command in self.disabled else self.frozen_text
            raise ErrorReply(f"Command {command} has been disabled: {reason}", "CommandNotFound")
        try:
            return self.handlers[command](request.get("arguments", {}))
        except KeyError as error:
            raise ErrorReply(f"Parameter {error} is missing") from error

    def _enabled(self, command: str) -> bool:
        return command not in self.disabled and (not self.frozen or command in ALLOWED_WHILE_FROZEN)

    def _information(self) -> dict[str, Any]:
        commands = [
            {"name": name, "enabled": self._enabled(name), "success-response": name not in WITHOUT_SUCCESS_RESPONSE}
            for name in self.handlers
        ]
        return {"version": self.version, "supported_commands": commands}

    def _freeze(self, frozen: bool) -> int:
        changed, self.frozen = int(self.frozen is not frozen), frozen
        return changed


def _deliver(steps: Iterable[Step], delivery: Delivery) -> Iterator[Step]:
    for step in steps:
        yield from delivery(step) if isinstance(step, bytes) else [step]


def main() -> None:
    """Serve a socket until a signal comes."""
    parser = argparse.ArgumentParser(description="Serve a Unix socket like a guest agent of a certain kind.")
    parser.add_argument("socket", help="where to listen; the socket is removed at the end")
    parser.add_argument("--profile", action="append", choices=sorted(PROFILES), default=[], help="may be repeated")
    options = parser.parse_args()
    signals = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)
    # Threads inherit the mask, so that sigwait gets the signals.
    signal.pthread_sigmask(signal.SIG_BLOCK, signals)
    with ScriptedAgent(*options.profile).listening(options.socket):
        print(f"unix:{options.socket}", flush=True)
        signal.sigwait(signals)


if __name__ == "__main__":
    main()
