# Copyright (c) 2026, the netless.qga authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Domains of the lab in libvirt. They are known by UUIDs that derive from the lab's directory, so that a domain which
somebody else gave the same name is never touched."""

from __future__ import annotations

import os
import pathlib
import time
import uuid
import xml.etree.ElementTree as ET
from xml.sax.saxutils import escape

from .libvirt_daemons import virsh
from .machine import AGENT_CHANNEL, CHANNELS, MEMORY_MIB, Machine

_PAUSE_SECONDS = 0.5
_CHANNEL = "<channel type='unix'><target type='virtio' name='{}'/></channel>"


def start_guest(machine: Machine) -> None:
    """Defines and starts a domain with a guest in it.

    :raises RuntimeError: libvirt refuses, for instance since there is a domain of that name.
    """
    boot = f"""
        <kernel>{escape(str(machine.image.kernel))}</kernel>
        <initrd>{escape(str(machine.image.initrd))}</initrd>
        <cmdline>{escape(machine.kernel_arguments)}</cmdline>"""
    devices = f"""
        <disk type='file' device='disk'>
          <driver name='qemu' type='qcow2' discard='unmap'/>
          <source file={_attribute(machine.disk)}/>
          <target dev='vda' bus='virtio'/>
        </disk>
        <serial type='file'><source path={_attribute(machine.console)}/><target port='0'/></serial>
        <serial type='pty'><target port='1'/></serial>
        <rng model='virtio'><backend model='random'>/dev/urandom</backend></rng>
        {"".join(map(_CHANNEL.format, CHANNELS))}"""
    cpu = "".join(f"<feature policy='disable' name='{name}'/>" for name in machine.missing_cpu_features)
    kind = "kvm" if machine.accelerator == "kvm" else "qemu"
    _define(machine.directory, machine.name, devices, kind=kind, memory=MEMORY_MIB, boot=boot, cpu=cpu)
    virsh("start", machine.name)


def define_empty(directory: pathlib.Path, name: str, *, channel: bool, started: bool) -> None:
    """Defines a domain with no guest in it, where no agent will ever answer.

    :param channel: it has the channel of the agent.
    :raises RuntimeError: libvirt refuses.
    """
    directory.mkdir()
    _define(directory, name, _CHANNEL.format(AGENT_CHANNEL) if channel else "")
    if started:
        virsh("start", name)


def wait_for_agent(name: str, deadline: float) -> None:
    """Waits until the agent of libvirt's own channel answers.

    :param deadline: when to give up, in seconds of the monotonic clock.
    :raises TimeoutError: it did not.
    """
    while True:
        try:
            virsh("qemu-agent-command", name, '{"execute": "guest-ping"}', "--timeout", "2")
        except RuntimeError as error:
            if time.monotonic() > deadline:
                raise TimeoutError(f"no guest agent answers in the domain {name}: {error}") from None
            time.sleep(_PAUSE_SECONDS)
        else:
            return


def endpoints(name: str) -> dict[str, str]:
    """Where this machine reaches the agents of a running domain that libvirt has no connection to: their channels by
    name, and ``serial``."""
    devices = ET.fromstring(virsh("dumpxml", name)).find("devices")
    if devices is None:
        return {}
    places = {}
    for serial in devices.iterfind("serial[@type='pty']"):
        places["serial"] = f"serial:{_source(serial)}"
    for channel in devices.iterfind("channel"):
        target = channel.find("target")
        if target is not None and target.get("name") != AGENT_CHANNEL:
            places[target.get("name", "")] = f"unix:{_source(channel)}"
    return places


def remove(directories: list[pathlib.Path]) -> None:
    """Ends and undefines the domains of these directories, as far as there are any.

    :raises RuntimeError: libvirt does not answer or refuses.
    """
    identities = {_identity(directory) for directory in directories}
    for domain in identities & set(virsh("list", "--uuid").split()):
        virsh("destroy", domain)
    for domain in identities & set(virsh("list", "--all", "--uuid").split()):
        virsh("undefine", domain, "--managed-save", "--snapshots-metadata")


def _define(
    directory: pathlib.Path,
    name: str,
    devices: str,
    *,
    kind: str = "qemu",
    memory: int = 16,
    boot: str = "",
    cpu: str = "",
) -> None:
    # QEMU runs as the lab's user: libvirt's own might not get at files in somebody's home, and would own them after.
    definition = f"""
    <domain type='{kind}'>
      <name>{escape(name)}</name>
      <uuid>{_identity(directory)}</uuid>
      <memory unit='MiB'>{memory}</memory>
      <vcpu>1</vcpu>
      <os><type arch='x86_64' machine='q35'>hvm</type>{boot}</os>
      <features><acpi/></features>
      <cpu mode='maximum'>{cpu}</cpu>
      <pm><suspend-to-mem enabled='yes'/></pm>
      <seclabel type='static' model='dac' relabel='no'><label>+{os.geteuid()}:+{os.getegid()}</label></seclabel>
      <devices>{devices}<memballoon model='none'/></devices>
    </domain>"""
    file = directory / "domain.xml"
    file.write_text(definition, encoding="utf-8")
    virsh("define", str(file))


def _identity(directory: pathlib.Path) -> str:
    return str(uuid.uuid5(uuid.NAMESPACE_URL, directory.resolve().as_uri()))


def _source(device: ET.Element) -> str:
    source = device.find("source")
    return "" if source is None else source.get("path", "")


def _attribute(value: pathlib.Path) -> str:
    return "'" + escape(str(value), {"'": "&apos;"}) + "'"
