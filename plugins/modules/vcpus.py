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
  - Has the guest's operating system use some of its virtual CPUs or leave them alone, as C(chcpu) does.
  - At least one of O(online), O(offline) and O(count) is required. To see which virtual CPUs there are, use
    M(netless.qga.vcpus_info).
  - The virtual machine keeps all of them. To give it more or fewer, use the hypervisor's own means, like
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
    description: The logical ids of virtual CPUs to use.
    type: list
    elements: int
  offline:
    description:
      - The logical ids of virtual CPUs not to use.
      - One that the guest cannot do without is an error, and then nothing is changed at all. On x86 Linux this is
        V(0).
    type: list
    elements: int
  count:
    description:
      - How many virtual CPUs to use.
      - If they are too few, those with the lowest ids are taken online. If they are too many, those with the highest
        ids are taken offline, as far as the guest can do without them.
    type: int
notes:
  - The agent may be able to take some of them online or offline and not the others. The module then fails with
    RV(ignore:error) V(partly_done), and its results tell how they are now.
seealso:
  - module: netless.qga.vcpus_info
"""

EXAMPLES = r"""
- name: Run a guest on two of its virtual CPUs
  netless.qga.vcpus:
    count: 2

- name: On the hypervisor, take those online that were plugged in
  netless.qga.vcpus:
    domain: web1
    online: [2, 3]

- name: Have a QEMU virtual machine leave its last two virtual CPUs alone
  netless.qga.vcpus:
    endpoint: unix:/run/vms/web1.sock
    offline: [2, 3]
"""

RETURN = r"""
vcpus:
  description: The guest's virtual CPUs, by their ids. In check mode as they would be.
  type: list
  elements: dict
  returned: success
  contains:
    logical_id:
      description: The number by which the guest knows it.
      type: int
      sample: 1
    online:
      description: Whether it is used.
      type: bool
      sample: true
    can_offline:
      description: Whether the guest can do without it.
      type: bool
      sample: true
before:
  description: The same, before anything was changed.
  type: list
  elements: dict
  returned: success
online_count:
  description: How many are used.
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
