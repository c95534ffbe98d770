# Copyright (c) 2026, the netless.qga authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The programs of a model guest: those that the tests run, and the shell scripts of the client, known by their text."""

from __future__ import annotations

import base64
import math
import re
import shlex
import typing as t
import zlib
from dataclasses import dataclass, field

from ansible_collections.netless.qga.plugins.module_utils._guest.programs.launch_script import LOADER

from ..guests.scripted_agent import ErrorReply
from .model_files import File
from .model_scripts import Ended, output_of, run_script

if t.TYPE_CHECKING:
    from .model_guest import ModelGuest

Arguments = dict[str, t.Any]

BASE = "/dev/shm"

# zlib's notation for the gzip format.
_GZIP = 31

# The lines of the launch script that name the spool, its standard input, an earlier spool, and the program.
_SPOOL = re.compile(r"^s=\$b/(\S+)$", re.MULTILINE)
_STDIN_BASE = re.compile(r"^i=(/[a-z/]+)/.*?^[^\n]* -eq (\d+) \]", re.MULTILINE | re.DOTALL)
_FINISHED = re.compile(r"^o=\$b/(\S+?);", re.MULTILINE)
_ARGV = re.compile(
    r'^set -- (.*?)\n(?=mkfifo "\$s\.say"|(?:gzip -dc [^\n]*\|)?\(umask 022;exec )', re.MULTILINE | re.DOTALL
)


@dataclass
class _Program:
    """A process that the agent started.

    :param ends: when it ends; never, as long as it waits for an answer.
    :param ended: what the agent reports then.
    :param spool: the path of its spool without the suffix; empty if it has none.
    :param output: what it writes to standard output at the end.
    :param token: what the tests know it by.
    :param stdin: its standard input.
    :param answer_seconds: how long it runs when it has its answer.
    :param was_opened: whether the agent has had the FIFO for answers open.
    :param answer: the answer that it has read.
    """

    ends: float
    ended: Ended = field(default_factory=Ended)
    spool: str = ""
    output: bytes = b""
    token: str = ""
    stdin: bytes = b""
    answer_seconds: float = 0.0
    was_opened: bool = False
    answer: bytes = b""


