# Copyright (c) 2026, the netless.qga authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Measure what a task's process loads for its connection, next to ansible-core's ssh.

Ansible forks a process for each task, which loads the connection plugin again. ansible-core compiles the Python files
of a collection from their source each time and keeps no bytecode, so every module costs time in every task.

``make bench``, or ``python3 benchmarks/imports.py`` with a Python that has ansible-core. A run is a new process that
has loaded what a process of ansible-playbook has, then loads the plugin, sets its options and connects to an endpoint
where no agent is: through a process that earlier runs have started, or alone, with ``persist: 0``. Every number is the
median of the runs. The runs of the connections alternate.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import time
import typing as t
from dataclasses import asdict, dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
OUR_PACKAGE = "ansible_collections.netless.qga"
PLUGIN = "netless.qga.guest_agent"
SSH = "ssh"
# No agent is there. libvirt's test driver runs in this process and has a domain "test".
_UNIX = "unix:/nonexistent/qga.sock"
_LIBVIRT = {"ansible_qga_endpoint": "libvirt", "ansible_libvirt_uri": "test:///default"}
# Long enough for the next run, which then finds the process that keeps the channel.
_SHARED = {"ansible_qga_persist": "10"}
_ALONE = {"ansible_qga_persist": "0"}
CONNECTIONS: dict[str, tuple[str, dict[str, str]]] = {
    SSH: ("ansible.builtin.ssh", {}),
    "unix:PATH": (PLUGIN, {"ansible_qga_endpoint": _UNIX, **_SHARED}),
    "libvirt": (PLUGIN, {**_LIBVIRT, **_SHARED}),
    "unix, alone": (PLUGIN, {"ansible_qga_endpoint": _UNIX, **_ALONE}),
    "libvirt, alone": (PLUGIN, {**_LIBVIRT, **_ALONE}),
}
"""The plugin and the variables of each connection that is measured."""
MIN_RUNS = 9


@dataclass(frozen=True)
class Loaded:
    """What one process has loaded.

    :param ours: the files of this collection.
    :param modules: how many modules in all.
    :param cpu: processor time in seconds, the user's and the system's.
    :param error: why connecting has failed.
    """

    ours: list[str]
    modules: int
    cpu: float
    error: str


def load(name: str) -> Loaded:
    """Load a connection in this process, as a task does."""
    from ansible.errors import AnsibleError
    from ansible.executor import playbook_executor, task_executor  # noqa: F401  # pylint: disable=unused-import
    from ansible.playbook.play_context import PlayContext
    from ansible.plugins.loader import connection_loader, init_plugin_loader

    init_plugin_loader([])
    plugin, variables = CONNECTIONS[name]
    before = set(sys.modules)
    error = ""
    started = time.process_time()
    connection = connection_loader.get(plugin, PlayContext())
    connection.set_options(var_options={"inventory_hostname": "test", "ansible_host": "test", **variables})
    try:
        connection._connect()  # pylint: disable=protected-access
    except AnsibleError as exc:
        error = str(exc)
    cpu = time.process_time() - started
    added = set(sys.modules) - before
    # A package without a file, as netless.qga.plugins, costs nothing that we could save.
    ours = sorted(module for module in added if module.startswith(OUR_PACKAGE) and _has_file(module))
    return Loaded(ours, len(added), cpu, error)


def _has_file(module: str) -> bool:
    return str(getattr(sys.modules[module], "__file__", None)).endswith(".py")


def measure(name: str, collections: str) -> Loaded:
    """Load a connection in a new process."""
    environment = {key: value for key, value in os.environ.items() if not key.startswith("ANSIBLE_")}
    environment.update(
        ANSIBLE_COLLECTIONS_PATH=collections, ANSIBLE_CONFIG=str(ROOT / "benchmarks" / "ansible.cfg"), LC_ALL="C.UTF-8"
    )
    command = [sys.executable, "-P", __file__, "--load", name]
    result = subprocess.run(command, env=environment, check=True, stdout=subprocess.PIPE)
    members: dict[str, t.Any] = json.loads(result.stdout)
    return Loaded(**members)


def table(runs: dict[str, list[Loaded]]) -> str:
    """Return a row of medians for each connection."""
    ssh = _median_cpu(runs[SSH])
    lines = [f"{'connection':15}{'our files':>11}{'modules':>11}{'CPU time':>13}{'more than ssh':>16}{'ratio':>9}"]
    for name, loaded in runs.items():
        cpu = _median_cpu(loaded)
        ours = statistics.median(len(each.ours) for each in loaded)
        modules = statistics.median(each.modules for each in loaded)
        more = f"{(cpu - ssh) * 1000:.0f} ms"
        lines.append(f"{name:15}{ours:11.0f}{modules:11.0f}{cpu * 1000:10.0f} ms{more:>16}{cpu / ssh:9.2f}")
    return "\n".join(lines)


def _median_cpu(loaded: list[Loaded]) -> float:
    return statistics.median(each.cpu for each in loaded)


def run(rounds: int, show_files: bool) -> None:
    """Measure all connections, and print the table."""
    sys.path.insert(0, str(ROOT))
    from benchmarks.framing import collection_to_import

    runs: dict[str, list[Loaded]] = {name: [] for name in CONNECTIONS}
    with collection_to_import() as collections:
        for name in CONNECTIONS:
            # Leaves Python's and Ansible's own bytecode, and the files in the machine's cache.
            measure(name, collections)
        for dummy in range(rounds):
            for name, loaded in runs.items():
                loaded.append(measure(name, collections))
    print(table(runs))
    for name, loaded in runs.items():
        if show_files:
            files = [module.removeprefix(f"{OUR_PACKAGE}.plugins.") for module in loaded[0].ours]
            print(f"\n{name}:", *files, sep="\n    ")
        if loaded[0].error:
            print(f"\n{name} ended with: {loaded[0].error}")


def main() -> None:
    """Run the program's command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=15, help=f"at least {MIN_RUNS}; by default %(default)s")
    parser.add_argument("--files", action="store_true", help="list the files of this collection that are loaded")
    parser.add_argument("--load", choices=CONNECTIONS, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.load:
        print(json.dumps(asdict(load(options.load))))
    elif options.rounds < MIN_RUNS:
        parser.error(f"a median needs at least {MIN_RUNS} rounds")
    else:
        run(options.rounds, options.files)


if __name__ == "__main__":
    main()
