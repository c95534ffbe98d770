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
    """The ways to the lab's guests, an inventory host each, in groups."""

    def __init__(self) -> None:
        self.guests: Hosts = {}
        """Each guest once, but for the fleet and the one with a network."""
        self.fleet: Hosts = {}
        """Guests of one kind, to work on at the same time."""
        self.with_network: Hosts = {}
        """The guest with a network, by its agent and by ssh."""
        self.other_endpoints: Hosts = {}
        """The same guests by the other endpoints of theirs."""
        self.restricted: Hosts = {}
        """Their agents that may neither run programs nor handle files."""
        self.not_answering: Hosts = {}
        """Domains without an agent."""

    def add_domain(self, name: str, guest: Domain, hosts: Hosts) -> None:
        """Adds the guest in a running domain as ``name``.

        :param hosts: group of its first endpoint.
        """

        def by(endpoint: str) -> dict[str, str | int]:
            return {"ansible_host": guest.machine.name, "ansible_qga_endpoint": endpoint}

        places = guest.endpoints()
        hosts[name] = by("libvirt")
        # One agent, on the channel that these two lead to: it serves one of them at a time.
        self.other_endpoints[f"{name}-channel"] = by(f"libvirt:{SECOND_CHANNEL}")
        self.other_endpoints[f"{name}-unix"] = by(places["unix"])
        self.other_endpoints[f"{name}-serial"] = by(places["serial"])
        self.restricted[f"{name}-restricted"] = by(f"libvirt:{RESTRICTED_CHANNEL}")

    def add_ssh(self, name: str, access: SshAccess) -> None:
        """Adds the way by ssh to a guest."""
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
        """Adds the guest of a running QEMU as ``name``."""
        by: Hosts = {kind: {"ansible_qga_endpoint": endpoint} for kind, endpoint in guest.endpoints().items()}
        self.guests[name] = by["unix"]
        self.other_endpoints |= {f"{name}-{kind}": by[kind] for kind in ("tcp", "serial")}
        self.restricted[f"{name}-restricted"] = by["restricted"]

    def add_empty_domain(self, name: str, domain: str) -> None:
        """Adds a domain where nothing answers as ``name``."""
        self.not_answering[name] = {"ansible_host": domain, "ansible_qga_endpoint": "libvirt"}

    def yaml(self) -> str:
        """The text of the inventory file."""
        lines = ["---", "all:", "  vars:"]
        lines += ["    ansible_connection: netless.qga.guest_agent", f"    ansible_libvirt_uri: {URI}"]
        for group in _GROUPS:
            hosts: Mapping[str, Mapping[str, str | int]] = getattr(self, group)
            lines += [f"{group}:", "  hosts:" if hosts else "  hosts: {}"]
            lines += [f"    {json.dumps(name)}: {json.dumps(variables)}" for name, variables in hosts.items()]
        return "\n".join(lines) + "\n"
