# Copyright (c) 2026, the netless.qga authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Compares clients: the collection on a socket, the collection over libvirt, and community.libvirt's libvirt_qemu.

``make conformance`` runs it, or ``python -m tests.conformance.comparison`` in an environment with ansible-core,
jsonschema and libvirt-python. It starts a guest of the lab for the two clients that use libvirt, and removes it at the
end. Each client is the command ``ansible`` with the default options of its connection.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import pathlib
import shlex
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence

from .cases import CASES
from .libvirt_channel import GUEST
from .table import COLUMNS, table

_PACKAGE = str(__package__)
_ROOT = pathlib.Path(__file__).resolve().parents[2]
_PEERS = _ROOT / ".cache" / "bench" / "collections"
_OPTIONS = {
    "unix": "ansible_connection=netless.qga.guest_agent ansible_qga_endpoint=unix:{endpoint}",
    "libvirt": "ansible_connection=netless.qga.guest_agent ansible_host={endpoint}",
    "libvirt_qemu": "ansible_connection=community.libvirt.libvirt_qemu ansible_host={endpoint}",
}


def client(column: str) -> str:
    """Return the command line of a client."""
    ansible = pathlib.Path(sys.executable).with_name("ansible")
    # libvirt_qemu runs the command of the module raw without a shell.
    command = [str(ansible), "guest", "-i", "guest,", "-m", "ansible.builtin.raw", "-a", "/bin/sh -c '{command}'"]
    return shlex.join([*command, "-e", _OPTIONS[column]])


@contextlib.contextmanager
def started_lab(directory: pathlib.Path) -> Iterator[None]:
    """Start a guest under libvirt, and remove it at the end."""
    lab = [sys.executable, "-m", "tests.lab"]
    try:
        subprocess.run([*lab, "up", "--state", str(directory), GUEST], cwd=_ROOT, check=True)
        yield
    finally:
        # In a session of its own, so that a signal that ends this program does not end the removal.
        subprocess.run([*lab, "down", "--state", str(directory)], cwd=_ROOT, check=False, start_new_session=True)


def run(column: str, lab: pathlib.Path, results: pathlib.Path, cases: Sequence[str]) -> None:
    """Run cases against one client.

    :param cases: the names of the cases; by default all.
    :raises CalledProcessError: the tool itself failed.
    """
    print(f"\n{COLUMNS[column]}", flush=True)
    command = [sys.executable, "-m", _PACKAGE, "--client", client(column), "--results", str(results / f"{column}.json")]
    command += [word for case in cases for word in ("--case", case)]
    if column != "unix":
        command += ["--libvirt", str(lab)]
    collections = os.environ.get("ANSIBLE_COLLECTIONS_PATH", "")
    environment = {**os.environ, "ANSIBLE_COLLECTIONS_PATH": f"{collections}:{_PEERS}", "LC_ALL": "C.UTF-8"}
    # Its exit status 1 is that of a client that failed a case.
    rc = subprocess.run(command, env=environment, check=False).returncode
    if rc not in (0, 1):
        raise subprocess.CalledProcessError(rc, command)


def main() -> None:
    """Run the clients, and print the tables."""
    parser = argparse.ArgumentParser(prog=f"python -m {_PACKAGE}.comparison", description=__doc__)
    parser.add_argument("--column", action="append", choices=list(COLUMNS), help="one client; may be repeated")
    parser.add_argument("--case", action="append", choices=[case.name for case in CASES], help="may be repeated")
    parser.add_argument("--results", type=pathlib.Path, help="a directory for the results, as JSON")
    options = parser.parse_args()
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, lambda received, frame: sys.exit(128 + received))
    columns = [column for column in COLUMNS if not options.column or column in options.column]
    with tempfile.TemporaryDirectory(prefix="netless-", dir="/tmp") as directory, contextlib.ExitStack() as stack:
        lab, results = pathlib.Path(directory, "lab"), options.results or pathlib.Path(directory)
        results.mkdir(parents=True, exist_ok=True)
        if columns != ["unix"]:
            stack.enter_context(started_lab(lab))
        for column in columns:
            run(column, lab, results, options.case or [])
        print(table({column: json.loads((results / f"{column}.json").read_text("utf-8")) for column in columns}))


if __name__ == "__main__":
    main()
