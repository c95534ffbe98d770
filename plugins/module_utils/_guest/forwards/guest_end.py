# Copyright (c) 2026, the netless.qga authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The program at the guest's end of forwards, as the controller knows it: how it starts, and how it ends.

It stays between tasks, as warm servers do, so that a task does not have to start a Python for it. It listens only while
a command runs.
"""

from __future__ import annotations

import contextlib
import re
import secrets
import typing as t
from dataclasses import dataclass

from ansible_collections.netless.qga.plugins.module_utils._agent.agent import Agent
from ansible_collections.netless.qga.plugins.module_utils._channels.channel import Call
from ansible_collections.netless.qga.plugins.module_utils._deadline import Deadline
from ansible_collections.netless.qga.plugins.module_utils._guest.shell import guest_exec
from ansible_collections.netless.qga.plugins.module_utils._guest.shell.python_program import python_program, with_call
from ansible_collections.netless.qga.plugins.module_utils._guest.shell.spool import BASES, MIN_ROOM
from ansible_collections.netless.qga.plugins.module_utils.errors import ForwardError, QgaError, excerpt

_PACKAGE = f"{__name__.rpartition('.')[0]}.program"

# Each file uses those before it.
_FILES = ("frames", "multiplexer", "relay", "parts", "server")

#: The size of a part of what the guest sends, in bytes.
PART_SIZE = 8 * 1024 * 1024

#: How long the guest's end waits for a session, and how long the controller may be silent in one, in seconds.
LIMITS = {"idle": 60.0, "lease": 30.0, "part": float(PART_SIZE), "room": float(MIN_ROOM)}

# Those that Ansible itself looks for, and that of RHEL's system tools.
_PYTHONS = (
    "python3",
    *(f"python3.{minor}" for minor in range(14, 7, -1)),
    "/usr/bin/python3",
    "/usr/local/bin/python3",
    "/usr/libexec/platform-python",
)

_NO_PYTHON = "no python"
_TOO_OLD = 9

# The program is on standard input, and fits into a pipe. An older Python leaves it there for the next one.
_LOADER = f"import sys;sys.version_info<(3,8)and sys.exit({_TOO_OLD});exec(sys.stdin.read())"
_START = f"""\
for p in {" ".join(_PYTHONS)};do
command -v "$p" >/dev/null 2>&1||continue
"$p" -I -S -c '{_LOADER}'
[ $? = {_TOO_OLD} ]||exit
done
cat >/dev/null;echo "{_NO_PYTHON}\""""

# The program ends within a second when its FIFO is gone.
_END = f'for b in {" ".join(BASES)};do rm -rf "$b/$1";done'

_STARTED = re.compile(rb"forwards (?P<base>/[a-z/]+) (?P<slots>\d{1,6}) (?P<page>\d{1,7})\n")

_START_TIMEOUT = 60.0
_END_TIMEOUT = 5.0


@dataclass
class GuestEnd:
    """A program that has started.

    :param name: the name of its directory.
    :param base: the directory that has this one.
    :param slots: how many pages of memory its FIFO has.
    :param page: the size of a page, in bytes.
    :param session: the number of the next session.
    """

    name: str
    base: str
    slots: int
    page: int
    session: int = 0

    @property
    def directory(self) -> str:
        """The path of its directory."""
        return f"{self.base}/{self.name}"

    @classmethod
    def from_dict(cls, content: t.Mapping[str, t.Any]) -> GuestEnd | None:
        """Return the program that :func:`dataclasses.asdict` described; None if it described none."""
        try:
            end = cls(**content)
        except TypeError:
            return None
        texts: tuple[t.Any, ...] = (end.name, end.base)
        numbers: tuple[t.Any, ...] = (end.slots, end.page, end.session)
        is_sound = all(isinstance(text, str) for text in texts) and all(isinstance(n, int) for n in numbers)
        return end if is_sound else None

    @classmethod
    def start(cls, agent: Agent, ports: t.Sequence[int], deadline: Deadline) -> GuestEnd:
        """Start the program.

        :param ports: where it listens during a session.
        :raises ForwardError: the guest has no Python, or the program has not started.
        """
        name = f"netless-qga.{secrets.token_hex(16)}.forwards"
        program = with_call(python_program(_PACKAGE, _FILES), name, list(BASES), list(ports), dict(LIMITS))
        arguments = ["-c", _START]
        deadline = deadline.within(_START_TIMEOUT)
        ended = guest_exec.run_captured(agent, guest_exec.SHELL, arguments, stdin=program, deadline=deadline)
        if ended.stdout.strip() == _NO_PYTHON.encode("ascii"):
            raise ForwardError(
                f"{agent.endpoint}: remote forwards need Python 3.8 or later in the guest, and the guest has "
                f"none. Install Python there first, or unset the connection's option remote_forwards for this task"
            )
        match = _STARTED.search(ended.stdout)
        base = match["base"].decode("ascii") if match else ""
        if match is None or base not in BASES:
            reason = excerpt(ended.stderr.decode("utf-8", errors="replace")[-300:]) or f"exit status {ended.rc}"
            raise ForwardError(f"{agent.endpoint}: the guest's end of the remote forwards has not started: {reason}")
        # A session needs some slots at least, and the agent may lie.
        end = cls(name, base, max(8, int(match["slots"])), max(4096, int(match["page"])))
        call = {"path": guest_exec.SHELL, "arg": ["-c", _END, "sh", name], "capture-output": True}
        with contextlib.suppress(QgaError):
            agent.at_end(f"forwards {name}", Call("guest-exec", call))
        return end

    def end(self, agent: Agent) -> None:
        """End the program if the agent can be reached. Otherwise it ends by itself, when it has had no session."""
        with contextlib.suppress(QgaError):
            agent.at_end(f"forwards {self.name}", None)
            guest_exec.run_script(agent, _END, self.name, deadline=Deadline.after(_END_TIMEOUT))
