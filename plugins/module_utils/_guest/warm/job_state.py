# Copyright (c) 2026, the netless.qga authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The state file of a job of the warm server.

The first line decides what becomes of the job. The one who appends it has decided: the filesystem puts lines of several
writers in an order.

================================  ====================================================================================
``claimed CAPACITY NONCE``        The server runs the job. The FIFO holds CAPACITY bytes.
``stale NONCE``                   The server does not run it, and ends: the guest has changed, or has no room.
``incomplete NONCE``              The server does not run it, because it lacks a part of the payload.
``withdrawn NONCE``               The client does not wait any longer for the server to claim it.
================================  ====================================================================================

The lines after it come from the server.

================================  ====================================================================================
``pid PID``                       The process that runs the module. It leads a process group.
``exit RC OUT ERR``               The module has ended with the exit status RC, and written so many bytes. If they are
                                  few, they follow. With `` full`` at its end, the filesystem has no room, and the
                                  module may not have been able to write everything.
================================  ====================================================================================
"""

from __future__ import annotations

import re
import typing as t
from dataclasses import dataclass

_DECISION = re.compile(
    rb"(?P<word>claimed|stale|incomplete|withdrawn)(?: (?P<capacity>\d{1,10}))? (?P<nonce>[0-9a-f]+)\n"
)
_PID = re.compile(rb"^pid (?P<pid>(?!1\n)[1-9]\d{0,9})\n", re.MULTILINE)
_EXIT = re.compile(rb"^exit (?P<rc>\d{1,3}) (?P<out>\d{1,15}) (?P<err>\d{1,15})(?P<full> full)?\n", re.MULTILINE)

# More than the lines take, in bytes.
_MAX_LINES = 1024

#: Output up to this size follows the exit line.
MAX_INLINE = 16 * 1024

#: The size of the longest state file, in bytes.
MAX_SIZE = MAX_INLINE + 4096


@dataclass(frozen=True)
class JobState:
    """What a state file has so far.

    :param claimed: whether the server has claimed the job; None if nothing is decided.
    :param reason: why the job does not run: the decision's word.
    :param capacity: how many bytes the FIFO holds.
    :param pid: the process that runs the module.
    :param rc: its exit status, once it has ended.
    :param sizes: how much it has written to standard output and standard error, in bytes.
    :param output: what it has written; None if that is not in the file, or not completely.
    :param spool_full: whether it may not have been able to write everything.
    """

    claimed: bool | None = None
    reason: str = ""
    capacity: int = 0
    pid: int | None = None
    rc: int | None = None
    sizes: tuple[int, int] = (0, 0)
    output: tuple[bytes, bytes] | None = None
    spool_full: bool = False

    @property
    def has_inline_output(self) -> bool:
        """Whether the output is in the file, or will be."""
        return sum(self.sizes) <= MAX_INLINE


def withdrawal(nonce: str) -> bytes:
    """Return the line that withdraws a job."""
    return f"withdrawn {nonce}\n".encode("ascii")


def parse_job_state(text: bytes, nonce: str) -> JobState:
    """Parse a state file.

    :param nonce: the job's. A file with another one belongs to another job, and this one does not run.
    """
    decision = _DECISION.match(text)
    if decision is None:
        return JobState()
    if decision["word"] != b"claimed" or decision["nonce"] != nonce.encode("ascii"):
        return JobState(claimed=False, reason=decision["word"].decode("ascii"))
    capacity = int(decision["capacity"] or 0)
    # A withdrawal that came too late may stand in between.
    pid = _PID.search(text, decision.end(), decision.end() + _MAX_LINES)
    if pid is None:
        return JobState(claimed=True, capacity=capacity)
    known: dict[str, t.Any] = {"claimed": True, "capacity": capacity, "pid": int(pid["pid"])}
    ended = _EXIT.search(text, pid.end(), pid.end() + _MAX_LINES)
    if ended is None:
        return JobState(**known)
    rest = text[ended.end() :]
    sizes = (int(ended["out"]), int(ended["err"]))
    output = (rest[: sizes[0]], rest[sizes[0] : sum(sizes)]) if len(rest) >= sum(sizes) else None
    return JobState(**known, rc=int(ended["rc"]), sizes=sizes, output=output, spool_full=ended["full"] is not None)
