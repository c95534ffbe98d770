# Copyright (c) 2026, the netless.qga authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The inventory of the lab."""

from __future__ import annotations

import json
import shlex
from collections.abc import Mapping

from .domains import Domain
from .libvirt_daemons import URI
from .machine import RESTRICTED_CHANNEL, SECOND_CHANNEL
from .network import SshAccess
from .qemu import Qemu

Hosts = dict[str, dict[str, str | int]]

_GROUPS = ("guests", "fleet", "with_network", "other_endpoints", "restricted", "not_answering")


class Inventory:
    """The endpoints of the lab's guests, with one inventory host each, in groups."""

    def __init__(self) -> None:
        self.guests: Hosts = {}
        """Each guest once, except the fleet and the guest with a network."""
        self.fleet: Hosts = {}
        """Guests of one kind, for plays on many hosts at the same time."""
        self.with_network: Hosts = {}
        """The guest with a network, through its agent and through ssh."""
        self.other_endpoints: Hosts = {}
        """The same guests through their other endpoints."""
        self.restricted: Hosts = {}
        """The guests' agents that may neither run programs nor handle files."""
        self.not_answering: Hosts = {}
        """Domains without an agent."""

    def add_domain(self, name: str, guest: Domain, hosts: Hosts) -> None:
        """Add the guest in a running domain as ``name``.

        :param hosts: the group of its first endpoint.
        """

        def variables(endpoint: str) -> dict[str, str | int]:
            return {"ansible_host": guest.machine.name, "ansible_qga_endpoint": endpoint}

        endpoints = guest.endpoints()
        hosts[name] = variables("libvirt")
        # These two lead to the same channel, whose agent serves one of them at a time, so neither keeps it for long.
        self.other_endpoints[f"{name}-channel"] = {
            **variables(f"libvirt:{SECOND_CHANNEL}"),
            "ansible_qga_persist": 1,
        }
        self.other_endpoints[f"{name}-unix"] = {**variables(endpoints["unix"]), "ansible_qga_persist": 0}
        self.other_endpoints[f"{name}-serial"] = variables(endpoints["serial"])
        self.restricted[f"{name}-restricted"] = variables(f"libvirt:{RESTRICTED_CHANNEL}")

    def add_ssh(self, name: str, access: SshAccess) -> None:
        """Add a guest that ssh reaches."""
        known_hosts = shlex.quote(f'UserKnownHostsFile="{access.known_hosts}"')
        self.with_network[name] = {
            "ansible_connection": "ansible.builtin.ssh",
            "ansible_host": "127.0.0.1",
            "ansible_port": access.port,
            "ansible_user": "root",
            "ansible_ssh_private_key_file": str(access.key),
            "ansible_ssh_common_args": f"-o StrictHostKeyChecking=yes -o {known_hosts}",
        }

    def add_qemu(self, name: str, guest: Qemu) -> None:
        """Add the guest of a running QEMU as ``name``."""
        hosts: Hosts = {kind: {"ansible_qga_endpoint": endpoint} for kind, endpoint in guest.endpoints().items()}
        self.guests[name] = hosts["unix"]
        self.other_endpoints |= {f"{name}-{kind}": hosts[kind] for kind in ("tcp", "serial")}
        self.restricted[f"{name}-restricted"] = hosts["restricted"]

    def add_empty_domain(self, name: str, domain: str) -> None:
        """Add a domain where nothing answers as ``name``."""
        self.not_answering[name] = {"ansible_host": domain, "ansible_qga_endpoint": "libvirt"}

    def yaml(self) -> str:
        """Return the text of the inventory file."""
        lines = ["---", "all:", "  vars:"]
        lines += ["    ansible_connection: netless.qga.guest_agent", f"    ansible_libvirt_uri: {URI}"]
        for group in _GROUPS:
            hosts: Mapping[str, Mapping[str, str | int]] = getattr(self, group)
            lines += [f"{group}:", "  hosts:" if hosts else "  hosts: {}"]
            lines += [f"    {json.dumps(name)}: {json.dumps(variables)}" for name, variables in hosts.items()]
        return "\n".join(lines) + "\n"
