# Copyright (c) 2026, the netless.qga authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The channels of a domain, as libvirt's XML describes them."""

from __future__ import annotations

from dataclasses import dataclass
from xml.etree import ElementTree

#: The channel of the agent that libvirt itself talks to, and keeps open as long as the domain runs.
AGENT_CHANNEL = "org.qemu.guest_agent.0"


@dataclass(frozen=True)
class DomainChannel:
    """A channel between a running domain and its hypervisor.

    :param name: what the guest sees in /dev/virtio-ports.
    :param alias: libvirt's own name for the device.
    :param kind: what it is on the hypervisor, like ``unix``.
    :param connected: whether the guest has it open.
    """

    name: str
    alias: str
    kind: str
    connected: bool


def parse_channels(xml: str) -> list[DomainChannel]:
    """Return the channels in the XML of a running domain; none if it is not XML."""
    try:
        devices = ElementTree.fromstring(xml).iterfind("devices/channel[target]")
    except ElementTree.ParseError:
        return []
    return [_parse_channel(device) for device in devices]


def _parse_channel(device: ElementTree.Element) -> DomainChannel:
    target, alias = device.find("target"), device.find("alias")
    attributes = {} if target is None else target.attrib
    return DomainChannel(
        name=attributes.get("name", ""),
        alias="" if alias is None else alias.get("name", ""),
        kind=device.get("type", ""),
        connected=attributes.get("state") == "connected",
    )
