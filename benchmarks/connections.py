# Copyright (c) 2026, the netless.qga authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The connections to one guest that are compared. Each has an inventory host of its own."""

from __future__ import annotations

import json
import typing as t
from dataclasses import dataclass
from pathlib import Path

import yaml

_SECOND_CHANNEL = "io.netless.agent.0"


@dataclass(frozen=True)
class Connection:
    """A connection plugin with one endpoint.

    :param label: its name in tables and charts.
    :param host: the inventory host.
    :param unit: the systemd unit of the agent in the guest, if this connection uses one.
    :param ours: whether the plugin is in this collection.
    """

    label: str
    host: str
    unit: str = ""
    ours: bool = False


class Lab:
    """A running lab.

    :param inventory: the path of its inventory.
    :param guest: the name of the guest.
    """

    def __init__(self, inventory: Path, guest: str) -> None:
        self.inventory = inventory
        self._guest = guest
        groups = yaml.safe_load(inventory.read_text(encoding="utf-8")).values()
        self._hosts = {name: members for group in groups for name, members in group.get("hosts", {}).items()}

    @property
    def observer(self) -> str:
        """The endpoint of the agent on the serial line."""
        return str(self._hosts[f"{self._guest}-serial"]["ansible_qga_endpoint"])

    def connections(self) -> list[Connection]:
        """Return the connections to the guest, ours first."""
        own, second = "qemu-guest-agent.service", f"netless-agent@{_SECOND_CHANNEL}.service"
        connections = [
            Connection("libvirt", self._guest, own, ours=True),
            Connection("libvirt:NAME", f"{self._guest}-channel", second, ours=True),
            Connection("unix:PATH", f"{self._guest}-unix", second, ours=True),
            Connection("libvirt_qemu", f"{self._guest}-by-libvirt_qemu", own),
        ]
        by_ssh = f"{self._guest}-by-ssh"
        return [*connections, Connection("ssh", by_ssh)] if by_ssh in self._hosts else connections

    def write_inventory(self, file: Path) -> None:
        """Write an addition to the lab's inventory: the other collection's host, and the variables of all hosts."""
        variables: dict[str, t.Any] = {
            "ansible_python_interpreter": "/usr/bin/python3",
            "ansible_pipelining": True,
            # libvirt_qemu does not find out the home directory.
            "ansible_remote_tmp": "/root/.ansible/tmp",
            # Longer than the other connections take in between, so that ssh logs in only once, in the warm-up.
            "ansible_ssh_args": "-o ControlMaster=auto -o ControlPersist=1h",
        }
        peer = {
            "ansible_connection": "community.libvirt.libvirt_qemu",
            "ansible_host": self._hosts[self._guest]["ansible_host"],
        }
        hosts = {
            connection.host: peer if connection.label == "libvirt_qemu" else {} for connection in self.connections()
        }
        file.write_text(json.dumps({"compared": {"hosts": hosts, "vars": variables}}), encoding="utf-8")
