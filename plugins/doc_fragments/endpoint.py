# Copyright (c) 2026, the netless.qga authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations


class ModuleDocFragment:
    """The options that show where the module's agent is, and what every module has in common."""

    DOCUMENTATION = r"""
options:
  domain:
    description:
      - The virtual machine, as the name or the UUID of its libvirt domain.
      - Required if O(endpoint) is V(libvirt) or V(libvirt:NAME), unless the host's connection is
        P(netless.qga.guest_agent#connection). Over that connection, its own options apply where you do not set
        O(domain), O(uri), O(endpoint) or O(timeout).
    type: str
  uri:
    description:
      - The hypervisor of the domain. Any libvirt URI for QEMU works, like V(qemu:///system), V(qemu:///session),
        V(qemu+ssh://root@hypervisor/system) or V(qemu+tls://hypervisor/system).
      - If you do not set it, the module uses the environment variable E(LIBVIRT_DEFAULT_URI) of the host where it
        runs, or else V(qemu:///system).
    type: str
  endpoint:
    description:
      - Where the module reaches the guest's agent, in QEMU's notation.
      - One of V(libvirt), V(libvirt:NAME), V(unix:PATH), V(tcp:HOST:PORT), V(vsock:CID:PORT), V(serial:DEVICE) and
        V(exec:COMMAND). The option O(netless.qga.guest_agent#connection:endpoint) of the connection explains each.
      - The default is V(libvirt).
    type: str
  timeout:
    description:
      - Seconds that the agent may take until its first answer, and for each answer after that.
      - If you do not set it, the agent has V(10) seconds until its first answer, or the timeout of the connection, and
        for each other answer the time that is usual for the command.
    type: float
requirements:
  - Access to the endpoint on the host where the module runs.
  - The Python library C(jsonschema) 4.0 or newer on that host, and C(libvirt) for V(libvirt) endpoints.
notes:
  - If the host's connection is P(netless.qga.guest_agent#connection), the module runs on the controller and uses the
    agent of that host. On any other host, the module runs there and uses the agent that its options name. Neither needs
    Python or a login in the guest.
  - If the module fails, RV(ignore:error) in the result is the reason in one word, like V(command_missing),
    V(command_disabled), V(filesystems_frozen), V(endpoint_unavailable), V(endpoint_busy), V(agent_silent),
    V(outcome_unknown), V(protocol_violation) or V(agent_refused).
    R(The guide to modules,ansible_collections.netless.qga.docsite.modules_guide) explains each.
  - The module never makes a host unreachable, so that C(rescue) and C(always) still run.
"""
