# Copyright (c) 2026, the netless.qga authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Prints the figures as tables, for a terminal and for a file."""

from __future__ import annotations

import typing as t
from collections.abc import Iterator, Mapping, Sequence

from .connections import Connection
from .figures import GOALS, Record, Series, agent_commands, agent_cpu

_COUNTED = {"ping": "ping of a loop", "command": "command task", "transfers": "transfer of 4 MiB"}
_OBSERVED = ("ping",)


def text(found: Sequence[Series], records: Sequence[Record], connections: Sequence[Connection], repeats: int) -> str:
    """Return all tables."""
    ours = [connection for connection in connections if connection.ours]
    peers = [connection for connection in connections if not connection.ours]
    parts = [
        _medians(found, connections),
        *(_ratios(found, ours, peer) for peer in peers),
        *(_agents(records, connections, measure, repeats) for measure in _COUNTED),
        _goals(found, ours, {peer.label: peer for peer in peers}),
    ]
    return "\n".join("\n".join(part) + "\n" for part in parts)


def plain(
    found: Sequence[Series], records: Sequence[Record], connections: Sequence[Connection], repeats: int
) -> dict[str, t.Any]:
    """Return the same for a JSON file, with all samples."""
    peers = [connection for connection in connections if not connection.ours]
    return {
        "series": [
            {
                "name": series.name,
                "unit": series.unit,
                "samples": {
                    connection.label: [round(value, 4) for value in series.samples[connection.host]]
                    for connection in connections
                },
                "medians": {connection.label: round(series.median(connection), 4) for connection in connections},
                "ratios": {
                    f"{connection.label} / {peer.label}": round(series.ratio(connection, peer), 3)
                    for connection in connections
                    if connection.ours
                    for peer in peers
                },
            }
            for series in found
        ],
        "commands to the agent": {
            name: {
                connection.label: agent_commands(records, connection, measure, _tasks(measure, repeats))
                for connection in connections
                if connection.unit
            }
            for measure, name in _COUNTED.items()
        },
        "processor seconds of the agent": {
            _COUNTED[measure]: {
                connection.label: round(agent_cpu(records, connection, measure) / _tasks(measure, repeats), 4)
                for connection in connections
                if connection.unit
            }
            for measure in _OBSERVED
        },
    }


def _tasks(measure: str, repeats: int) -> int:
    """Return how many tasks a record has."""
    return repeats if measure == "ping" else 1


def _medians(found: Sequence[Series], connections: Sequence[Connection]) -> Iterator[str]:
    yield _row("medians", [connection.label for connection in connections])
    for series in found:
        yield _row(f"{series.name} ({series.unit})", [f"{series.median(connection):.2f}" for connection in connections])


def _ratios(found: Sequence[Series], ours: Sequence[Connection], peer: Connection) -> Iterator[str]:
    yield _row(f"ratios to {peer.label}", [connection.label for connection in ours])
    for series in found:
        yield _row(f"{series.name} ({series.unit})", [f"{series.ratio(connection, peer):.2f}" for connection in ours])


def _agents(records: Sequence[Record], connections: Sequence[Connection], measure: str, repeats: int) -> Iterator[str]:
    with_agent, tasks = [connection for connection in connections if connection.unit], _tasks(measure, repeats)
    counts = {connection: agent_commands(records, connection, measure, tasks) for connection in with_agent}
    yield _row(f"commands to the agent, a {_COUNTED[measure]}", [connection.label for connection in with_agent])
    for command in sorted({command for count in counts.values() for command in count}):
        yield _row(command, [f"{counts[connection].get(command, 0):.1f}" for connection in with_agent])
    yield _row("all", [f"{sum(counts[connection].values()):.1f}" for connection in with_agent])
    if measure in _OBSERVED:
        cpu = [f"{agent_cpu(records, connection, measure) / tasks * 1000:.0f}" for connection in with_agent]
        yield _row("processor time of the agent (ms)", cpu)


def _goals(found: Sequence[Series], ours: Sequence[Connection], peers: Mapping[str, Connection]) -> Iterator[str]:
    yield _row("goals", [connection.label for connection in ours])
    by_name = {series.name: series for series in found}
    for goal in GOALS:
        if goal.peer not in peers:
            continue
        series = by_name[goal.series]
        sign = "<=" if series.unit == "s" else ">="
        ratios = [series.ratio(connection, peers[goal.peer]) for connection in ours]
        cells = [f"{ratio:.2f} {'met' if goal.met(series.unit, ratio) else 'MISSED'}" for ratio in ratios]
        yield _row(f"{goal.series} {sign} {goal.bound} {goal.peer}", cells)


def _row(name: str, cells: Sequence[str]) -> str:
    return f"{name:45}" + "".join(f"{cell:>14}" for cell in cells)