@dataclass
class ModelPrograms:
    """All processes by their id."""

    running: dict[int, _Program] = field(default_factory=dict)
    #: Those that the agent started and has not reported the end of.
    known: dict[int, _Program] = field(default_factory=dict)
    next_pid: int = 2000

    def advance(self, guest: ModelGuest) -> None:
        """Let the programs do what they have done by now."""
        for pid, program in list(self.running.items()):
            if program.ends == math.inf:
                self._take_answer(guest, program)
            if program.ends <= guest.now:
                self._end(guest, pid, program)

    def _end(self, guest: ModelGuest, pid: int, program: _Program) -> None:
        files = guest.memory.files
        del self.running[pid]
        files.files.pop(f"/proc/{pid}/cmdline", None)
        if program.spool and program.token:
            files.append(f"{program.spool}.out", program.output)
            flags = "o" if files.content(f"{program.spool}.out") else ""
            flags = flags if f"{program.spool}.out" in files.files else "O"
            flags += "" if f"{program.spool}.err" in files.files else "E"
            files.append(f"{program.spool}.state", f"0 {flags}.\n".encode())
            program.ended = Ended(0, f"{BASE} 0 {flags}.\n".encode())

    def _take_answer(self, guest: ModelGuest, program: _Program) -> None:
        """Let a program read its answer from the FIFO. The rest of its input follows when the FIFO is closed."""
        files = guest.memory.files
        fifo = files.files.get(f"{program.spool}.say")
        if fifo is None:
            return
        if b"\n" in fifo.data and not program.answer:
            program.answer = fifo.data
            files.append(f"{program.spool}.out", b"answer " + fifo.data)
        is_open = files.has_writer(fifo)
        program.was_opened = program.was_opened or is_open
        if program.was_opened and not is_open:
            if program.answer:
                program.ends = guest.now + program.answer_seconds
                # What follows the answer is the beginning of standard input.
                program.output += fifo.data[len(program.answer) :] + program.stdin
            else:
                program.ends, program.output = guest.now, b"no answer"

    def restart_agent(self, guest: ModelGuest, *, survive: bool) -> None:
        """Forget all processes; without a scope of their own they end."""
        self.known.clear()
        for pid, program in list(self.running.items()):
            if not (survive and program.spool):
                del self.running[pid]
                guest.memory.files.files.pop(f"/proc/{pid}/cmdline", None)

    def kill(self, guest: ModelGuest, pid: int) -> None:
        """Kill a process group with its launch script, which leaves no report."""
        program = self.running.pop(pid, None)
        if program is not None:
            program.ends, program.ended = guest.now, Ended(-15)
            guest.memory.files.files.pop(f"/proc/{pid}/cmdline", None)

    def status(self, guest: ModelGuest, arguments: Arguments) -> Arguments:
        """Carry out guest-exec-status."""
        pid = arguments["pid"]
        program = self.known.get(pid)
        if program is None:
            raise ErrorReply("Invalid parameter 'pid'")
        if pid in self.running:
            return {"exited": False}
        del self.known[pid]
        ended = program.ended
        how = {"signal": -ended.rc} if ended.rc < 0 else {"exitcode": ended.rc}
        streams = {"out-data": ended.stdout, "err-data": ended.stderr}
        return {
            "exited": True,
            **how,
            **{name: base64.b64encode(data).decode() for name, data in streams.items() if data},
        }

    def start(self, guest: ModelGuest, arguments: Arguments) -> Arguments:
        """Carry out guest-exec."""
        path, words = arguments["path"], list(arguments.get("arg", []))
        if path == "setsid":
            if not guest.kind.setsid:
                raise ErrorReply("Failed to execute child process 'setsid' (No such file or directory)")
            path, *words = words
        self.next_pid += 1
        pid, stdin = self.next_pid, base64.b64decode(arguments.get("input-data", ""))
        if words[:2] == ["-c", LOADER]:
            program = self._launch(guest, pid, stdin)
        elif words[:1] == ["-c"]:
            ended = run_script(guest, words[1], words[3:])
            program = _Program(guest.now + guest.delay(0, 0, 0.02, 0.5), ended)
        elif path == "rm":
            for name in words[1:]:
                guest.memory.files.files.pop(name, None)
            program = _Program(guest.now)
        elif path == "count":
            program = _Program(guest.now)
            self._execute(guest, pid, program, [path, *words])
        else:
            raise ErrorReply(f"Failed to execute child process '{path}' (No such file or directory)")
        self.running[pid] = self.known[pid] = program
        self.advance(guest)
        return {"pid": pid}

    def _launch(self, guest: ModelGuest, pid: int, stdin: bytes) -> _Program:
        """Run the launch script: make the spool and start the program."""
        count, dummy, rest = stdin.partition(b"\n")
        lines = rest.split(b"\n", int(count))
        script, stdin = b"\n".join(lines[:-1]).decode() + "\n", lines[-1]
        files = guest.memory.files
        if "command -v gzip" in script and not guest.kind.gzip:
            return _Program(guest.now, Ended(0, b"no gzip\n"))
        spool, argv, base, finished = (regex.search(script) for regex in (_SPOOL, _ARGV, _STDIN_BASE, _FINISHED))
        if spool is None or argv is None:
            raise AssertionError("a launch script that the model does not understand")
        program = _Program(guest.now + guest.delay(0, 0, 0, 0.02), spool=f"{BASE}/{spool[1]}")
        if base is not None:
            stdin = files.content(f"{base[1]}/{spool[1]}.in") or b""
            if len(stdin) != int(base[2]):
                return _Program(guest.now, Ended(0, b"no stdin\n"))
        program.stdin = zlib.decompressobj(_GZIP).decompress(stdin) if "gzip -dc" in script else stdin
        if finished is not None:
            for kind in ("out", "err"):
                files.replace(f"{BASE}/{finished[1]}.{kind}", b"")
        files.replace(f"{program.spool}.state", b"%d\n" % pid)
        for kind in ("out", "err"):
            files.replace(f"{program.spool}.{kind}", b"")
        files.replace(f"/proc/{pid}/cmdline", f"/bin/sh\0-c\0{LOADER}\0".encode())
        if script.startswith("mkfifo", argv.end()):
            files.files[f"{program.spool}.say"] = File(is_fifo=True, has_reader=True)
        self._execute(guest, pid, program, shlex.split(argv[1]))
        return program

    def _execute(self, guest: ModelGuest, pid: int, program: _Program, argv: list[str]) -> None:
        """Run a program: ``count TOKEN SECONDS SIZE``, ``ask TOKEN SECONDS SIZE``, or what starts a warm server."""
        if argv[0] not in ("count", "ask"):
            program.token = argv[4]
            program.output = guest.memory.servers.start(guest, argv, program.stdin)
            return
        program.token, seconds, size = argv[1], float(argv[2]), int(argv[3])
        guest.executed(program.token, pid)
        program.output = output_of(program.token, size)
        if argv[0] == "ask":
            guest.memory.files.append(f"{program.spool}.out", b"password: ")
            program.ends, program.answer_seconds = math.inf, seconds
        else:
            program.output += program.stdin
            program.ends += seconds
