# Copyright (c) 2026, the netless.qga authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Measures how long tasks and transfers take, next to other connections to the same virtual machine.

``make bench``, or ``python -m benchmarks.vm`` in the virtual environment that benchmarks/setup.sh has made. It starts
the guest ssh of the lab, which has agents and, for the comparison, a network, and removes it at the end. The
connections alternate, task by task. The ratios matter; the absolute figures depend on the machine.
"""

from __future__ import annotations

import argparse
import contextlib
import importlib.metadata
import json
import os
import platform
import signal
import subprocess
import sys
import sysconfig
import tempfile
import time
import typing as t
from collections.abc import Iterator
from pathlib import Path

from . import agent_processes, chart, plays, records, tables
from .connections import Connection, Lab
from .figures import MIB, series
from .framing import collection_to_import

ROOT = Path(__file__).resolve().parent.parent
BENCHMARKS = ROOT / "benchmarks"
PEERS = ROOT / ".cache" / "bench" / "collections"
RESULTS = ROOT / "docs" / "docsite" / "images"


@contextlib.contextmanager
def started_lab(guest: str) -> Iterator[Lab]:
    """Start a lab, and remove it at the end whatever happens."""
    with tempfile.TemporaryDirectory(prefix="netless-bench-") as directory:
        state = Path(directory, "lab")
        lab = [sys.executable, "-m", "tests.lab"]
        try:
            subprocess.run([*lab, "up", "--state", str(state), guest], cwd=ROOT, check=True)
            yield Lab(state / "inventory.yml", guest)
        finally:
            # In a session of its own, so that a signal that ends this program does not end the removal.
            subprocess.run([*lab, "down", "--state", str(state)], cwd=ROOT, check=False, start_new_session=True)


def write_files_to_copy(workspace: Path) -> None:
    """Write 4 MiB of random bytes, and 4 MiB of text: the sources of Python's standard library."""
    (workspace / "random").write_bytes(os.urandom(4 * MIB))
    text = bytearray()
    for source in sorted(Path(sysconfig.get_path("stdlib")).glob("*.py")):
        text += source.read_bytes()
    (workspace / "text").write_bytes((text * (4 * MIB // len(text) + 1))[: 4 * MIB])


def measure(lab: Lab, connections: list[Connection], *, rounds: int, repeats: int) -> list[dict[str, t.Any]]:
    """Run the playbook of the measurements, and return the records."""
    processes = agent_processes.find(lab.observer, {connection.unit for connection in connections if connection.unit})
    agents = {connection.host: processes[connection.unit] for connection in connections if connection.unit}
    with tempfile.TemporaryDirectory(prefix="netless-bench-") as directory, collection_to_import() as collections:
        workspace = Path(directory)
        write_files_to_copy(workspace)
        lab.write_inventory(workspace / "compared.yml")
        plays.write(
            workspace / "playbook.json",
            [connection.host for connection in connections],
            rounds=rounds,
            repeats=repeats,
            workspace=workspace,
        )
        recorded = workspace / "records"
        variables = {
            **{name: value for name, value in os.environ.items() if not name.startswith("ANSIBLE_")},
            **agent_processes.environment(lab.observer, agents),
            "BENCHMARK_RECORDS": str(recorded),
            "PYTHONPATH": str(ROOT),
            "ANSIBLE_CONFIG": str(BENCHMARKS / "ansible.cfg"),
            "ANSIBLE_COLLECTIONS_PATH": f"{collections}:{PEERS}",
            "LC_ALL": "C.UTF-8",
        }
        command = [str(Path(sys.executable).parent / "ansible-playbook"), "-i", str(lab.inventory)]
        command += ["-i", str(workspace / "compared.yml"), str(workspace / "playbook.json")]
        subprocess.run(command, env=variables, check=True)
        return records.read(recorded)


def environment(rounds: int, repeats: int) -> dict[str, t.Any]:
    """Return the versions and the machine that the figures are from."""
    manifest = PEERS / "ansible_collections" / "community" / "libvirt" / "MANIFEST.json"
    return {
        "date": time.strftime("%Y-%m-%d", time.gmtime()),
        "rounds": rounds,
        "repeats": repeats,
        "python": platform.python_version(),
        "ansible-core": importlib.metadata.version("ansible-core"),
        "community.libvirt": json.loads(manifest.read_text(encoding="utf-8"))["collection_info"]["version"],
        "processors": os.cpu_count(),
    }


def run(lab: Lab, options: argparse.Namespace) -> None:
    """Measure, print the tables, and write the files."""
    connections, started = lab.connections(), time.monotonic()
    recorded = measure(lab, connections, rounds=options.rounds, repeats=options.repeats)
    found = series(recorded, options.repeats)
    print(f"\nmeasured in {time.monotonic() - started:.0f} s\n")
    print(tables.text(found, recorded, connections, options.repeats))
    options.results.mkdir(parents=True, exist_ok=True)
    results = {
        "about": environment(options.rounds, options.repeats),
        **tables.plain(found, recorded, connections, options.repeats),
    }
    (options.results / "benchmarks.json").write_text(json.dumps(results, indent=2) + "\n", encoding="utf-8")
    chart.draw(found, connections, options.results / "benchmarks.png")
    print(f"written to {options.results}/benchmarks.json and benchmarks.png", flush=True)


def main() -> None:
    """Run the program's command line."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.vm", description=__doc__)
    parser.add_argument("--rounds", type=int, default=3, help="by default %(default)s")
    parser.add_argument(
        "--repeats", type=int, default=3, help="pings, and commands, in a round; by default %(default)s"
    )
    parser.add_argument(
        "--results", type=Path, default=RESULTS, help="directory for the results, by default %(default)s"
    )
    parser.add_argument("--lab", type=Path, help="inventory of a running lab; by default a lab is started")
    parser.add_argument("--guest", default="ssh", help="guest of the lab, by default %(default)s")
    options = parser.parse_args()
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, lambda received, frame: sys.exit(128 + received))
    try:
        if options.lab:
            run(Lab(options.lab, options.guest), options)
        else:
            with started_lab(options.guest) as lab:
                run(lab, options)
    except subprocess.CalledProcessError as error:
        sys.exit(f"bench: {Path(error.cmd[0]).name} failed with {error.returncode}")


if __name__ == "__main__":
    main()
