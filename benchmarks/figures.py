# Copyright (c) 2026, the netless.qga authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What was measured, in figures: medians, ratios between ways, and whether those are what they should be."""

from __future__ import annotations

import collections
import statistics
import typing as t
from collections.abc import Sequence
from dataclasses import dataclass

from .plays import WARM_UP
from .ways import Way

MIB = 1024 * 1024
Record = dict[str, t.Any]


@dataclass(frozen=True)
class Series:
    """What was measured of one thing.

    :param name: for readers.
    :param unit: ``s`` or ``MiB/s``.
    :param samples: by the inventory host of the way; those with the same index were measured one after the other.
    """

    name: str
    unit: str
    samples: dict[str, list[float]]

    def median(self, way: Way) -> float:
        """Of one way."""
        return statistics.median(self.samples[way.host])

    def ratio(self, way: Way, peer: Way) -> float:
        """The median of the ratios between samples measured one after the other."""
        pairs = zip(self.samples[way.host], self.samples[peer.host])
        return statistics.median(own / others for own, others in pairs)


_TASKS = {
    "Copy random bytes": "copy task, 4 MiB random",
    "Copy text": "copy task, 4 MiB text",
    "Fetch random bytes": "fetch task, 4 MiB random",
}
_TRANSFERS = {
    "Put random bytes": "put, 4 MiB random",
    "Put text": "put, 4 MiB text",
    "Fetch random bytes back": "fetch, 4 MiB random",
}


def series(records: Sequence[Record], repeats: int) -> list[Series]:
    """All that was measured.

    :param repeats: how many pings there are in a task.
    """
    measured = [record for record in records if record["measure"] != WARM_UP]
    tasks = [record for record in measured if "task" in record]

    def of_tasks(name: str, **members: str) -> Series:
        chosen = [record for record in tasks if members.items() <= record.items()]
        return Series(name, "s", _by_way(chosen, lambda record: record["seconds"]))

    pings = [record for record in tasks if record["measure"] == "ping"]
    found = [
        Series("ping, each of a loop", "s", _by_way(pings, lambda record: record["seconds"] / repeats)),
        of_tasks("command task", measure="command"),
        of_tasks("task of a playbook", measure="playbook"),
        of_tasks("gathering of facts", measure="facts"),
        *(of_tasks(name, task=task) for task, name in _TASKS.items()),
    ]
    for transfer, name in _TRANSFERS.items():
        chosen = [record for record in measured if record.get("transfer") == transfer]
        found.append(Series(name, "MiB/s", _by_way(chosen, lambda record: record["bytes"] / MIB / record["seconds"])))
    return found


def _by_way(records: Sequence[Record], value: t.Callable[[Record], float]) -> dict[str, list[float]]:
    samples: dict[str, list[float]] = collections.defaultdict(list)
    for record in records:
        samples[record["way"]].append(value(record))
    return dict(samples)


def asked(records: Sequence[Record], way: Way, measure: str, tasks: int = 1) -> dict[str, float]:
    """How many commands the agent was given for a task, by their names.

    :param tasks: how many there are in a record.
    """
    chosen = [record for record in records if record["way"] == way.host and record["measure"] == measure]
    chosen = [record for record in chosen if "asked" in record]
    total: collections.Counter[str] = collections.Counter()
    for record in chosen:
        total.update(record["asked"])
    return {command: count / len(chosen) / tasks for command, count in sorted(total.items())}


def agent_cpu(records: Sequence[Record], way: Way, measure: str) -> float:
    """The agent's processor time for a task, in seconds, on the average: a single one may be too short to see."""
    chosen = [record for record in records if record["way"] == way.host and record["measure"] == measure]
    return statistics.fmean(record["agent_cpu"] for record in chosen if record.get("agent_cpu") is not None)


@dataclass(frozen=True)
class Target:
    """A ratio that is aimed at.

    :param series: the name of what is compared.
    :param peer: the label of the way that it is compared with.
    :param bound: of the ratio: the most for seconds, the least for MiB/s.
    """

    series: str
    peer: str
    bound: float

    def met(self, unit: str, ratio: float) -> bool:
        """Whether a ratio is what it should be."""
        return ratio <= self.bound if unit == "s" else ratio >= self.bound


TARGETS = (
    *(Target(name, "libvirt_qemu", 0.7) for name in ("ping, each of a loop", "command task", "task of a playbook")),
    *(Target(name, "ssh", 1.1) for name in ("ping, each of a loop", "command task", "task of a playbook")),
    Target("put, 4 MiB text", "libvirt_qemu", 3.0),
    Target("put, 4 MiB random", "libvirt_qemu", 1.0),
    Target("fetch, 4 MiB random", "libvirt_qemu", 1.2),
)
