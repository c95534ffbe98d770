# Copyright (c) 2026, the netless.qga authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Measures how the time of a play grows with the number of guests: real agents, each in a sandbox of its own.

``make bench``, or ``python -m benchmarks.fleet`` in the virtual environment that benchmarks/setup.sh has made. Needs
root. It also counts the processes that a play leaves in the guests and on the controller.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from tests.guests import sandbox, trees

from .framing import collection_to_import
from .processes import Processes

_SUITE = "bookworm"
_TASKS = 10
_CONNECTION_PROCESS = b"_connection_process"


def connection_processes() -> int:
    """Return how many processes of this machine keep a channel open."""
    count = 0
    for process in Path("/proc").iterdir():
        with contextlib.suppress(OSError):
            count += _CONNECTION_PROCESS in (process / "cmdline").read_bytes()
    return count


def write_play(directory: Path, endpoints: list[str]) -> list[str]:
    """Write an inventory and a play of ten tasks, and return the arguments of ansible-playbook for them."""
    hosts = {f"guest{number}": {"ansible_qga_endpoint": endpoint} for number, endpoint in enumerate(endpoints)}
    variables = {"ansible_connection": "netless.qga.guest_agent", "ansible_python_interpreter": "/usr/bin/python3"}
    inventory = directory / "inventory.json"
    inventory.write_text(json.dumps({"all": {"hosts": hosts, "vars": variables}}), encoding="utf-8")
    play = directory / "play.json"
    tasks: list[dict[str, object]] = [{"ansible.builtin.ping": {}} for dummy in range(_TASKS)]
    play.write_text(json.dumps([{"hosts": "all", "gather_facts": False, "tasks": tasks}]), encoding="utf-8")
    return ["-i", str(inventory), str(play)]


def run(sizes: list[int], forks: int) -> None:
    """Measure, and print the table."""
    already = connection_processes()
    print(f"{_TASKS} tasks with --forks {forks}, on a machine with {os.cpu_count()} processors")
    print(f"{'guests':>8} {'seconds':>10} {'ms per task of a guest':>24}")
    with contextlib.ExitStack() as stack:
        directory = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="netless-bench-")))
        collections = stack.enter_context(collection_to_import())
        tree = trees.build(_SUITE)
        agents = [stack.enter_context(sandbox.SandboxedAgent(tree)) for dummy in range(max(sizes))]
        guests = [Processes(agent.pid) for agent in agents]
        environment = {**os.environ, "ANSIBLE_COLLECTIONS_PATH": collections, "LC_ALL": "C.UTF-8"}
        for size in sizes:
            arguments = write_play(directory, [agent.endpoint for agent in agents[:size]])
            command = [str(Path(sys.executable).with_name("ansible-playbook")), "--forks", str(forks), *arguments]
            started = time.monotonic()
            subprocess.run(command, env=environment, check=True, stdout=subprocess.DEVNULL)
            seconds = time.monotonic() - started
            print(f"{size:8} {seconds:10.1f} {seconds * 1000 / size / _TASKS:24.0f}", flush=True)
            for guest in guests:
                guest.wait_until_idle()
    deadline = time.monotonic() + 30
    while (left := connection_processes() - already) > 0 and time.monotonic() < deadline:
        time.sleep(0.1)
    print(f"Processes left: none in the guests, {max(left, 0)} on the controller")


def main() -> None:
    """Run the program's command line."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.fleet", description=__doc__)
    parser.add_argument("--guests", type=int, nargs="+", default=[25, 50, 100], help="by default %(default)s")
    parser.add_argument("--forks", type=int, default=20, help="by default %(default)s")
    options = parser.parse_args()
    run(options.guests, options.forks)


if __name__ == "__main__":
    main()
