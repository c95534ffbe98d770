# Copyright (c) 2026, the netless.qga authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A virtual machine directly under QEMU, without libvirt, with agents on sockets and on a serial line."""

from __future__ import annotations

import json
import pathlib
import shlex
import socket
import subprocess

from . import daemons
from .machine import AGENT_CHANNEL, MEMORY_MIB, RESTRICTED_CHANNEL, SECOND_CHANNEL, Machine
from .saved_states import SNAPSHOT
from .virtual_machine import VirtualMachine


class Qemu(VirtualMachine):
    """A QEMU in the background. It accepts commands on the QMP socket ``qmp.sock``, from one client at a time."""

    def __init__(self, machine: Machine) -> None:
        super().__init__(machine)
        self._monitor = machine.directory / "qmp.sock"

    def definition(self) -> str:
        return shlex.join(self._command())

    def start(self) -> None:
        command = self._command()
        if self.machine.saved_state is not None:
            command += ["-loadvm", SNAPSHOT]
        result = subprocess.run(command, check=False, capture_output=True, text=True)
        if result.returncode != 0:
            raise RuntimeError(f"QEMU did not start {self.machine.name}: {result.stderr.strip()}")

    def end(self) -> None:
        end(self.machine.directory)

    def monitor(self, command: str) -> str:
        return str(self._execute("human-monitor-command", {"command-line": command}))

    def endpoints(self) -> dict[str, str]:
        # QEMU reports which terminal and which port it got: pty:/dev/pts/1, disconnected:tcp:127.0.0.1:40123,server=on.
        reply = self._execute("query-chardev", {})
        if not isinstance(reply, list):
            raise TypeError(f"QEMU lists its devices as {reply}")
        devices = {device["label"]: str(device["filename"]) for device in reply}
        return {
            "unix": f"unix:{self.machine.agent}",
            "tcp": "tcp:" + devices["second"].partition("tcp:")[2].partition(",")[0],
            "serial": "serial:" + devices["serial"].partition("pty:")[2],
            "restricted": f"unix:{self.machine.restricted}",
        }

    def _execute(self, command: str, arguments: dict[str, str]) -> object:
        with socket.socket(socket.AF_UNIX) as client, client.makefile("rw", encoding="utf-8") as stream:
            client.connect(str(self._monitor))
            stream.readline()  # QEMU's greeting
            for request in ({"execute": "qmp_capabilities"}, {"execute": command, "arguments": arguments}):
                stream.write(json.dumps(request) + "\n")
                stream.flush()
                reply = json.loads(stream.readline())
                while "event" in reply:
                    reply = json.loads(stream.readline())
        if "error" in reply:
            raise RuntimeError(f"QEMU refuses {command}: {reply['error']['desc']}")
        return reply["return"]

    def _command(self) -> list[str]:
        machine = self.machine
        chardevs = {
            "console": f"file,path={_quoted(machine.console)}",
            "serial": "pty",
            "agent": f"socket,path={_quoted(machine.agent)},server=on,wait=off",
            "second": "socket,host=127.0.0.1,port=0,server=on,wait=off",
            "restricted": f"socket,path={_quoted(machine.restricted)},server=on,wait=off",
        }
        ports = {"agent": AGENT_CHANNEL, "second": SECOND_CHANNEL, "restricted": RESTRICTED_CHANNEL}
        pidfile = _pidfile(machine.directory)
        return [
            *("qemu-system-x86_64", "-name", machine.name, "-machine", "q35", "-accel", machine.accelerator),
            *("-cpu", ",".join(["max", *(f"{name}=off" for name in machine.missing_cpu_features)])),
            *("-smp", "2", "-m", str(MEMORY_MIB), "-nodefaults", "-no-user-config", "-display", "none"),
            *("-daemonize", "-pidfile", str(pidfile), "-qmp", f"unix:{_quoted(self._monitor)},server=on,wait=off"),
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


def end(directory: pathlib.Path) -> None:
    """End the QEMU of a machine's directory if it runs."""
    daemons.end(_pidfile(directory))


def _pidfile(directory: pathlib.Path) -> pathlib.Path:
    return directory / "qemu.pid"


def _quoted(path: pathlib.Path) -> str:
    """Return ``path`` for an option of QEMU, where a comma separates values."""
    return str(path).replace(",", ",,")
