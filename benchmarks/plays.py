# Copyright (c) 2026, the netless.qga authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Writes the playbook of the measurements.

Ansible runs every task over each connection before the next task, so that other work of the machine affects all
connections alike. Which connection comes first changes from play to play.
"""

from __future__ import annotations

import json
import typing as t
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

_MEASURES = Path(__file__).resolve().parent / "measures"


@dataclass(frozen=True)
class Measure:
    """Tasks that are measured.

    :param name: the name of the file of tasks.
    :param repeated: whether they run several times in a round.
    :param once: whether they run in the first round only.
    :param observed: whether the agents' processor time is read, which takes longer than some tasks.
    """

    name: str
    repeated: bool = False
    once: bool = False
    observed: bool = False


MEASURES = (
    Measure("ping", observed=True),
    Measure("command", repeated=True),
    Measure("facts"),
    Measure("transfers"),
    Measure("copy_and_fetch"),
    Measure("playbook", once=True),
)
WARM_UP = "warm_up"


def write(file: Path, hosts: list[str], *, rounds: int, repeats: int, workspace: Path) -> None:
    """Write the playbook.

    :param hosts: the inventory hosts of the connections.
    :param repeats: how many pings, and how many commands, a round has.
    :param workspace: the directory of the files to copy.
    """
    plays = [_play(Measure("command"), WARM_UP, hosts, 0, repeats, workspace)]
    measured = [(number, measure) for number in range(1, rounds + 1) for measure in _of_round(number)]
    for index, (number, measure) in enumerate(measured):
        first = index % len(hosts)
        rotated = hosts[first:] + hosts[:first]
        plays.append(_play(measure, measure.name, rotated, number, repeats, workspace))
    file.write_text(json.dumps(plays, indent=1), encoding="utf-8")


def _of_round(number: int) -> Iterator[Measure]:
    return (measure for measure in MEASURES if number == 1 or not measure.once)


def _play(
    measure: Measure, name: str, hosts: list[str], number: int, repeats: int, workspace: Path
) -> dict[str, t.Any]:
    tasks = {"name": measure.name, "ansible.builtin.import_tasks": str(_MEASURES / f"{measure.name}.yml")}
    return {
        "name": f"round {number}: {name}",
        "hosts": hosts,
        "gather_facts": False,
        "any_errors_fatal": True,
        "vars": {
            "benchmark": {"measure": name, "round": number, "observed": measure.observed},
            "round": number,
            "repeats": repeats,
            "workspace": str(workspace),
            "site": "/srv/{{ inventory_hostname }}",
            "account": "{{ inventory_hostname | regex_replace('[^a-z0-9]', '-') }}",
        },
        "tasks": [tasks] * (repeats if measure.repeated else 1),
    }
