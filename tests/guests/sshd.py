# Copyright (c) 2026, the netless.qga authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Access to this machine by ssh, for libvirt and for relays."""

from __future__ import annotations

import contextlib
import os
import pathlib
import shutil
import signal
import socket
import subprocess
import time
import typing as t


class Sshd:
    """An sshd on the loopback, with keys of its own. Use it in a ``with`` block.

    :param directory: for the keys and the log.
    """

    def __init__(self, directory: pathlib.Path) -> None:
        self._directory = directory
        self.key = directory / "key"
        """The private key that logs root in. The one of the server is ``host``, next to it."""
        self.log = directory / "sshd.log"
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.port = free.getsockname()[1]

    def __enter__(self) -> Sshd:
        for name in ("key", "host"):
            subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", self._directory / name], check=True)
        options = [
            f"ListenAddress=127.0.0.1:{self.port}",
            f"HostKey={self._directory / 'host'}",
            f"AuthorizedKeysFile={self.key}.pub",
            "StrictModes=no",
            "UsePAM=no",
            "PermitRootLogin=yes",
            "PidFile=none",
        ]
        # sshd executes itself again for every connection, and needs its absolute path for that.
        program = shutil.which("sshd", path=os.defpath + ":/usr/sbin") or "sshd"
        pathlib.Path("/run/sshd").mkdir(exist_ok=True)
        with self.log.open("wb") as log:
            self._process = subprocess.Popen(
                [program, "-D", "-e", "-f", os.devnull, *(word for option in options for word in ("-o", option))],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
            )
        ends = time.monotonic() + 10
        while time.monotonic() < ends:
            with contextlib.suppress(ConnectionRefusedError), socket.create_connection(("127.0.0.1", self.port)):
                return self
            time.sleep(0.1)
        self._process.kill()
        self._process.wait()
        raise RuntimeError(f"sshd does not start: {self.log.read_text(encoding='utf-8')}")

    def __exit__(self, *exception: object) -> None:
        self._process.terminate()
        self._process.wait()

    @property
    def pid(self) -> int:
        """The process ID of the server, whose children serve one login each."""
        return self._process.pid

    @property
    def login(self) -> list[str]:
        """The command that logs in, and takes the command to run after it."""
        options = {
            "BatchMode": "yes",
            "IdentitiesOnly": "yes",
            "LogLevel": "ERROR",
            "StrictHostKeyChecking": "no",
            "UserKnownHostsFile": os.devnull,
        }
        words = [f"-o{name}={value}" for name, value in options.items()]
        return ["ssh", "-F", "none", *words, "-p", str(self.port), "-i", str(self.key), "root@127.0.0.1"]

    @property
    def uri(self) -> str:
        """The URI of this machine's libvirtd through the server."""
        return f"qemu+ssh://root@127.0.0.1:{self.port}/system?keyfile={self.key}&no_verify=1&no_tty=1"

    @contextlib.contextmanager
    def stopped(self) -> t.Iterator[None]:
        """Stop the server, as if the network were broken: nothing answers, and nothing is refused."""
        parents, stopped = {self._process.pid}, []
        for path in sorted(pathlib.Path("/proc").glob("[0-9]*"), key=lambda path: int(path.name)):
            with contextlib.suppress(OSError):
                parent = int((path / "stat").read_text(encoding="ascii").rpartition(")")[2].split()[1])
                if parent in parents:
                    parents.add(int(path.name))
                    stopped.append(int(path.name))
        for process in stopped:
            os.kill(process, signal.SIGSTOP)
        try:
            yield
        finally:
            for process in stopped:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(process, signal.SIGCONT)
