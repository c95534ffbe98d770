# Copyright (c) 2026, the netless.qga authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations


class ModuleDocFragment:
    """Where the agent is that a module drives."""

    DOCUMENTATION = r"""
options:
  domain:
    description:
      - The virtual machine, as the name or the UUID of its libvirt domain.
      - Needed if O(endpoint) is V(libvirt) or V(libvirt:NAME), unless the host's connection is
        P(netless.qga.guest_agent#connection), whose own options are used for all of these that are not given.
    type: str
  uri:
    description:
      - The hypervisor whose domain it is; any URI of libvirt's for QEMU, like V(qemu:///system),
        V(qemu:///session), V(qemu+ssh://root@hypervisor/system) or V(qemu+tls://hypervisor/system).
      - Without it, the environment variable E(LIBVIRT_DEFAULT_URI) where the module runs is used, or else
        V(qemu:///system).
    type: str
  endpoint:
    description:
      - Where the guest's agent is reached, in QEMU's notation.
      - One of V(libvirt), which it is if nothing is given, V(libvirt:NAME), V(unix:PATH), V(tcp:HOST:PORT),
        V(vsock:CID:PORT), V(serial:DEVICE) and V(exec:COMMAND), as for the option
        O(netless.qga.guest_agent#connection:endpoint) of the connection.
    type: str
  timeout:
    description:
      - Seconds that the agent may take until it is reached, and for each of its answers then.
      - Without it, they are V(10) until it is reached, or what the connection has, and for an answer what is usual for
        the command.
    type: float
requirements:
  - Access to the endpoint on the host where the module runs.
  - The Python library C(jsonschema) 4.0 or newer there, and C(libvirt) for endpoints of libvirt's.
notes:
  - On a host whose connection is P(netless.qga.guest_agent#connection) the module runs on the controller and drives the
    agent of that host. On any other host it runs there, and drives the agent that its options name. Neither takes
    Python or a login in the guest.
  - If it fails, RV(ignore:error) in the result is the reason in one word, like V(command_missing),
    V(command_disabled), V(filesystems_frozen), V(endpoint_unavailable), V(endpoint_busy), V(agent_silent),
    V(outcome_unknown), V(protocol_violation) or V(agent_refused).
    R(The guide to modules,ansible_collections.netless.qga.docsite.modules_guide) explains each.
  - A host is never made unreachable by it, so that C(rescue) and C(always) can do their work.
"""
