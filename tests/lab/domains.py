# Copyright (c) 2026, the netless.qga authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Domains of the lab in libvirt.

Their UUIDs are derived from the lab's directory, so that the lab never touches somebody else's domain of the same name.
Their descriptions name the directory, so that a lab that was killed can be found.
"""

from __future__ import annotations

import contextlib
import os
import pathlib
import time
import uuid
import xml.etree.ElementTree as ET
from xml.sax.saxutils import escape

from .libvirt_daemons import virsh
from .machine import AGENT_CHANNEL, MEMORY_MIB, RESTRICTED_CHANNEL, SECOND_CHANNEL
from .saved_states import SNAPSHOT
from .virtual_machine import VirtualMachine

_POLL_INTERVAL = 0.5
_CHANNEL = "<channel type='unix'>{}<target type='virtio' name='{}'/></channel>"
_DESCRIPTION = "netless.qga lab "
_LOADVM = f"<qemu:commandline><qemu:arg value='-loadvm'/><qemu:arg value='{SNAPSHOT}'/></qemu:commandline>"


class Domain(VirtualMachine):
    """A domain with a guest in it."""

    def definition(self) -> str:
        return self._definition("")

    def start(self) -> None:
        if self.machine.saved_state is None:
            _define(self.machine.directory, self.definition())
            virsh("start", self.machine.name)
        else:
            _define(self.machine.directory, self._definition(_LOADVM))
            virsh("start", self.machine.name)
            # The domain resumes from the saved state only once: after it was off, it boots.
            _define(self.machine.directory, self.definition())

    def end(self) -> None:
        remove([self.machine.directory])

    def monitor(self, command: str) -> str:
        return virsh("qemu-monitor-command", self.machine.name, "--hmp", command)

    def endpoints(self) -> dict[str, str]:
        serial = self._running().find("devices/serial[@type='pty']/source")
        if serial is None:
            raise RuntimeError(f"the domain {self.machine.name} has no serial line")
        return {
            "unix": f"unix:{self.machine.agent}",
            "serial": f"serial:{serial.get('path')}",
            "restricted": f"unix:{self.machine.restricted}",
        }

    def free_bus(self) -> str:
        """Return the bus for a device that is plugged in at run time: libvirt always leaves the last one free."""
        ports = self._running().findall("devices/controller[@model='pcie-root-port']")
        return f"pci.{max(int(port.get('index', '0')) for port in ports)}"

    def wait(self, deadline: float) -> None:
        self._wait_for_own_agent(deadline)
        super().wait(deadline)

    def _wait_for_own_agent(self, deadline: float) -> None:
        while True:
            try:
                virsh("qemu-agent-command", self.machine.name, '{"execute": "guest-ping"}', "--timeout", "2")
            except RuntimeError as error:
                if time.monotonic() > deadline:
                    raise TimeoutError(f"no guest agent answers in the domain {self.machine.name}: {error}") from None
                time.sleep(_POLL_INTERVAL)
            else:
                return

    def _running(self) -> ET.Element:
        return ET.fromstring(virsh("dumpxml", self.machine.name))

    def _definition(self, more: str) -> str:
        machine = self.machine
        boot = f"""
        <kernel>{escape(str(machine.image.kernel))}</kernel>
        <initrd>{escape(str(machine.image.initrd))}</initrd>
        <cmdline>{escape(machine.kernel_arguments)}</cmdline>"""
        sockets = {SECOND_CHANNEL: machine.agent, RESTRICTED_CHANNEL: machine.restricted}
        devices = f"""
        <disk type='file' device='disk'>
          <driver name='qemu' type='qcow2' discard='unmap'/>
          <source file={_attribute(machine.disk)}/>
          <target dev='vda' bus='virtio'/>
        </disk>
        <serial type='file'><source path={_attribute(machine.console)}/><target port='0'/></serial>
        <serial type='pty'><target port='1'/></serial>
        <rng model='virtio'><backend model='random'>/dev/urandom</backend></rng>
        {_CHANNEL.format("", AGENT_CHANNEL)}"""
        for name, path in sockets.items():
            devices += _CHANNEL.format(f"<source mode='bind' path={_attribute(path)}/>", name)
        cpu = "".join(f"<feature policy='disable' name='{name}'/>" for name in machine.missing_cpu_features)
        kind = "kvm" if machine.accelerator == "kvm" else "qemu"
        return _xml(
            machine.directory, machine.name, devices, kind=kind, memory=MEMORY_MIB, boot=boot, cpu=cpu, more=more
        )


def define_empty(directory: pathlib.Path, name: str, *, channel: bool, started: bool) -> None:
    """Define a domain with no guest in it, where no agent will ever answer.

    :param channel: whether it has the channel of the agent.
    :param started: whether to start it.
    :raises RuntimeError: libvirt refuses.
    """
    directory.mkdir()
    _define(directory, _xml(directory, name, _CHANNEL.format("", AGENT_CHANNEL) if channel else ""))
    if started:
        virsh("start", name)


def free_name(name: str) -> None:
    """Undefine a domain of this name that is off and belongs to a lab: that lab was killed.

    :raises RuntimeError: the name belongs to a domain that runs, or to somebody else's.
    """
    if name not in virsh("list", "--all", "--name").split():
        return
    description = virsh("desc", name).strip()
    if not description.startswith(_DESCRIPTION):
        raise RuntimeError(f"libvirt has a domain {name} already, which no lab has defined")
    if name in virsh("list", "--name").split():
        state = description.removeprefix(_DESCRIPTION)
        raise RuntimeError(
            f"the lab in {state} uses the domain {name}; end it: python3 -m tests.lab down --state {state}"
        )
    virsh("undefine", name, "--managed-save", "--snapshots-metadata")


def remove(directories: list[pathlib.Path]) -> None:
    """End and undefine the domains of these directories, as far as they exist.

    :raises RuntimeError: libvirt does not answer or refuses.
    """
    identities = {_identity(directory) for directory in directories}
    for domain in identities & set(virsh("list", "--all", "--uuid").split()):
        # virsh waits for a domain that is being started, even if the client that started it is gone. It fails if the
        # domain is off.
        with contextlib.suppress(RuntimeError):
            virsh("destroy", domain)
        virsh("undefine", domain, "--managed-save", "--snapshots-metadata")
    if alive := identities & set(virsh("list", "--uuid").split()):
        raise RuntimeError(f"libvirt does not end the domain {', '.join(alive)}")


def _define(directory: pathlib.Path, definition: str) -> None:
    file = directory / "domain.xml"
    file.write_text(definition, encoding="utf-8")
    virsh("define", str(file))


def _xml(
    directory: pathlib.Path,
    name: str,
    devices: str,
    *,
    kind: str = "qemu",
    memory: int = 16,
    boot: str = "",
    cpu: str = "",
    more: str = "",
) -> str:
    # QEMU runs as the lab's user: libvirt's own user may have no access to files in a home directory, and would own
    # them afterwards.
    return f"""
    <domain type='{kind}' xmlns:qemu='http://libvirt.org/schemas/domain/qemu/1.0'>
      <name>{escape(name)}</name>
      <uuid>{_identity(directory)}</uuid>
      <description>{escape(_DESCRIPTION + str(directory.parent.resolve()))}</description>
      <memory unit='MiB'>{memory}</memory>
      <vcpu>2</vcpu>
      <os><type arch='x86_64' machine='q35'>hvm</type>{boot}</os>
      <features><acpi/></features>
      <cpu mode='maximum'>{cpu}</cpu>
      <pm><suspend-to-mem enabled='yes'/></pm>
      <seclabel type='static' model='dac' relabel='no'><label>+{os.geteuid()}:+{os.getegid()}</label></seclabel>
      <devices>{devices}<memballoon model='none'/></devices>
      {more}
    </domain>"""


def _identity(directory: pathlib.Path) -> str:
    return str(uuid.uuid5(uuid.NAMESPACE_URL, directory.resolve().as_uri()))


def _attribute(value: pathlib.Path) -> str:
    return "'" + escape(str(value), {"'": "&apos;"}) + "'"
