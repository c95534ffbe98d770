# Copyright (c) 2026, the netless.qga authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The tested domains, and how to reach their agents."""

from __future__ import annotations

import contextlib
import os
import typing as t

import libvirt  # pylint: disable=import-error

from ansible_collections.netless.qga.plugins.module_utils._agent.agent import Agent
from ansible_collections.netless.qga.tests.lab.machine import AGENT_CHANNEL, SECOND_CHANNEL

URI = "qemu:///system"
STREAM = f"libvirt:{SECOND_CHANNEL}"
ENDPOINTS = ["libvirt", STREAM]
GUEST = "netless-bookworm"

CHANNELS = f"""
    <channel type='unix'><target type='virtio' name='{AGENT_CHANNEL}'/></channel>
    <channel type='unix'><target type='virtio' name='io.netless.silent.0'/></channel>
    <channel type='pty'><target type='virtio' name='io.netless.terminal.0'/></channel>"""


class Dial(t.Protocol):
    """A function that returns an agent at an endpoint of a domain."""

    def __call__(self, endpoint: str, domain: str = GUEST, uri: str = URI, **options: t.Any) -> Agent: ...


@contextlib.contextmanager
def empty_domain(hypervisor: libvirt.virConnect, name: str, devices: str = "") -> t.Iterator[libvirt.virDomain]:
    """Run a domain during the block that has nothing but these devices."""
    domain = hypervisor.createXML(
        f"""
        <domain type='qemu'>
          <name>netless-empty-{name}</name>
          <memory unit='MiB'>16</memory>
          <os><type arch='x86_64' machine='q35'>hvm</type></os>
          <seclabel type='static' model='dac' relabel='no'><label>+{os.geteuid()}:+{os.getegid()}</label></seclabel>
          <devices>{devices}<memballoon model='none'/></devices>
        </domain>"""
    )
    try:
        yield domain
    finally:
        with contextlib.suppress(libvirt.libvirtError):
            domain.destroy()
