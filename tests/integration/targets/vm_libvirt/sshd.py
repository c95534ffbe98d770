# Copyright (c) 2026, the netless.qga authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Access to this machine's libvirtd by ssh."""

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
    """An sshd on the loopback, with keys of its own, and the URI of this machine's libvirtd through it."""

    def __init__(self, directory: pathlib.Path) -> None:
        self._directory = directory
        self._key = directory / "key"
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self._port = free.getsockname()[1]

    def __enter__(self) -> Sshd:
        for name in ("key", "host"):
            subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", self._directory / name], check=True)
        options = [
            f"ListenAddress=127.0.0.1:{self._port}",
            f"HostKey={self._directory / 'host'}",
            f"AuthorizedKeysFile={self._key}.pub",
            "StrictModes=no",
            "UsePAM=no",
            "PermitRootLogin=yes",
            "PidFile=none",
        ]
        # sshd executes itself again for every connection, and needs its absolute path for that.
        program = shutil.which("sshd", path=os.defpath + ":/usr/sbin") or "sshd"
        pathlib.Path("/run/sshd").mkdir(exist_ok=True)
        self._process = subprocess.Popen(
            [program, "-D", "-e", "-f", os.devnull, *(word for option in options for word in ("-o", option))],
            stderr=subprocess.DEVNULL,
        )
        ends = time.monotonic() + 10
        while time.monotonic() < ends:
            with contextlib.suppress(ConnectionRefusedError), socket.create_connection(("127.0.0.1", self._port)):
                return self
            time.sleep(0.1)
        raise RuntimeError("sshd does not start")

    def __exit__(self, *exception: object) -> None:
        self._process.terminate()
        self._process.wait()

    @property
    def uri(self) -> str:
        return f"qemu+ssh://root@127.0.0.1:{self._port}/system?keyfile={self._key}&no_verify=1&no_tty=1"

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
