# Copyright (c) 2026, the netless.qga authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Measures how much faster Ansible works on four virtual machines in parallel than one after the other.

``make bench``, or ``python -m benchmarks.forks`` in the virtual environment that benchmarks/setup.sh has made. It
starts the lab's fleet, and removes it at the end. The gain is at most the number of the machine's processors where
guests are emulated, or only compute.
"""

from __future__ import annotations

import argparse
import os
import statistics
import subprocess
import sys
import time
from pathlib import Path

from .framing import collection_to_import
from .vm import started_lab

FORKS = (1, 4)


def seconds(inventory: Path, collections: str, forks: int) -> float:
    """Return how many seconds the same few tasks take on the whole fleet."""
    command = [str(Path(sys.executable).with_name("ansible")), "-i", str(inventory), "fleet", "--forks", str(forks)]
    command += ["-m", "ansible.builtin.ping", "-e", "ansible_python_interpreter=/usr/bin/python3"]
    started = time.monotonic()
    environment = {**os.environ, "ANSIBLE_COLLECTIONS_PATH": collections, "LC_ALL": "C.UTF-8"}
    subprocess.run(command, env=environment, check=True, stdout=subprocess.DEVNULL)
    return time.monotonic() - started


def main() -> None:
    """Run the program's command line."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.forks", description=__doc__)
    parser.add_argument("--rounds", type=int, default=3, help="by default %(default)s")
    options = parser.parse_args()
    with started_lab("fleet") as lab, collection_to_import() as collections:
        # The first run after a start finds empty caches in the guests.
        seconds(lab.inventory, collections, max(FORKS))
        rounds = [[seconds(lab.inventory, collections, forks) for forks in FORKS] for dummy in range(options.rounds)]
    one, four = (statistics.median(samples) for samples in zip(*rounds))
    print(f"ping on 4 virtual machines, on a machine with {os.cpu_count()} processors:")
    print(f"{one:.1f} s with --forks 1, {four:.1f} s with --forks 4, which is {one / four:.1f} times as fast")


if __name__ == "__main__":
    main()
