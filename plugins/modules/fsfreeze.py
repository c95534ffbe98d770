#!/usr/bin/python
# Copyright (c) 2026, the netless.qga authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: fsfreeze
short_description: Freeze and thaw a guest's filesystems
version_added: 0.1.0
author:
  - The netless.qga authors (@netless)
description:
  - Freezes the filesystems of a guest, so that its disks hold everything that was written and do not change during a
    snapshot or a backup. Programs in the guest that write wait until the guest is thawed.
  - The module asks the agent whether the guest is frozen, so you can run it repeatedly. If the answer to a freeze is
    lost, it asks the agent for the status, and thaws the guest if it was frozen, so that no guest stays frozen
    unnoticed.
  - With O(max_frozen), a guard thaws the guest when that time is over, whatever has happened to the play until then.
  - To freeze, take a snapshot and thaw in one task, use M(netless.qga.quiesce). To show whether a guest is frozen, use
    M(netless.qga.fsfreeze_info).
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
    platforms: Linux with filesystems that can be frozen, like ext4, xfs and btrfs; Windows
options:
  state:
    description:
      - V(frozen) freezes the filesystems, and fails if none could be frozen.
      - V(thawed) thaws all frozen filesystems, also those that another tool froze.
    type: str
    choices: [frozen, thawed]
    required: true
  mountpoints:
    description:
      - The filesystems to freeze. Without this option, all are frozen.
      - Spell the mountpoints as C(guest-get-fsinfo) reports them, like V(/) and V(/srv/data). The task fails if none of
        them was frozen, and warns if only some were.
      - Only with O(state=frozen), as an agent thaws all filesystems or none.
    type: list
    elements: str
  max_frozen:
    description:
      - Seconds after which a guard thaws the guest if nobody has done so. It is at most a year.
      - The guard is a process on the host where the module runs; that is the controller if the task uses the guest's
        own connection. It goes on when the play has ended or was killed. It ends without a thaw if the guest was thawed
        or frozen again in the meantime. If the agent does not answer when the time is up, the guard tries again for an
        hour.
      - In a container, like an execution environment of AWX, the guard ends with the container. Run the module on the
        hypervisor in that case, with C(delegate_to).
      - Only with O(state=frozen).
    type: float
seealso:
  - module: netless.qga.fsfreeze_info
  - module: netless.qga.quiesce
  - module: netless.qga.fstrim
notes:
  - Without O(timeout), freezing may take V(600) seconds and thawing V(180).
  - If the agent does not answer a freeze in time, the module asks for the status for another minute, whatever
    O(timeout) is, since the agent may still carry out the freeze.
  - Several agents in one guest do not know of each other. An agent reports filesystems as thawed that another agent has
    frozen.
"""

EXAMPLES = r"""
- name: Freeze a virtual machine for five minutes at most, over its own connection
  netless.qga.fsfreeze:
    state: frozen
    max_frozen: 300

- name: Thaw it
  netless.qga.fsfreeze:
    state: thawed

- name: Freeze one filesystem of a domain on its hypervisor
  netless.qga.fsfreeze:
    domain: web1
    state: frozen
    mountpoints:
      - /
    max_frozen: 60
  delegate_to: hypervisor1

- name: Thaw a virtual machine that QEMU runs without libvirt
  netless.qga.fsfreeze:
    endpoint: unix:/run/vms/web1.sock
    state: thawed
"""

RETURN = r"""
status:
  description:
    - V(frozen) or V(thawed), the status after the task; in check mode the status that it would have.
    - V(unknown) if the task failed and the agent does not report the status.
  type: str
  returned: always, except for guests that cannot be reached
  sample: frozen
frozen:
  description:
    - How many filesystems were frozen, by this task or an earlier one of this module or M(netless.qga.quiesce).
  type: int
  returned: if it is known
  sample: 2
thawed:
  description: How many filesystems were thawed.
  type: int
  returned: if O(state=thawed) and it is known
  sample: 2
mountpoints:
  description: The filesystems that the task named to be frozen. An empty list stands for all.
  type: list
  elements: str
  returned: if RV(frozen) is known
  sample: []
frozen_at:
  description: When they were frozen, in UTC.
  type: str
  returned: if RV(frozen) is known
  sample: "2026-01-31T03:00:00Z"
guard:
  description: The guard, a process that thaws the guest when O(max_frozen) is over.
  type: dict
  returned: if a guard runs and the guest is frozen
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
    - Who thawed the guest before this task could. V(guard) is the guard, because O(max_frozen) was over. V(others) is
      another tool, or a reboot of the guest.
    - What was copied after that may not be consistent.
  type: str
  returned: if O(state=thawed) and a freeze is known that no task ended
  sample: guard
consistent:
  description:
    - Whether the guest was frozen from the known freeze until now.
    - V(false) if it was thawed in the meantime, if the number of filesystems thawed differs from the number frozen, or
      if the agent reports an error of the thaw, as it does on Windows after ten seconds.
  type: bool
  returned: if O(state=thawed) and a freeze is known that no task had ended, or the agent reports an error of the thaw
  sample: true
thawed_again:
  description: Whether a freeze whose answer was lost had frozen the guest, so that the module thawed it again.
  type: bool
  returned: if the answer to a freeze was lost
  sample: true
"""

from ansible_collections.netless.qga.plugins.module_utils._guest.fsfreeze.filesystems import FROZEN
from ansible_collections.netless.qga.plugins.module_utils._guest.fsfreeze.freeze import GuestFreeze, validate_options
from ansible_collections.netless.qga.plugins.module_utils._guest.fsfreeze.results import (
    freeze_guest,
    predict_change,
    thaw_guest,
)
from ansible_collections.netless.qga.plugins.module_utils._local.signals import DeferredSignals
from ansible_collections.netless.qga.plugins.module_utils._task.module import run_module
from ansible_collections.netless.qga.plugins.module_utils._task.operation import Operation, Result, Task
from ansible_collections.netless.qga.plugins.module_utils.errors import InvalidRequest


def run(task: Task) -> Result:
    """Freeze or thaw the guest."""
    state, mountpoints, max_frozen = (task.params[name] for name in ("state", "mountpoints", "max_frozen"))
    if state != FROZEN and not (mountpoints is None and max_frozen is None):
        raise InvalidRequest(
            f"mountpoints and max_frozen require state: {FROZEN}. An agent can only thaw everything that is frozen"
        )
    validate_options(mountpoints, max_frozen)
    warn = task.warnings.append
    with DeferredSignals() as deferred_signals:
        guest = GuestFreeze(task.agent, task.target, deferred_signals, warn)
        if task.check_mode:
            before, result = predict_change(guest, state, mountpoints or [], max_frozen, warn)
        elif state == FROZEN:
            before, result = freeze_guest(guest, mountpoints or [], max_frozen, warn)
        else:
            before, result = thaw_guest(guest, warn)
    return {**task.changed({"status": before}, {"status": state}), **result}


OPERATION = Operation(
    run,
    {
        "state": {"type": "str", "choices": ["frozen", "thawed"], "required": True},
        "mountpoints": {"type": "list", "elements": "str"},
        "max_frozen": {"type": "float"},
    },
)


def main() -> None:
    """Run as a module."""
    run_module(OPERATION)


if __name__ == "__main__":
    main()
