# Copyright (c) 2026, the netless.qga authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""An agent that reports everything about its guest, for the tests of guest_info and guest_facts."""

from __future__ import annotations

import typing as t

from ansible_collections.netless.qga.tests.guests.scripted_agent import ScriptedAgent

ADDRESS = {
    "pci-controller": {"domain": 0, "bus": 0, "slot": 4, "function": 0},
    "bus-type": "virtio",
    "bus": 0,
    "target": 0,
    "unit": 0,
    "dev": "/dev/vda1",
}
REPLIES: dict[str, t.Any] = {
    "guest-get-cpustats": [{"type": "linux", "cpu": 0, "user": 1, "nice": 2, "system": 3, "idle": 4, "guestnice": 5}],
    "guest-get-devices": [{"driver-name": "viostor", "id": {"type": "pci", "vendor-id": 6900, "device-id": 4097}}],
    "guest-get-diskstats": [{"name": "vda", "major": 254, "minor": 0, "stats": {"read-ios": 7}}],
    "guest-get-disks": [{"name": "/dev/vda1", "partition": True, "dependencies": ["/dev/vda"], "address": ADDRESS}],
    "guest-get-fsinfo": [
        {"name": "vda1", "mountpoint": "/", "type": "ext4", "used-bytes": 1, "total-bytes": 2, "disk": [ADDRESS]}
    ],
    "guest-get-load": {"load1m": 0.5, "load5m": 0.25, "load15m": 0},
    "guest-get-memory-block-info": {"size": 2**27},
    "guest-get-memory-blocks": [
        {"phys-index": 0, "online": True, "can-offline": False},
        {"phys-index": 1, "online": False, "can-offline": True},
    ],
    "guest-get-osinfo": {"id": "debian", "pretty-name": "Debian GNU/Linux 12 (bookworm)"},
    "guest-get-time": 1767225600123456000,
    "guest-get-timezone": {"zone": "CET", "offset": 3600},
    "guest-get-users": [{"user": "root", "login-time": 1767225600.5}],
    "guest-get-vcpus": [{"logical-id": 0, "online": True, "can-offline": False}],
    "guest-network-get-interfaces": [
        {
            "name": "eth0",
            "hardware-address": "52:54:00:00:00:01",
            "ip-addresses": [{"ip-address": "192.0.2.17", "ip-address-type": "ipv4", "prefix": 24}],
        }
    ],
    "guest-network-get-route": [{"iface": "eth0", "destination": "0.0.0.0", "metric": 100, "version": 4}],
}
SUBSETS = {
    "agent",
    "cpu_statistics",
    "devices",
    "disk_statistics",
    "disks",
    "filesystems",
    "fsfreeze",
    "hostname",
    "interfaces",
    "load",
    "memory",
    "os",
    "routes",
    "time",
    "timezone",
    "users",
    "vcpus",
}


def reporting_agent(*profiles: str) -> ScriptedAgent:
    """Return an agent that can report everything."""
    agent = ScriptedAgent(*profiles)

    def answer(command: str) -> t.Callable[[t.Any], t.Any]:
        return lambda arguments: REPLIES[command]

    agent.handlers.update({command: answer(command) for command in REPLIES})
    return agent
