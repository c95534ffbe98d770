# Copyright (c) 2026, the netless.qga authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Computes medians from the records, ratios between connections, and whether the ratios meet their goals."""

from __future__ import annotations

import collections
import statistics
import typing as t
from collections.abc import Sequence
from dataclasses import dataclass

from .connections import Connection
from .plays import WARM_UP

MIB = 1024 * 1024
Record = dict[str, t.Any]


@dataclass(frozen=True)
class Series:
    """All samples of one quantity.

    :param name: its name in tables and charts.
    :param unit: ``s`` or ``MiB/s``.
    :param samples: by the inventory host of the connection. Samples with the same index were measured one after the
        other.
    """

    name: str
    unit: str
    samples: dict[str, list[float]]

    def median(self, connection: Connection) -> float:
        """Return the median of one connection."""
        return statistics.median(self.samples[connection.host])

    def ratio(self, connection: Connection, peer: Connection) -> float:
        """Return the median of the ratios between samples that were measured one after the other."""
        pairs = zip(self.samples[connection.host], self.samples[peer.host])
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
    """Return everything that was measured.

    :param repeats: how many pings a task has.
    """
    measured = [record for record in records if record["measure"] != WARM_UP]
    tasks = [record for record in measured if "task" in record]

    def of_tasks(name: str, **members: str) -> Series:
        chosen = [record for record in tasks if members.items() <= record.items()]
        return Series(name, "s", _by_connection(chosen, lambda record: record["seconds"]))

    pings = [record for record in tasks if record["measure"] == "ping"]
    found = [
        Series("ping, each of a loop", "s", _by_connection(pings, lambda record: record["seconds"] / repeats)),
        of_tasks("command task", measure="command"),
        of_tasks("task of a playbook", measure="playbook"),
        of_tasks("gathering of facts", measure="facts"),
        *(of_tasks(name, task=task) for task, name in _TASKS.items()),
    ]
    for transfer, name in _TRANSFERS.items():
        chosen = [record for record in measured if record.get("transfer") == transfer]
        found.append(
            Series(name, "MiB/s", _by_connection(chosen, lambda record: record["bytes"] / MIB / record["seconds"]))
        )
    return found


def _by_connection(records: Sequence[Record], value: t.Callable[[Record], float]) -> dict[str, list[float]]:
    samples: dict[str, list[float]] = collections.defaultdict(list)
    for record in records:
        samples[record["connection"]].append(value(record))
    return dict(samples)


def agent_commands(records: Sequence[Record], connection: Connection, measure: str, tasks: int = 1) -> dict[str, float]:
    """Return how many commands the agent got for a task, by their names.

    :param tasks: how many tasks a record has.
    """
    chosen = [record for record in records if record["connection"] == connection.host and record["measure"] == measure]
    chosen = [record for record in chosen if "commands" in record]
    total: collections.Counter[str] = collections.Counter()
    for record in chosen:
        total.update(record["commands"])
    return {command: count / len(chosen) / tasks for command, count in sorted(total.items())}


def agent_cpu(records: Sequence[Record], connection: Connection, measure: str) -> float:
    """Return the average of the agent's processor time for a task, in seconds: one task may be too short to measure."""
    chosen = [record for record in records if record["connection"] == connection.host and record["measure"] == measure]
    return statistics.fmean(record["agent_cpu"] for record in chosen if record.get("agent_cpu") is not None)


@dataclass(frozen=True)
class Goal:
    """A bound for a ratio.

    :param series: the name of the series that is compared.
    :param peer: the label of the connection that ours are compared with.
    :param bound: a maximum for seconds, a minimum for MiB/s.
    """

    series: str
    peer: str
    bound: float

    def met(self, unit: str, ratio: float) -> bool:
        """Return whether a ratio is within the bound."""
        return ratio <= self.bound if unit == "s" else ratio >= self.bound


GOALS = (
    Goal("ping, each of a loop", "libvirt_qemu", 0.1),
    Goal("ping, each of a loop", "ssh", 0.2),
    Goal("task of a playbook", "libvirt_qemu", 0.25),
    Goal("task of a playbook", "ssh", 0.5),
    Goal("gathering of facts", "libvirt_qemu", 0.6),
    Goal("put, 4 MiB text", "libvirt_qemu", 3.0),
    Goal("put, 4 MiB random", "libvirt_qemu", 1.0),
    Goal("fetch, 4 MiB random", "libvirt_qemu", 1.2),
)
