# Copyright (c) 2026, the netless.qga authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What processes use: memory, open files, and how many there are; and whether that stays as it is."""

from __future__ import annotations

import os
import pathlib
import typing as t
from dataclasses import dataclass

MAX_GROWTH_KIB = 1024
"""How much memory may grow after the warm-up: by one of the arenas in which Python allocates."""


@dataclass(frozen=True)
class Usage:
    """What one side uses at one time.

    :param memory: the resident memory, in KiB.
    :param handles: the open files.
    :param processes: how many processes there are, ended ones included that nobody has waited for.
    :param files: how many temporary files there are.
    """

    memory: int
    handles: int
    processes: int
    files: int

    def __str__(self) -> str:
        return f"{self.memory} KiB, {self.handles} handles, {self.processes} processes, {self.files} files"


def usage(pids: t.Iterable[int], processes: int, directories: t.Iterable[pathlib.Path]) -> Usage:
    """Return what processes use now.

    :param pids: whose memory and open files count.
    :param processes: how many processes there are.
    :param directories: whose files count.
    """
    pids = list(pids)
    return Usage(
        memory=sum(map(_resident_kib, pids)),
        handles=sum(len(os.listdir(f"/proc/{pid}/fd")) for pid in pids),
        processes=processes,
        files=sum(len(os.listdir(directory)) for directory in directories),
    )


def _resident_kib(pid: int) -> int:
    status = pathlib.Path("/proc", str(pid), "status").read_text(encoding="utf-8", errors="replace")
    return next(int(line.split()[1]) for line in status.splitlines() if line.startswith("VmRSS:"))


def growth(samples: t.Sequence[Usage]) -> list[str]:
    """Return what has grown from the second quarter of the samples, after the warm-up, to the last quarter.

    Handles, processes and files may not grow at all, memory may grow by :data:`MAX_GROWTH_KIB`.
    """
    quarter = len(samples) // 4
    if not quarter:
        raise ValueError(f"there are only {len(samples)} samples")
    before, after = samples[quarter : 2 * quarter], samples[-quarter:]
    grown = []
    for name, allowed in {"memory": MAX_GROWTH_KIB, "handles": 0, "processes": 0, "files": 0}.items():
        first, last = (max(getattr(sample, name) for sample in part) for part in (before, after))
        if last > first + allowed:
            grown.append(f"{name}: {first} to {last}")
    return grown
