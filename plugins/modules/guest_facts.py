#!/usr/bin/python
# Copyright (c) 2026, the netless.qga authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: guest_facts
short_description: Keep what a guest agent reports about its guest as facts
version_added: 0.1.0
author:
  - The netless.qga authors (@netless)
description:
  - Asks a guest agent for the same information as M(netless.qga.guest_info), and keeps it as facts of the host, in
    C(ansible_facts.qga).
  - It needs no Python in the guest, and no agent that may run programs. It does not replace M(ansible.builtin.setup),
    whose facts have other names and need Python in the guest.
  - An agent that is too old for a subset, or that does not allow it, leaves it out of the facts. RV(unavailable) lists
    such subsets. They do not make the task fail.
extends_documentation_fragment:
  - netless.qga.endpoint
  - netless.qga.attributes
  - netless.qga.attributes.actiongroup_qga
  - netless.qga.attributes.facts
attributes:
  check_mode:
    support: full
  diff_mode:
    support: N/A
    details: The module changes nothing.
  facts:
    support: full
  idempotent:
    support: full
  platform:
    support: full
    platforms: all
options:
  subset:
    description:
      - Which information to ask for, as for O(netless.qga.guest_info#module:subset).
      - Any of V(agent), V(cpu_statistics), V(devices), V(disk_statistics), V(disks), V(filesystems), V(fsfreeze),
        V(hostname), V(interfaces), V(load), V(memory), V(os), V(routes), V(time), V(timezone), V(users) and V(vcpus).
      - V(all) selects all of them.
      - V(!) in front of a name, as in V(!disks), leaves that subset out. If you give no other names, it is left out of
        all.
    type: list
    elements: str
    default: [all]
notes:
  - The new facts replace the whole of C(ansible_facts.qga). Subsets from an earlier run do not stay.
  - With a cache for facts, Ansible keeps them between runs.
seealso:
  - module: netless.qga.guest_info
    description: Returns the same information as an ordinary result, and describes all of it.
  - module: ansible.builtin.setup
"""

EXAMPLES = r"""
- name: Keep everything that an agent reports as facts, over the host's own connection
  netless.qga.guest_facts:

- name: Use the facts
  ansible.builtin.debug:
    msg: "{{ ansible_facts.qga.os.pretty_name | default('an unknown system') }}"

- name: On the hypervisor, keep the operating system and host name of a domain as facts of the hypervisor
  netless.qga.guest_facts:
    domain: web1
    subset: [os, hostname]

- name: Keep everything except the disks of a QEMU virtual machine as facts
  netless.qga.guest_facts:
    endpoint: unix:/run/vms/web1.sock
    subset: ["!disks", "!disk_statistics"]
"""

RETURN = r"""
ansible_facts:
  description: The facts that are added to the host.
  type: dict
  returned: success
  contains:
    qga:
      description:
        - What the agent reports, by subset. RV(netless.qga.guest_info#module:qga) describes the members of each.
        - All of it comes from the guest, so anyone who controls the guest can make it report anything.
      type: dict
      returned: success
      contains:
        agent:
          description: The agent's version and the commands that it knows.
          type: dict
        cpu_statistics:
          description: What the guest's CPUs have done since it booted.
          type: list
          elements: dict
        devices:
          description: The devices with drivers. Only agents on Windows report them.
          type: list
          elements: dict
        disk_statistics:
          description: What the disks have done since the guest booted.
          type: list
          elements: dict
        disks:
          description: The disks and partitions.
          type: list
          elements: dict
        filesystems:
          description: The mounted filesystems that are on disks.
          type: list
          elements: dict
        fsfreeze:
          description: Whether the agent has frozen the guest's filesystems, V(thawed) or V(frozen).
          type: str
          sample: thawed
        hostname:
          description: The guest's host name.
          type: str
          sample: web1.example.com
        interfaces:
          description: The network interfaces, with their addresses.
          type: list
          elements: dict
        load:
          description: The load averages of the guest.
          type: dict
        memory:
          description: The memory, in blocks that can be taken online and offline.
          type: dict
        os:
          description: The operating system.
          type: dict
          sample:
            id: debian
            pretty_name: Debian GNU/Linux 12 (bookworm)
        routes:
          description: The network routes.
          type: list
          elements: dict
        time:
          description: What the guest's clock showed when the agent was asked.
          type: dict
        timezone:
          description: The guest's time zone.
          type: dict
          sample:
            zone: CET
            offset: 3600
        users:
          description: The users that are logged in.
          type: list
          elements: dict
        vcpus:
          description: The virtual CPUs.
          type: list
          elements: dict
unavailable:
  description:
    - The selected subsets that the agent did not report, each with a C(reason), and a C(msg) for people.
    - RV(netless.qga.guest_info#module:unavailable) explains the reasons.
  type: dict
  returned: success
  sample:
    routes:
      reason: command_missing
      msg: "unix:/run/vms/web1.sock: guest-network-get-route was not sent, because the agent would refuse it. This
        agent, version 7.2.22, does not know the command. QEMU added it in 9.1, and not for every operating system"
"""

from ansible_collections.netless.qga.plugins.module_utils._guest.guest_report import read_guest, unavailable_result
from ansible_collections.netless.qga.plugins.module_utils._task.module import run_module
from ansible_collections.netless.qga.plugins.module_utils._task.operation import Operation, Result, Task


def run(task: Task) -> Result:
    """Return what the agent reports about its guest, as facts of the host."""
    facts = read_guest(task.agent, task.params["subset"], task.target.overall_deadline)
    return {"ansible_facts": {"qga": facts.found}, "unavailable": unavailable_result(facts)}


OPERATION = Operation(
    run,
    {"subset": {"type": "list", "elements": "str", "default": ["all"]}},
    limit_each_reply=True,
)


def main() -> None:
    """Run as a module."""
    run_module(OPERATION)


if __name__ == "__main__":
    main()
