# Copyright (c) 2026, the netless.qga authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The guest of the scripted agent: it really runs programs and really has files, in a mount namespace of its own.

A client may run a program in any way it likes, and keep the output in files or let the agent capture it. So the
scripted agent does not fake programs. They run on this machine, with empty file systems of their own on /dev/shm, /run
and /tmp, and what they leave there is gone with the guest.
"""

from __future__ import annotations

import base64
import contextlib
import os
import signal
import subprocess
import threading
from types import TracebackType
from typing import Any, BinaryIO

from ..guests.scripted_agent import ErrorReply

_TEMPORARY = ("/dev/shm", "/run", "/tmp")
_PREPARE = "".join(f"mount -t tmpfs -o mode=1777 none {path} && " for path in _TEMPORARY) + "echo && exec cat"
_COUNTER = "/run/executions"
_READ_COUNT = 4096
_MODES = frozenset(("r", "rb", "w", "wb", "a", "ab", "r+", "rb+", "r+b", "w+", "wb+", "w+b", "a+", "ab+", "a+b"))
_FIRST_HANDLE = 1000
_WHENCE: dict[Any, int] = {"set": 0, "cur": 1, "end": 2, 0: 0, 1: 1, 2: 2}

MAX_OUTPUT = 16 * 1024 * 1024
"""How much qemu-ga keeps of each output of a program."""

Arguments = dict[str, Any]


class _Program:
    """A program that the agent has started."""

    def __init__(
        self, command: list[str], environment: list[str] | None, stdin: bytes | None, *, capture: bool
    ) -> None:
        output = subprocess.PIPE if capture else subprocess.DEVNULL
        self.process = subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL if stdin is None else subprocess.PIPE,
            stdout=output,
            stderr=output,
            env=_environment(environment),
            cwd="/",
        )
        self.output: tuple[bytes | None, bytes | None] = (None, None)
        self._thread = threading.Thread(target=self._communicate, args=[stdin], daemon=True)
        self._thread.start()

    def _communicate(self, stdin: bytes | None) -> None:
        self.output = self.process.communicate(stdin)

    def has_ended(self) -> bool:
        """Return whether the program has ended and all of its output is known."""
        # A short wait spares a client that polls at once a second poll.
        self._thread.join(0.01)
        return not self._thread.is_alive()


class Guest:
    """A guest with the commands for programs and files. Use it in a ``with`` block.

    :param max_output: how many bytes of each output of a program the agent keeps.
    """

    def __init__(self, max_output: int = MAX_OUTPUT) -> None:
        self.max_output = max_output
        self._programs: dict[int, _Program] = {}
        self._forgotten: list[_Program] = []
        self._files: dict[int, BinaryIO] = {}
        self._next_handle = _FIRST_HANDLE
        self.commands = {
            "guest-exec": self._exec,
            "guest-exec-status": self._exec_status,
            "guest-file-open": self._file_open,
            "guest-file-read": self._file_read,
            "guest-file-write": self._file_write,
            "guest-file-seek": self._file_seek,
            "guest-file-flush": self._file_flush,
            "guest-file-close": self._file_close,
        }

    def __enter__(self) -> Guest:
        root = [] if os.geteuid() == 0 else ["--map-root-user"]
        # It ends with its standard input, so also if this process is killed.
        self._namespace = subprocess.Popen(
            ["unshare", *root, "--mount", "sh", "-c", _PREPARE], stdin=subprocess.PIPE, stdout=subprocess.PIPE
        )
        assert self._namespace.stdout is not None
        if not self._namespace.stdout.readline():
            self._namespace.communicate()
            raise RuntimeError("no mount namespace for the guest can be made here")
        self._enter = ["nsenter", "--target", str(self._namespace.pid), "--mount"]
        if root:
            self._enter += ["--user", "--preserve-credentials"]
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._kill_programs()
        for program in (*self._programs.values(), *self._forgotten):
            program.process.wait()
        for file in self._files.values():
            file.close()
        self._namespace.communicate()

    def _kill_programs(self) -> None:
        """Kill every process of the guest except the one that holds the namespace."""
        namespace = os.readlink(f"/proc/{self._namespace.pid}/ns/mnt")
        for entry in os.listdir("/proc"):
            # Processes may end at any time.
            with contextlib.suppress(OSError):
                if entry.isdigit() and int(entry) != self._namespace.pid:
                    if os.readlink(f"/proc/{entry}/ns/mnt") == namespace:
                        os.kill(int(entry), signal.SIGKILL)

    def restart_agent(self) -> None:
        """Forget the open files and the programs, which go on, as a restarted agent does."""
        self._forgotten += self._programs.values()
        self._programs.clear()
        for file in self._files.values():
            file.close()
        self._files.clear()

    @property
    def counter(self) -> str:
        """The file in the guest to which each execution adds its number."""
        return _COUNTER

    def executions(self, number: int) -> int:
        """Return how many times the command with a number was carried out."""
        try:
            with open(self._path(_COUNTER), encoding="ascii") as file:
                return file.read().split().count(str(number))
        except FileNotFoundError:
            return 0

    def _path(self, path: str) -> str:
        return f"/proc/{self._namespace.pid}/root{path}"

    def _exec(self, arguments: Arguments) -> Any:
        stdin = base64.b64decode(arguments["input-data"]) if "input-data" in arguments else None
        program = _Program(
            [*self._enter, "--", arguments["path"], *arguments.get("arg", [])],
            arguments.get("env"),
            stdin,
            capture=arguments.get("capture-output", False) is not False,
        )
        self._programs[program.process.pid] = program
        return {"pid": program.process.pid}

    def _exec_status(self, arguments: Arguments) -> Any:
        program = self._programs.get(arguments["pid"])
        if program is None:
            raise ErrorReply("Invalid parameter 'pid'")
        if not program.has_ended():
            return {"exited": False}
        del self._programs[arguments["pid"]]
        code = program.process.returncode
        status: dict[str, Any] = {"exited": True, **({"exitcode": code} if code >= 0 else {"signal": -code})}
        for name, output in zip(("out", "err"), program.output):
            if output:
                status[f"{name}-data"] = base64.b64encode(output[: self.max_output]).decode()
                status[f"{name}-truncated"] = len(output) > self.max_output
        return status

    def _file_open(self, arguments: Arguments) -> Any:
        path, mode = arguments["path"], arguments.get("mode", "r")
        if mode not in _MODES:
            raise ErrorReply(f"invalid file open mode '{mode}'")
        try:
            # Not a text file, and no buffer: what is written is there at once.
            self._files[self._next_handle] = open(
                self._path(path), mode.replace("b", "") + "b", buffering=0, opener=_open_at_once
            )
        except OSError as error:
            raise ErrorReply(f"failed to open file '{path}' (mode: '{mode}'): {error.strerror}") from error
        self._next_handle += 1
        return self._next_handle - 1

    def _file(self, arguments: Arguments) -> BinaryIO:
        try:
            return self._files[arguments["handle"]]
        except KeyError:
            raise ErrorReply(f"handle '{arguments['handle']}' has not been found") from None

    def _file_read(self, arguments: Arguments) -> Any:
        count = arguments.get("count", _READ_COUNT)
        data = self._file(arguments).read(count) or b""
        return {"count": len(data), "buf-b64": base64.b64encode(data).decode(), "eof": len(data) < count}

    def _file_write(self, arguments: Arguments) -> Any:
        return {"count": self._file(arguments).write(base64.b64decode(arguments["buf-b64"])), "eof": False}

    def _file_seek(self, arguments: Arguments) -> Any:
        whence = _WHENCE.get(arguments["whence"], 0)
        return {"position": self._file(arguments).seek(arguments["offset"], whence), "eof": False}

    def _file_flush(self, arguments: Arguments) -> Any:
        self._file(arguments).flush()
        return {}

    def _file_close(self, arguments: Arguments) -> Any:
        self._file(arguments).close()
        del self._files[arguments["handle"]]
        return {}


def _environment(given: list[str] | None) -> dict[str, str]:
    if given is None:
        # Like that of a service.
        return {"PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"}
    # nsenter itself is found with the PATH of this process.
    return dict(variable.partition("=")[::2] for variable in given)


def _open_at_once(path: str, flags: int) -> int:
    return os.open(path, flags | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC, 0o666)
