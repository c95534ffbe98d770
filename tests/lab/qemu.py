# Copyright (c) 2026, the netless.qga authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A virtual machine straight under QEMU, without libvirt: its agents are on sockets, and on a serial line."""

from __future__ import annotations

import json
import pathlib
import socket
import subprocess

from . import daemons
from .machine import AGENT_CHANNEL, MEMORY_MIB, RESTRICTED_CHANNEL, SECOND_CHANNEL, Machine

_LONGEST_SOCKET_PATH = 107
"""Bytes; sun_path has 108 and ends with a NUL."""


class Qemu:
    """A QEMU in the background."""

    def __init__(self, directory: pathlib.Path) -> None:
        self.pidfile = directory / "qemu.pid"
        self.monitor = directory / "qmp.sock"
        """QMP socket, for one client at a time."""
        self.agent = directory / "agent.sock"
        self.restricted = directory / "restricted.sock"

    def start(self, machine: Machine) -> None:
        """Starts ``machine`` and returns at once; it goes on when this process ends.

        :raises RuntimeError: QEMU did not start.
        """
        for path in (self.monitor, self.agent, self.restricted):
            if len(bytes(path)) > _LONGEST_SOCKET_PATH:
                raise RuntimeError(f"{path} is too long for a socket; use a shorter --state")
        result = subprocess.run(self._command(machine), check=False, capture_output=True, text=True)
        if result.returncode != 0:
            raise RuntimeError(f"QEMU did not start {machine.name}: {result.stderr.strip()}")

    def endpoints(self) -> dict[str, str]:
        """Where the agents are, by the ids of their character devices.

        :raises OSError: QEMU does not run.
        """
        with socket.socket(socket.AF_UNIX) as client, client.makefile("rw", encoding="utf-8") as stream:
            client.connect(str(self.monitor))
            stream.readline()  # QEMU's greeting
            for command in ("qmp_capabilities", "query-chardev"):
                stream.write(json.dumps({"execute": command}) + "\n")
                stream.flush()
                reply = json.loads(stream.readline())
        # QEMU says which terminal and which port it got: pty:/dev/pts/1, disconnected:tcp:127.0.0.1:40123,server=on.
        devices = {device["label"]: str(device["filename"]) for device in reply["return"]}
        return {
            "unix": f"unix:{self.agent}",
            "tcp": "tcp:" + devices["second"].partition("tcp:")[2].partition(",")[0],
            "serial": "serial:" + devices["serial"].partition("pty:")[2],
            "restricted": f"unix:{self.restricted}",
        }

    def end(self) -> None:
        """Ends it if it runs."""
        daemons.end(self.pidfile)

    def _command(self, machine: Machine) -> list[str]:
        chardevs = {
            "console": f"file,path={_quoted(machine.console)}",
            "serial": "pty",
            "agent": f"socket,path={_quoted(self.agent)},server=on,wait=off",
            "second": "socket,host=127.0.0.1,port=0,server=on,wait=off",
            "restricted": f"socket,path={_quoted(self.restricted)},server=on,wait=off",
        }
        ports = {"agent": AGENT_CHANNEL, "second": SECOND_CHANNEL, "restricted": RESTRICTED_CHANNEL}
        return [
            *("qemu-system-x86_64", "-name", machine.name, "-machine", "q35", "-accel", machine.accelerator),
            *("-cpu", ",".join(["max", *(f"{name}=off" for name in machine.missing_cpu_features)])),
            *("-smp", "1", "-m", str(MEMORY_MIB), "-nodefaults", "-no-user-config", "-display", "none"),
            *("-daemonize", "-pidfile", str(self.pidfile), "-qmp", f"unix:{_quoted(self.monitor)},server=on,wait=off"),
            *("-kernel", str(machine.image.kernel), "-initrd", str(machine.image.initrd)),
            *("-append", machine.kernel_arguments),
            *("-drive", f"file={_quoted(machine.disk)},format=qcow2,if=virtio,discard=unmap"),
            *("-device", "virtio-rng-pci", "-device", "virtio-serial-pci"),
            *(word for name, backend in chardevs.items() for word in ("-chardev", f"{backend},id={name}")),
            *("-serial", "chardev:console", "-serial", "chardev:serial"),
            *(
                word
                for chardev, name in ports.items()
                for word in ("-device", f"virtserialport,chardev={chardev},name={name}")
            ),
        ]


def _quoted(path: pathlib.Path) -> str:
    """``path`` in an option of QEMU, where a comma separates."""
    return str(path).replace(",", ",,")
