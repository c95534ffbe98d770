# Copyright (c) 2026, the netless.qga authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A scripted agent whose guest is this machine: it starts processes and opens files here."""

from __future__ import annotations

import base64
import os
import subprocess
import threading
import typing as t

from ansible_collections.netless.qga.plugins.module_utils._guest.shell.guest_exec import ExecStatus
from ansible_collections.netless.qga.tests.guests.scripted_agent import Arguments, ErrorReply, ScriptedAgent

_FLAGS = {
    "r": os.O_RDONLY,
    "r+": os.O_RDWR,
    "w": os.O_WRONLY | os.O_CREAT | os.O_TRUNC,
    "a": os.O_WRONLY | os.O_CREAT | os.O_APPEND,
}


class LocalGuest(ScriptedAgent):
    """An agent that runs programs and handles files as qemu-ga does.

    :param profiles: the profiles of the scripted agent.
    """

    def __init__(self, *profiles: str) -> None:
        super().__init__(*profiles)
        self.running: dict[int, _Process] = {}
        #: The file descriptors that are open, by handle.
        self.handles: dict[int, int] = {}
        self._next_handle = 1000
        self.handlers.update(
            {
                "guest-exec": self._exec,
                "guest-exec-status": self._status,
                "guest-file-open": self._open,
                "guest-file-read": self._read,
                "guest-file-seek": self._seek,
                "guest-file-write": lambda arguments: {"count": self._write(arguments), "eof": False},
                "guest-file-flush": self._flush,
                "guest-file-close": self._close,
            }
        )

    def calls(self, command: str) -> list[Arguments]:
        """Return the arguments of every call of a command."""
        return [request.get("arguments", {}) for request in self.requests if request["execute"] == command]

    def forget(self) -> None:
        """Forget all programs, as a restarted agent does."""
        self.running.clear()

    def replace(self, command: str, change: t.Callable[[t.Callable[[Arguments], t.Any], Arguments], t.Any]) -> None:
        """Replace a command's handler by a function that takes the usual handler and the arguments."""
        usual = self.handlers[command]
        self.handlers[command] = lambda arguments: change(usual, arguments)

    def _exec(self, arguments: Arguments) -> t.Any:
        environment = dict(entry.split("=", 1) for entry in arguments["env"]) if "env" in arguments else None
        try:
            process = _Process(
                [arguments["path"], *arguments["arg"]],
                base64.b64decode(arguments.get("input-data", "")),
                environment,
            )
        except OSError as exc:
            raise ErrorReply(
                f"Failed to execute child process \u201c{arguments['path']}\u201d ({exc.strerror})"
            ) from exc
        self.running[process.pid] = process
        return {"pid": process.pid}

    def _status(self, arguments: Arguments) -> t.Any:
        process = self.running.get(arguments["pid"])
        if process is None:
            raise ErrorReply("Invalid parameter 'pid'")
        if process.ended is None:
            return {"exited": False}
        del self.running[arguments["pid"]]
        reply: dict[str, t.Any] = {"exited": True}
        if process.ended.rc < 0:
            reply["signal"] = -process.ended.rc
        else:
            reply["exitcode"] = process.ended.rc
        for name, output in (("out", process.ended.stdout), ("err", process.ended.stderr)):
            if output:
                reply[f"{name}-data"] = base64.b64encode(output).decode()
        return reply

    def _open(self, arguments: Arguments) -> t.Any:
        try:
            descriptor = os.open(arguments["path"], _FLAGS[arguments["mode"]] | os.O_NONBLOCK, 0o666)
        except OSError as exc:
            raise ErrorReply(f"failed to open file '{arguments['path']}': {exc.strerror}") from exc
        self._next_handle += 1
        self.handles[self._next_handle] = descriptor
        return self._next_handle

    def _descriptor(self, arguments: Arguments) -> int:
        if arguments["handle"] not in self.handles:
            raise ErrorReply(f"handle '{arguments['handle']}' has not been found")
        return self.handles[arguments["handle"]]

    def _read(self, arguments: Arguments) -> t.Any:
        try:
            data = os.read(self._descriptor(arguments), arguments["count"])
        except OSError as exc:
            raise ErrorReply(f"failed to read file: {exc.strerror}") from exc
        return {"count": len(data), "buf-b64": base64.b64encode(data).decode(), "eof": len(data) < arguments["count"]}

    def _seek(self, arguments: Arguments) -> t.Any:
        try:
            position = os.lseek(self._descriptor(arguments), arguments["offset"], arguments["whence"])
        except OSError as exc:
            raise ErrorReply(f"failed to seek file: {exc.strerror}") from exc
        return {"position": position, "eof": False}

    def _write(self, arguments: Arguments) -> int:
        return os.write(self._descriptor(arguments), base64.b64decode(arguments["buf-b64"]))

    def _flush(self, arguments: Arguments) -> t.Any:
        self._descriptor(arguments)
        return {}

    def _close(self, arguments: Arguments) -> t.Any:
        os.close(self._descriptor(arguments))
        del self.handles[arguments["handle"]]
        return {}


class _Process:
    """A child process whose output is collected."""

    def __init__(self, argv: list[str], stdin: bytes, environment: dict[str, str] | None) -> None:
        self._child = subprocess.Popen(
            argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=environment
        )
        self.pid = self._child.pid
        self.ended: ExecStatus | None = None
        threading.Thread(target=self._collect, args=[stdin], daemon=True).start()

    def _collect(self, stdin: bytes) -> None:
        stdout, stderr = self._child.communicate(stdin)
        self.ended = ExecStatus(self._child.returncode, stdout, stderr)
