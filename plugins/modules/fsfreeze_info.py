#!/usr/bin/python
# Copyright (c) 2026, the netless.qga authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: fsfreeze_info
short_description: Show whether a guest's filesystems are frozen
version_added: 0.1.0
author:
  - The netless.qga authors (@netless)
description:
  - Asks a guest's agent whether the guest's filesystems are frozen. This works while they are frozen, and needs neither
    programs nor files in the guest.
  - Adds what the host where the module runs knows of a freeze by M(netless.qga.fsfreeze) or M(netless.qga.quiesce),
    such as when it happened and which guard ends it.
extends_documentation_fragment:
  - netless.qga.endpoint
  - netless.qga.attributes
  - netless.qga.attributes.actiongroup_qga
attributes:
  check_mode:
    support: full
    description: Runs the same in check mode, as it changes nothing.
  diff_mode:
    support: N/A
    description: It changes nothing.
  idempotent:
    support: full
  platform:
    support: full
    platforms: Linux with filesystems that can be frozen, like ext4, xfs and btrfs; Windows
seealso:
  - module: netless.qga.fsfreeze
  - module: netless.qga.quiesce
notes:
  - Several agents in one guest do not know of each other. An agent reports filesystems as thawed that another agent has
    frozen.
  - Only the user and the host that froze know details of the freeze, and only for the same O(domain), O(uri) and
    O(endpoint).
"""

EXAMPLES = r"""
- name: Show whether a virtual machine is frozen, over its own connection
  netless.qga.fsfreeze_info:

- name: Wait on the hypervisor until nobody freezes a domain any more
  netless.qga.fsfreeze_info:
    domain: web1
  delegate_to: hypervisor1
  register: freeze
  until: freeze.status == 'thawed'
  retries: 30
  delay: 10

- name: Show whether a virtual machine that QEMU runs without libvirt is frozen
  netless.qga.fsfreeze_info:
    endpoint: unix:/run/vms/web1.sock
"""

RETURN = r"""
status:
  description: V(frozen) or V(thawed), as the agent reports it.
  type: str
  returned: success
  sample: frozen
frozen:
  description: How many filesystems were frozen.
  type: int
  returned: if the guest is frozen, by this user on this host
  sample: 2
mountpoints:
  description: The filesystems that the task named to be frozen. An empty list stands for all.
  type: list
  elements: str
  returned: if RV(frozen) is returned
  sample: []
frozen_at:
  description: When they were frozen, in UTC.
  type: str
  returned: if RV(frozen) is returned
  sample: "2026-01-31T03:00:00Z"
guard:
  description: The guard, a process that thaws the guest when C(max_frozen) is over.
  type: dict
  returned: if RV(frozen) is returned and a guard runs
  contains:
    pid:
      description: Its process ID, on the host where the module runs. If the process gets SIGTERM, it thaws at once.
      type: int
      sample: 4711
    thaws_at:
      description: When it thaws, in UTC.
      type: str
      sample: "2026-01-31T03:05:00Z"
thawed_by:
  description:
    - Who ended the latest freeze by this user on this host, if no task did. V(guard) is the guard, because
      C(max_frozen) was over. V(others) is another tool, or a reboot of the guest.
    - What was copied after that may not be consistent.
  type: str
  returned: if the guest is thawed, and no task of M(netless.qga.fsfreeze) or M(netless.qga.quiesce) thawed it
  sample: guard
"""

from ansible_collections.netless.qga.plugins.module_utils._guest.fsfreeze.filesystems import THAWED, Filesystems
from ansible_collections.netless.qga.plugins.module_utils._guest.fsfreeze.record import RecordFile
from ansible_collections.netless.qga.plugins.module_utils._guest.fsfreeze.results import status_result
from ansible_collections.netless.qga.plugins.module_utils._task.module import run_module
from ansible_collections.netless.qga.plugins.module_utils._task.operation import Operation, Result, Task


def run(task: Task) -> Result:
    """Ask the agent for the status, and look up the freeze on this host."""
    status = Filesystems(task.agent, task.target).status()
    file = RecordFile(task.agent.endpoint)
    return status_result(status, file.read_after_thaw() if status == THAWED else file.read())


OPERATION = Operation(run)


def main() -> None:
    """Run as a module."""
    run_module(OPERATION)


if __name__ == "__main__":
    main()
