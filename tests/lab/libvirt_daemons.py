# Copyright (c) 2026, the netless.qga authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The libvirt daemons that serve qemu:///system.

The lab starts them where they do not run, for example in a container without an init system.
"""

from __future__ import annotations

import os
import pathlib
import socket
import subprocess
import time
from collections.abc import Sequence

from . import daemons

URI = "qemu:///system"

_START_TIMEOUT = 30.0
_LOG_DAEMON_SOCKET = "/run/libvirt/virtlogd-sock"
_CONFIGURATION = 'user = "root"\ngroup = "root"\n'
"""Where libvirt's usual user may not use /dev/kvm, libvirtd keeps probing QEMU, a minute for every domain."""
_RUN_CONFIGURED = 'mount --bind "$1" /etc/libvirt/qemu.conf && shift && exec "$@"'


def virsh(*arguments: str) -> str:
    """Run a command of virsh and return what it prints.

    :raises RuntimeError: it failed; the message is virsh's.
    """
    result = subprocess.run(
        ["virsh", "--connect", URI, "--quiet", *arguments],
        stdin=subprocess.DEVNULL,
        check=False,
        capture_output=True,
        text=True,
        env={**os.environ, "LC_ALL": "C"},
    )
    if result.returncode != 0:
        raise RuntimeError(f"virsh {arguments[0]}: {result.stderr.strip()}")
    return result.stdout


class Libvirt:
    """The daemons that the lab has started: their pidfiles are in ``directory``."""

    def __init__(self, directory: pathlib.Path) -> None:
        self._configuration = directory / "qemu.conf"
        self._pidfiles = {name: directory / f"{name}.pid" for name in ("virtlogd", "libvirtd")}

    def start(self) -> None:
        """Start the daemons unless libvirt answers already, and return when it does.

        :raises RuntimeError: they do not start.
        """
        if _answers():
            return
        if not _listens(_LOG_DAEMON_SOCKET):
            self._start_daemon("virtlogd")
        # The mount is in a namespace that ends with the daemon, so the machine's own configuration stays as it is.
        self._configuration.write_text(_CONFIGURATION, encoding="ascii")
        configured = ["unshare", "--mount", "sh", "-c", _RUN_CONFIGURED, "sh", str(self._configuration)]
        self._start_daemon("libvirtd", configured)
        deadline = time.monotonic() + _START_TIMEOUT
        while not _answers():
            if time.monotonic() > deadline:
                raise RuntimeError(f"libvirtd was started but does not answer on {URI}")
            time.sleep(0.2)

    def restart(self) -> None:
        """End libvirtd and start it again, while the domains keep running.

        :raises RuntimeError: the lab did not start libvirtd, or it does not start again.
        """
        pidfile = self._pidfiles["libvirtd"]
        if daemons.process_of(pidfile) is None:
            raise RuntimeError("the lab did not start this libvirtd")
        daemons.end(pidfile)
        self.start()

    def end(self) -> None:
        """End the daemons that :meth:`start` has started."""
        for name in ("libvirtd", "virtlogd"):
            daemons.end(self._pidfiles[name])

    def _start_daemon(self, name: str, prefix: Sequence[str] = ()) -> None:
        command = [*prefix, name, "--daemon", "--pid-file", str(self._pidfiles[name])]
        result = subprocess.run(command, stdin=subprocess.DEVNULL, check=False, capture_output=True, text=True)
        if result.returncode != 0:
            raise RuntimeError(f"{name} did not start: {result.stderr.strip()}")


def _answers() -> bool:
    try:
        virsh("uri")
    except RuntimeError:
        return False
    return True


def _listens(path: str) -> bool:
    with socket.socket(socket.AF_UNIX) as client:
        try:
            client.connect(path)
        except OSError:
            return False
    return True
