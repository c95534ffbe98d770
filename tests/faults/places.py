# Copyright (c) 2026, the netless.qga authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The places where the relay can do something wrong: each byte of each phase, and the moment of connecting."""

from __future__ import annotations

import json
import random
import typing as t
from collections.abc import Iterator
from dataclasses import dataclass

from .relay import AT_CONNECT, Direction, Fault, Kind
from .scenarios import SCENARIOS, Scenario


@dataclass(frozen=True)
class Place:
    """One fault in one scenario.

    :param scenario: the scenario's name.
    :param phase: the phase that the fault is in.
    """

    scenario: str
    phase: str
    fault: Fault

    def __str__(self) -> str:
        """Return the place as the option ``--place`` takes it."""
        fault = self.fault
        return f"{self.scenario}:{self.phase}:{fault.kind.name}:{fault.direction.name}:{fault.at}"

    @classmethod
    def parse(cls, text: str) -> Place:
        """Return the place that is described by its text."""
        scenario, phase, kind, direction, at = text.split(":")
        return cls(scenario, phase, Fault(Kind[kind], Direction[direction], int(at)))


@dataclass(frozen=True)
class Transcript:
    """What a scenario sends each way without a fault.

    :param passed: the bytes each way.
    :param closing: how many bytes went to the agent until the client began to close.
    """

    passed: t.Mapping[Direction, bytes]
    closing: int


def connect_places() -> list[Place]:
    """Return the places before the first byte. They are so few that a part of all places may have none of them."""
    return [Place("call", "connect", Fault(kind, direction, AT_CONNECT)) for kind in Kind for direction in Direction]


def places(transcripts: t.Mapping[str, Transcript]) -> list[Place]:
    """Return all places, in an order in which every part of them has places from everywhere.

    :param transcripts: of the scenarios, by name.
    """
    found = connect_places()
    for name, transcript in transcripts.items():
        for direction, phases in _phases(SCENARIOS[name], transcript).items():
            for at, phase in enumerate(phases):
                found += [Place(name, phase, Fault(kind, direction, at)) for kind in Kind]
    random.Random(0).shuffle(found)
    return found


def _phases(scenario: Scenario, transcript: Transcript) -> dict[Direction, list[str]]:
    """Return the phase of each byte."""
    by_id: dict[t.Any, str] = {}
    sent: list[str] = []
    for line in _lines(transcript.passed[Direction.TO_AGENT]):
        request = json.loads(line.strip(b"\xff\n") or b"{}")
        phase = scenario.phase(request.get("execute", "guest-sync"))
        if len(sent) >= transcript.closing:
            phase = "close"
        by_id[request.get("id")] = phase
        sent += [phase] * len(line)
    received: list[str] = []
    for line in _lines(transcript.passed[Direction.TO_CLIENT]):
        reply = json.loads(line.strip(b"\xff\n") or b"{}")
        received += [by_id.get(reply.get("id"), "sync")] * len(line)
    return {Direction.TO_AGENT: sent, Direction.TO_CLIENT: received}


def _lines(data: bytes) -> Iterator[bytes]:
    yield from data.splitlines(keepends=True)
