# Copyright (c) 2026, the netless.qga authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A guest and its agent as a model: requests and replies are bytes, files and programs are values, time is virtual."""

from __future__ import annotations

import copy
import json
import random
import typing as t
from collections import Counter
from dataclasses import dataclass, field

from ..guests.scripted_agent import STRAY_FF, ErrorReply, RequestParser
from .clock import VirtualClock
from .model_files import ModelFiles
from .model_programs import ModelPrograms
from .model_warm_server import WarmServers

Arguments = dict[str, t.Any]

_TMPFS = "/dev/shm"


@dataclass
class Memory:
    """What a snapshot of the virtual machine saves."""

    files: ModelFiles = field(default_factory=ModelFiles)
    programs: ModelPrograms = field(default_factory=ModelPrograms)
    servers: WarmServers = field(default_factory=WarmServers)
    parser: RequestParser = field(default_factory=RequestParser)
    #: How often each program was executed.
    executions: Counter[str] = field(default_factory=Counter)


@dataclass(frozen=True)
class Kind:
    """What guests differ in.

    :param ids: whether the agent has the ids of requests ``echoed``, ``ignored`` or ``refused``.
    :param delimited: whether the agent knows guest-sync-delimited.
    :param scopes: whether programs survive a restart of the agent, as under systemd.
    :param setsid: whether the guest has setsid.
    :param gzip: whether the guest has gzip.
    """

    ids: str = "echoed"
    delimited: bool = True
    scopes: bool = False
    setsid: bool = True
    gzip: bool = True


class ModelGuest:
    """A guest and its agent.

    :param clock: the time.
    :param kind: what it has.
    :param generator: decides how long the guest takes for what it does; without one it takes no time.
    """

    def __init__(self, clock: VirtualClock, kind: Kind = Kind(), generator: random.Random | None = None) -> None:
        self.memory = Memory()
        self.kind = kind
        #: How often each program was executed, and which process id that had last. No snapshot takes it back.
        self.executions: Counter[str] = Counter()
        self.pids: dict[str, int] = {}
        #: How often the guest lost something, since its agent was restarted or it returned to a snapshot.
        self.losses = 0
        self._clock = clock
        self._random = generator
        self._saved = copy.deepcopy(self.memory)

    @property
    def now(self) -> float:
        """The time."""
        return self._clock.now

    def delay(self, *choices: float) -> float:
        """Return one of some numbers of seconds."""
        return self._random.choice(choices) if self._random else 0.0

    def executed(self, token: str, pid: int) -> None:
        """Note that a program is executed."""
        self.executions[token] += 1
        self.memory.executions[token] += 1
        self.pids[token] = pid

    # What happens to the guest

    def disturb(self, kind: str) -> None:
        """Do something to the guest: ``restart`` its agent, ``reboot``, ``save`` or ``load`` a snapshot."""
        if kind == "restart":
            self._restart_agent(is_reboot=False)
        elif kind == "reboot":
            self._restart_agent(is_reboot=True)
            self.memory.files.remove_tree(_TMPFS)
        elif kind == "save":
            self._advance()
            self._saved = copy.deepcopy(self.memory)
        elif kind == "load":
            self._load()

    def _restart_agent(self, *, is_reboot: bool) -> None:
        """Restart the agent. What it started dies with its systemd unit, unless that is in a scope of its own."""
        self._advance()
        self.losses += 1
        self.memory.files.handles.clear()
        self.memory.parser = RequestParser()
        self.memory.programs.restart_agent(self, survive=self.kind.scopes and not is_reboot)
        if is_reboot or not self.kind.scopes:
            self.memory.servers.kill(self)

    def _load(self) -> None:
        """Return to the last snapshot. The agent continues in the middle of what it did then."""
        self.losses += 1
        next_pid, next_handle = self.memory.programs.next_pid, self.memory.files.next_handle
        self.memory = copy.deepcopy(self._saved)
        # Otherwise two programs could have one process id, and the assertions would mistake one for the other.
        self.memory.programs.next_pid, self.memory.files.next_handle = next_pid, next_handle

    # The wire

    def feed(self, data: bytes) -> list[bytes]:
        """Take bytes from the channel, and return the replies, each as the bytes of one line."""
        self._advance()
        replies = []
        for text in self.memory.parser.feed(data):
            replies.append(self._answer(text))
            self._advance()
        return replies

    def _advance(self) -> None:
        """Let the programs do what they have done by now."""
        self.memory.programs.advance(self)
        self.memory.servers.advance(self)

    def _answer(self, text: bytes) -> bytes:
        if text == b"\xff":
            return STRAY_FF
        try:
            request = json.loads(text)
        except ValueError:
            return b'{"error": {"class": "GenericError", "desc": "JSON parse error, expecting value"}}\n'
        reply: dict[str, t.Any]
        try:
            reply = {"return": self._execute(request)}
        except ErrorReply as error:
            reply = dict(error.reply)
        if self.kind.ids == "echoed" and isinstance(request, dict) and "id" in request:
            reply["id"] = request["id"]
        sentinel = b"\xff" if "return" in reply and request["execute"] == "guest-sync-delimited" else b""
        return sentinel + json.dumps(reply).encode() + b"\n"

    def _execute(self, request: t.Any) -> t.Any:
        if not isinstance(request, dict):
            raise ErrorReply("QMP input must be a JSON object")
        for member in request:
            if member not in ("execute", "arguments") and (member != "id" or self.kind.ids == "refused"):
                raise ErrorReply(f"QMP input member '{member}' is unexpected")
        command, arguments = request.get("execute", ""), request.get("arguments", {})
        if command not in _COMMANDS or (command == "guest-sync-delimited" and not self.kind.delimited):
            raise ErrorReply(f"The command {command} has not been found", "CommandNotFound")
        try:
            return self._carry_out(command, arguments)
        except KeyError as error:
            raise ErrorReply(f"Parameter {error} is missing") from error

    def _carry_out(self, command: str, arguments: Arguments) -> t.Any:
        if command in ("guest-sync", "guest-sync-delimited"):
            return arguments["id"]
        if command.startswith("guest-file-"):
            return getattr(self.memory.files, command.rpartition("-")[2])(arguments)
        if command == "guest-exec":
            return self.memory.programs.start(self, arguments)
        if command == "guest-exec-status":
            return self.memory.programs.status(self, arguments)
        if command == "guest-info":
            commands = [{"name": name, "enabled": True, "success-response": True} for name in _COMMANDS]
            return {"version": "9.2.0", "supported_commands": commands}
        return {}


_COMMANDS = (
    "guest-exec",
    "guest-exec-status",
    "guest-file-close",
    "guest-file-flush",
    "guest-file-open",
    "guest-file-read",
    "guest-file-seek",
    "guest-file-write",
    "guest-info",
    "guest-ping",
    "guest-sync",
    "guest-sync-delimited",
)
