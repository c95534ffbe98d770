# Copyright (c) 2026, the netless.qga authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Tables of the figures, for a terminal and for a file."""

from __future__ import annotations

import typing as t
from collections.abc import Iterator, Mapping, Sequence

from .figures import TARGETS, Record, Series, agent_cpu, asked
from .ways import Way

_COUNTED = {"ping": "ping of a loop", "command": "command task", "transfers": "transfer of 4 MiB"}
_OBSERVED = ("ping",)


def text(found: Sequence[Series], records: Sequence[Record], ways: Sequence[Way], repeats: int) -> str:
    """All tables."""
    ours, peers = [way for way in ways if way.ours], [way for way in ways if not way.ours]
    parts = [
        _medians(found, ways),
        *(_ratios(found, ours, peer) for peer in peers),
        *(_agents(records, ways, measure, repeats) for measure in _COUNTED),
        _targets(found, ours, {peer.label: peer for peer in peers}),
    ]
    return "\n".join("\n".join(part) + "\n" for part in parts)


def plain(found: Sequence[Series], records: Sequence[Record], ways: Sequence[Way], repeats: int) -> dict[str, t.Any]:
    """The same as JSON has it, with all samples."""
    peers = [way for way in ways if not way.ours]
    return {
        "series": [
            {
                "name": series.name,
                "unit": series.unit,
                "samples": {way.label: [round(value, 4) for value in series.samples[way.host]] for way in ways},
                "medians": {way.label: round(series.median(way), 4) for way in ways},
                "ratios": {
                    f"{way.label} / {peer.label}": round(series.ratio(way, peer), 3)
                    for way in ways
                    if way.ours
                    for peer in peers
                },
            }
            for series in found
        ],
        "commands to the agent": {
            name: {way.label: asked(records, way, measure, _tasks(measure, repeats)) for way in ways if way.unit}
            for measure, name in _COUNTED.items()
        },
        "processor seconds of the agent": {
            _COUNTED[measure]: {
                way.label: round(agent_cpu(records, way, measure) / _tasks(measure, repeats), 4)
                for way in ways
                if way.unit
            }
            for measure in _OBSERVED
        },
    }


def _tasks(measure: str, repeats: int) -> int:
    """How many there are in a record."""
    return repeats if measure == "ping" else 1


def _medians(found: Sequence[Series], ways: Sequence[Way]) -> Iterator[str]:
    yield _row("medians", [way.label for way in ways])
    for series in found:
        yield _row(f"{series.name} ({series.unit})", [f"{series.median(way):.2f}" for way in ways])


def _ratios(found: Sequence[Series], ours: Sequence[Way], peer: Way) -> Iterator[str]:
    yield _row(f"ratios to {peer.label}", [way.label for way in ours])
    for series in found:
        yield _row(f"{series.name} ({series.unit})", [f"{series.ratio(way, peer):.2f}" for way in ours])


def _agents(records: Sequence[Record], ways: Sequence[Way], measure: str, repeats: int) -> Iterator[str]:
    with_agent, tasks = [way for way in ways if way.unit], _tasks(measure, repeats)
    counts = {way: asked(records, way, measure, tasks) for way in with_agent}
    yield _row(f"commands to the agent, a {_COUNTED[measure]}", [way.label for way in with_agent])
    for command in sorted({command for count in counts.values() for command in count}):
        yield _row(command, [f"{counts[way].get(command, 0):.1f}" for way in with_agent])
    yield _row("all", [f"{sum(counts[way].values()):.1f}" for way in with_agent])
    if measure in _OBSERVED:
        cpu = [f"{agent_cpu(records, way, measure) / tasks * 1000:.0f}" for way in with_agent]
        yield _row("processor time of the agent (ms)", cpu)


def _targets(found: Sequence[Series], ours: Sequence[Way], peers: Mapping[str, Way]) -> Iterator[str]:
    yield _row("targets", [way.label for way in ours])
    by_name = {series.name: series for series in found}
    for target in TARGETS:
        if target.peer not in peers:
            continue
        series = by_name[target.series]
        sign = "<=" if series.unit == "s" else ">="
        ratios = [series.ratio(way, peers[target.peer]) for way in ours]
        cells = [f"{ratio:.2f} {'met' if target.met(series.unit, ratio) else 'MISSED'}" for ratio in ratios]
        yield _row(f"{target.series} {sign} {target.bound} {target.peer}", cells)


def _row(name: str, cells: Sequence[str]) -> str:
    return f"{name:45}" + "".join(f"{cell:>14}" for cell in cells)
