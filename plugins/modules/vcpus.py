#!/usr/bin/python
# Copyright (c) 2026, the netless.qga authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: vcpus
short_description: Take a guest's virtual CPUs online and offline
version_added: 0.1.0
author:
  - The netless.qga authors (@netless)
description:
  - Makes the guest's operating system use some of its virtual CPUs, or stop using them, as C(chcpu) does.
  - At least one of O(online), O(offline) and O(count) is required. To see which virtual CPUs there are, use
    M(netless.qga.vcpus_info).
  - The virtual machine keeps all of its virtual CPUs. To give it more or fewer, use the hypervisor's own tools, like
    C(virsh setvcpus).
extends_documentation_fragment:
  - netless.qga.endpoint
  - netless.qga.attributes
  - netless.qga.attributes.actiongroup_qga
attributes:
  check_mode:
    support: full
  diff_mode:
    support: full
  idempotent:
    support: full
  platform:
    support: full
    platforms: linux
    details: Agents on Windows cannot take virtual CPUs online or offline.
options:
  online:
    description: The logical ids of the virtual CPUs to take online.
    type: list
    elements: int
  offline:
    description:
      - The logical ids of the virtual CPUs to take offline.
      - If the guest cannot take one of them offline, the module fails and changes nothing. On x86 Linux this is so for
        V(0).
    type: list
    elements: int
  count:
    description:
      - How many virtual CPUs are to be online.
      - If there are too few, the module takes those with the lowest ids online. If there are too many, it takes those
        with the highest ids offline, except for those that the guest cannot take offline.
    type: int
notes:
  - The agent may be able to switch some of the virtual CPUs and not the others. The module then fails with
    RV(ignore:error) V(partly_done), and its results show the present state.
seealso:
  - module: netless.qga.vcpus_info
"""

EXAMPLES = r"""
- name: Run a guest on two of its virtual CPUs
  netless.qga.vcpus:
    count: 2

- name: On the hypervisor, take the virtual CPUs of a domain online that were plugged in
  netless.qga.vcpus:
    domain: web1
    online: [2, 3]

- name: Take two virtual CPUs of a QEMU virtual machine offline
  netless.qga.vcpus:
    endpoint: unix:/run/vms/web1.sock
    offline: [2, 3]
"""

RETURN = r"""
vcpus:
  description: The guest's virtual CPUs, in the order of their ids. In check mode as they would be.
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
before:
  description: The guest's virtual CPUs before the change, with the same members.
  type: list
  elements: dict
  returned: success
online_count:
  description: How many virtual CPUs are online.
  type: int
  returned: success
  sample: 2
"""

from ansible_collections.netless.qga.plugins.module_utils._guest.vcpus import (
    read_vcpus,
    require_switched,
    switch_vcpus,
)
from ansible_collections.netless.qga.plugins.module_utils._task.module import run_module
from ansible_collections.netless.qga.plugins.module_utils._task.operation import Operation, Result, Task


def run(task: Task) -> Result:
    """Compare the vCPUs with how they should be, and switch those that differ."""
    before = read_vcpus(task.agent, task.deadline())
    if task.params["count"] is not None:
        wanted = before.counted(task.params["count"])
    else:
        wanted = before.switched(online=task.params["online"] or (), offline=task.params["offline"] or ())
    changes = before.different(wanted)
    after = wanted
    if changes and not task.check_mode:
        switch_vcpus(task.agent, changes, task.deadline())
        after = read_vcpus(task.agent, task.deadline())
    result = {**task.changed(before.as_diff(), after.as_diff()), **after.as_result(), "before": before.as_list()}
    require_switched(changes, after, result)
    return result


OPERATION = Operation(
    run,
    {
        "online": {"type": "list", "elements": "int"},
        "offline": {"type": "list", "elements": "int"},
        "count": {"type": "int"},
    },
    {
        "mutually_exclusive": [("count", "online"), ("count", "offline")],
        "required_one_of": [("count", "online", "offline")],
    },
)


def main() -> None:
    """Run as a module."""
    run_module(OPERATION)


if __name__ == "__main__":
    main()
