# Copyright (c) 2026, the netless.qga authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Compares kept interpreters with new ones and with ``local``, in a guest that costs no emulation: a sandbox.

``make bench``, or ``python -m benchmarks.sandbox`` in the virtual environment that benchmarks/setup.sh has made. Needs
root. The ways alternate. Each run of a play includes the start of Ansible and of the interpreter that is kept.
``local`` runs the same commands in the same sandbox without an agent, which is what the tasks themselves cost.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
import typing as t
from dataclasses import dataclass
from pathlib import Path

import yaml

from tests.guests import sandbox, trees
from tests.guests.guest_init import CHANNEL_DIRECTORY

from .framing import collection_to_import
from .processes import Processes

_MEASURES = Path(__file__).resolve().parent / "measures"
_SUITE = "bookworm"
_PINGS = 20
_NEW, _KEPT, _LOCAL = "new", "kept", "local"
_WAYS = (_NEW, _KEPT, _LOCAL)


@dataclass(frozen=True)
class Sample:
    """What one run of a play took.

    :param seconds: the whole run.
    :param guest_cpu: processor time of all programs in the guest, in seconds.
    """

    seconds: float
    guest_cpu: float


def plays(directory: Path) -> dict[str, Path]:
    """Write the plays that are measured, and return them by name."""
    tasks = yaml.safe_load((_MEASURES / "playbook.yml").read_text(encoding="utf-8"))
    for task in tasks:
        if "ansible.builtin.template" in task:
            task["ansible.builtin.template"]["src"] = str(
                _MEASURES / "templates" / task["ansible.builtin.template"]["src"]
            )
    # A sandbox has no systemd.
    mixed = [task for task in tasks if "ansible.builtin.systemd_service" not in task]
    ping = {"ansible.builtin.ping": {}, "loop": list(range(_PINGS))}
    written: dict[str, Path] = {}
    for name, content in (("no task", []), (f"{_PINGS} pings", [ping]), (f"a play of {len(mixed)} tasks", mixed)):
        play = {
            "hosts": "all",
            "gather_facts": False,
            "vars": {"site": "/srv/bench-{{ number }}", "account": "bench{{ number }}"},
            "tasks": content,
        }
        written[name] = directory / f"{len(written)}.json"
        written[name].write_text(json.dumps([play]), encoding="utf-8")
    return written


class Guest:
    """The sandbox, and how each way reaches it."""

    def __init__(self, agent: sandbox.SandboxedAgent, directory: Path, collections: str) -> None:
        self._collections = collections
        self.processes = Processes(agent.pid)
        # The directory that the sandbox shares with this machine gets the same path on both sides, so that local can
        # copy files. Ansible names the shell in the command line that it gives to the shell, so it is there as well.
        shared = Path(agent.socket_path).parent
        root = f"/proc/{agent.pid}/root"
        shell = directory / "shell"
        for path, target in ((shared, CHANNEL_DIRECTORY), (shell, "/bin/sh")):
            there = Path(f"{root}{path}")
            there.parent.mkdir(parents=True)
            there.symlink_to(target)
        enter = f"nsenter --target {agent.pid} --mount --uts --ipc --net --pid --root"
        text = f'#!/bin/sh\nexec {enter} /bin/sh -c \'cd; exec /bin/sh "$@"\' sh "$@"\n'
        shell.write_text(text, encoding="utf-8")
        shell.chmod(0o755)
        kept = {"ansible_connection": "netless.qga.guest_agent", "ansible_qga_endpoint": agent.endpoint}
        self._variables: dict[str, dict[str, t.Any]] = {
            _KEPT: kept,
            _NEW: {**kept, "ansible_qga_warm": False},
            _LOCAL: {"ansible_connection": "local", "ansible_remote_tmp": f"{shared}/tmp", "ansible_pipelining": True},
        }
        self._environment = {_LOCAL: {"ANSIBLE_EXECUTABLE": str(shell)}}

    def run(self, play: Path, way: str, number: int) -> Sample:
        """Run a play.

        :param number: for the names that it uses; a new one for each run.
        """
        variables = {**self._variables[way], "ansible_python_interpreter": "/usr/bin/python3", "number": number}
        command = [str(Path(sys.executable).with_name("ansible-playbook")), "-i", "guest,", str(play)]
        environment = {**os.environ, "ANSIBLE_COLLECTIONS_PATH": self._collections, "LC_ALL": "C.UTF-8"}
        environment.update(self._environment.get(way, {}))
        before = self.processes.cpu_seconds()
        started = time.monotonic()
        subprocess.run([*command, "-e", json.dumps(variables)], env=environment, check=True, stdout=subprocess.DEVNULL)
        seconds = time.monotonic() - started
        self.processes.wait_until_idle()
        return Sample(seconds, self.processes.cpu_seconds() - before)


def run(rounds: int) -> None:
    """Measure, and print the tables."""
    samples: dict[str, dict[str, list[Sample]]] = {}
    memory = 0
    with (
        tempfile.TemporaryDirectory(prefix="netless-bench-") as name,
        sandbox.SandboxedAgent(trees.build(_SUITE)) as agent,
        collection_to_import() as collections,
    ):
        directory = Path(name)
        guest = Guest(agent, directory, collections)
        number = 0
        for dummy in range(rounds):
            for title, play in plays(directory).items():
                for way in _WAYS:
                    number += 1
                    samples.setdefault(title, {}).setdefault(way, []).append(guest.run(play, way, number))
            memory = max(memory, guest.processes.largest_server)
    _print_table("seconds", samples, _WAYS, lambda sample: sample.seconds)
    # What local starts is no child of a process in the sandbox, and not counted there.
    _print_table("the guest's CPU time", samples, (_NEW, _KEPT), lambda sample: sample.guest_cpu)
    print(f"A kept interpreter has {memory / 1024 / 1024:.1f} MiB of its own.")


def _print_table(
    title: str,
    samples: dict[str, dict[str, list[Sample]]],
    ways: tuple[str, ...],
    value: t.Callable[[Sample], float],
) -> None:
    """Print the medians of each way, and those of the ratios of kept interpreters to the others."""
    others = [way for way in ways if way != _KEPT]
    titles = "".join(f"{way:>10}" for way in ways) + "".join(f"{f'kept/{other}':>12}" for other in others)
    print(f"\n{title + ', medians':30}{titles}")
    for name, runs in samples.items():
        columns = {way: [value(sample) for sample in runs[way]] for way in ways}
        row = "".join(f"{statistics.median(columns[way]):10.2f}" for way in ways)
        for other in others:
            pairs = [kept / against for kept, against in zip(columns[_KEPT], columns[other]) if against]
            row += f"{statistics.median(pairs):12.2f}" if pairs else f"{'-':>12}"
        print(f"{name:30}{row}")


def main() -> None:
    """Run the program's command line."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.sandbox", description=__doc__)
    parser.add_argument("--rounds", type=int, default=3, help="by default %(default)s")
    run(parser.parse_args().rounds)


if __name__ == "__main__":
    main()
