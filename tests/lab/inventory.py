# Copyright (c) 2026, the netless.qga authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The inventory of the lab."""

from __future__ import annotations

import json
from collections.abc import Mapping

from . import domains
from .libvirt_daemons import URI
from .machine import RESTRICTED_CHANNEL, SECOND_CHANNEL
from .qemu import Qemu

Hosts = dict[str, dict[str, str]]


class Inventory:
    """The ways to the lab's guests, an inventory host each, in groups."""

    def __init__(self) -> None:
        self.guests: Hosts = {}
        """Each guest once."""
        self.other_endpoints: Hosts = {}
        """The same guests by the other endpoints of theirs."""
        self.restricted: Hosts = {}
        """Their agents that may neither run programs nor handle files."""
        self.not_answering: Hosts = {}
        """Domains without an agent."""

    def add_domain(self, name: str, domain: str) -> None:
        """Adds the guest in a running ``domain`` as ``name``."""

        def by(endpoint: str) -> dict[str, str]:
            return {"ansible_host": domain, "ansible_qga_endpoint": endpoint}

        places = domains.endpoints(domain)
        self.guests[name] = by("libvirt")
        self.other_endpoints[f"{name}-channel"] = by(places[SECOND_CHANNEL])
        self.other_endpoints[f"{name}-serial"] = by(_relayed(places["serial"]))
        self.restricted[f"{name}-restricted"] = by(places[RESTRICTED_CHANNEL])

    def add_qemu(self, name: str, qemu: Qemu) -> None:
        """Adds the guest of a running QEMU as ``name``."""
        by = {kind: {"ansible_qga_endpoint": _relayed(endpoint)} for kind, endpoint in qemu.endpoints().items()}
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
        for group in ("guests", "other_endpoints", "restricted", "not_answering"):
            hosts: Mapping[str, Mapping[str, str]] = getattr(self, group)
            lines += [f"{group}:", "  hosts:" if hosts else "  hosts: {}"]
            lines += [f"    {json.dumps(name)}: {json.dumps(variables)}" for name, variables in hosts.items()]
        return "\n".join(lines) + "\n"


def _relayed(endpoint: str) -> str:
    """The endpoint, through a program if it is a TCP port or a serial line."""
    kind, place = endpoint.split(":", 1)
    relays = {"tcp": f"exec:socat - TCP:{place}", "serial": f"exec:socat - {place},raw,echo=0"}
    return relays.get(kind, endpoint)
