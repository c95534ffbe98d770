#!/usr/bin/python
# Copyright (c) 2026, the netless.qga authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: vcpus_info
short_description: List a guest's virtual CPUs
version_added: 0.1.0
author:
  - The netless.qga authors (@netless)
description:
  - Returns which virtual CPUs a guest has, and which of them its operating system uses.
  - To take virtual CPUs online or offline, use M(netless.qga.vcpus).
extends_documentation_fragment:
  - netless.qga.endpoint
  - netless.qga.attributes
  - netless.qga.attributes.actiongroup_qga
attributes:
  check_mode:
    support: full
  diff_mode:
    support: N/A
    details: The module changes nothing.
  idempotent:
    support: full
  platform:
    support: full
    platforms: all
options: {}
seealso:
  - module: netless.qga.vcpus
  - module: netless.qga.guest_info
"""

EXAMPLES = r"""
- name: List the virtual CPUs of a guest over its own connection
  netless.qga.vcpus_info:
  register: result

- name: Show how many it uses
  ansible.builtin.debug:
    var: result.online_count

- name: On the hypervisor, list the virtual CPUs of a domain
  netless.qga.vcpus_info:
    domain: web1

- name: List the virtual CPUs of a QEMU virtual machine
  netless.qga.vcpus_info:
    endpoint: unix:/run/vms/web1.sock
"""

RETURN = r"""
vcpus:
  description: The guest's virtual CPUs, in the order of their ids.
  type: list
  elements: dict
  returned: success
  contains:
    logical_id:
      description: The number that the guest's operating system uses for it.
      type: int
      sample: 1
    online:
      description: Whether the guest's operating system uses it.
      type: bool
      sample: true
    can_offline:
      description: Whether it can be taken offline.
      type: bool
      sample: true
online_count:
  description: How many virtual CPUs are online.
  type: int
  returned: success
  sample: 2
"""

from ansible_collections.netless.qga.plugins.module_utils._guest.vcpus import read_vcpus
from ansible_collections.netless.qga.plugins.module_utils._task.module import run_module
from ansible_collections.netless.qga.plugins.module_utils._task.operation import Operation, Result, Task


def run(task: Task) -> Result:
    """Read which vCPUs the guest has."""
    return read_vcpus(task.agent, task.deadline()).as_result()


OPERATION = Operation(run)


def main() -> None:
    """Run as a module."""
    run_module(OPERATION)


if __name__ == "__main__":
    main()
