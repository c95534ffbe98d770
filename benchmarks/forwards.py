# Copyright (c) 2026, the netless.qga authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Compares a remote forward with the copying of files, in a guest that costs no emulation: a sandbox.

``make bench``, or ``python -m benchmarks.forwards`` in the virtual environment that benchmarks/setup.sh has made. Needs
root. The ways alternate, and each figure is a median. A program in the guest measures one connection through the
forward; its end on the controller is a server in another process. apt in the guest installs a package with its
dependency from a repository on the controller, and dpkg installs the same files after they were copied.
"""

from __future__ import annotations

import argparse
import importlib
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from tests.guests import http_destination, package_repository, sandbox, trees

from .framing import collection_to_import

_SUITE = "bookworm"
_SIZE = 32_000_000
_PACKAGE_SIZE = 10_000_000
_PACKAGE = "ansible_collections.netless.qga.plugins.module_utils."

# Prints the seconds that each way takes: to the guest, from the guest, and a small request.
_USE = f"""\
import fcntl,os,socket,struct,time,urllib.request as u
def timed(function):
    started=time.perf_counter();function();print(time.perf_counter()-started)
url="http://127.0.0.1:3128/"
timed(lambda:u.urlopen(url+"{_SIZE}").read())
data=os.urandom({_SIZE})
timed(lambda:u.urlopen(u.Request(url,data,method="PUT")).read())
timed(lambda:u.urlopen(url+"100").read())
"""


class Guest:
    """The parts of the collection that the measurements use."""

    def __init__(self, endpoint: str, port: int, repository_port: int) -> None:
        parts = [
            ("_agent.target", "Target"),
            ("_channels.address", "Address"),
            ("_deadline", "Deadline"),
            ("_guest.files.files", "Files"),
            ("_guest.programs.runner", "ProgramRunner"),
            ("_guest.forwards.forwarder", "Forwarder"),
            ("_guest.forwards.destinations", "Forward"),
        ]
        modules = [getattr(importlib.import_module(_PACKAGE + module), name) for module, name in parts]
        target, address, self._deadline, files, runner, forwarder, forward = modules
        self.agent = target(address(endpoint, "", "")).agent(validate_replies=False, limit_each_reply=True)
        self._files = files(self.agent)
        self._programs = runner(self.agent, self._files)
        self._forwarder = forwarder("bench", self.agent, self._files, [forward(3128, "127.0.0.1", port)])
        repository = [forward(3129, "127.0.0.1", repository_port)]
        self._repository = forwarder("repository", self.agent, self._files, repository)

    def python(self, script: str) -> list[float]:
        """Run a script in the guest, and return the numbers that it prints."""
        return [float(line) for line in self._run("/usr/bin/python3", "-c", script).split()]

    def _run(self, *argv: str) -> bytes:
        """Run a program in the guest, and return what it prints."""
        completed = self._programs.run(argv, deadline=self._deadline.after(300))
        if completed.rc:
            sys.exit(completed.stderr.decode())
        return bytes(completed.stdout)

    def prepare_apt(self, key: Path) -> None:
        """Have apt use the repository only, through its forward."""
        deadline = self._deadline.after(300)
        self._files.put(str(key), "/etc/apt/trusted.gpg.d/netless.gpg", deadline=deadline)
        source = b"deb http://127.0.0.1:3129 test main\n"
        self._files.write_bytes("/etc/apt/sources.list", source, deadline=deadline)
        with self._repository.running(deadline):
            self._run("/bin/sh", "-c", "chmod a+r /etc/apt/trusted.gpg.d/netless.gpg; apt-get -q update >&2")

    def install(self, pool: Path) -> list[float]:
        """Return the seconds to install a package by apt, to copy its files, and to install them by dpkg."""
        deadline = self._deadline.after(300)
        remove = "dpkg --purge netless-large netless-lib && apt-get clean"
        started = time.monotonic()
        with self._repository.running(deadline):
            self._run("apt-get", "--assume-yes", "install", "netless-large")
        installed = time.monotonic() - started
        self._run("/bin/sh", "-c", remove)
        started = time.monotonic()
        for name in ("netless-lib_1.5+test1_all.deb", "netless-large_1.0_all.deb"):
            self._files.put(str(pool / name), f"/root/{name}", deadline=deadline)
        copied = time.monotonic() - started
        self._run("/bin/sh", "-c", "dpkg --install /root/*.deb")
        by_dpkg = time.monotonic() - started
        self._run("/bin/sh", "-c", f"{remove}; rm /root/*.deb")
        return [installed, copied, by_dpkg]

    def measure(self, path: str) -> list[float]:
        """Return the seconds of a put, a get, and of a stream to and from the guest and a small request."""
        deadline = self._deadline.after(300)
        started = time.monotonic()
        self._files.put(path, "/root/copied", deadline=deadline)
        middle = time.monotonic()
        self._files.get("/root/copied", f"{path}.back", deadline=deadline)
        copied = [middle - started, time.monotonic() - middle]
        with self._forwarder.running(deadline):
            return copied + self.python(_USE)

    def close(self) -> None:
        """Remove what is left in the guest."""
        self._programs.close()
        self.agent.close()


def main() -> None:
    """Run the program's command line."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.forwards", description=__doc__)
    parser.add_argument("--rounds", type=int, default=5, help="by default %(default)s")
    options = parser.parse_args()
    with (
        tempfile.TemporaryDirectory() as directory,
        collection_to_import() as collections,
        http_destination.serving() as port,
        sandbox.SandboxedAgent(trees.build(_SUITE)) as agent,
        subprocess.Popen(
            [sys.executable, package_repository.__file__, directory, str(_PACKAGE_SIZE)],
            stdout=subprocess.PIPE,
            text=True,
        ) as repository,
    ):
        sys.path.insert(0, str(collections))
        os.environ["XDG_RUNTIME_DIR"] = directory
        path = Path(directory, "file")
        path.write_bytes(os.urandom(_SIZE))
        url = repository.stdout.readline().strip() if repository.stdout else ""
        guest = Guest(agent.endpoint, port, int(url.rpartition(":")[2]))
        guest.prepare_apt(Path(directory, "key.gpg"))
        pool = Path(directory, "repository/pool")
        rounds = [guest.measure(str(path)) + guest.install(pool) for dummy in range(options.rounds)]
        guest.close()
        repository.kill()
    medians = [statistics.median(samples) for samples in zip(*rounds)]
    put, get, to_guest, from_guest, small, by_apt, copied, by_dpkg = medians
    mb = _SIZE / 1e6
    print(f"a file of {mb:.0f} MB that cannot be compressed, MB/s:")
    print(f"to the guest    put {mb / put:.1f}, forward {mb / to_guest:.1f}, {put / to_guest:.2f} times as fast")
    print(f"from the guest  get {mb / get:.1f}, forward {mb / from_guest:.1f}, {get / from_guest:.2f} times as fast")
    print(f"a small request takes {1000 * small:.0f} ms")
    print(
        f"a package of {_PACKAGE_SIZE / 1e6:.0f} MB and its dependency: apt through the forward {by_apt:.1f} s; its "
        f"files copied in {copied:.1f} s, and installed by dpkg after {by_dpkg:.1f} s"
    )


if __name__ == "__main__":
    main()
