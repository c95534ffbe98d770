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
  - Freezes the filesystems of a guest, so that what is on its disks is complete and does not change, for a snapshot or
    a backup. Programs in the guest that write wait until it is thawed.
  - Whether it is frozen is what the agent says, so it may be run again and again. A freeze whose answer is lost is
    looked into, and undone if it was carried out, so that a guest is not frozen without somebody knowing.
  - With O(max_frozen) a guard thaws the guest when that time is over, whatever has happened to the play until then.
  - To freeze, take a snapshot and thaw in one task, use M(netless.qga.quiesce).
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
      - V(frozen) freezes, and fails if nothing could be frozen.
      - V(thawed) thaws all that is frozen.
    type: str
    choices: [frozen, thawed]
    required: true
  mountpoints:
    description:
      - The filesystems to freeze. Without this option it is all of them.
      - They have to be spelled as C(guest-get-fsinfo) tells them, like V(/) and V(/srv/data). If none of them is
        frozen, the task fails.
      - Only with O(state=frozen), as an agent thaws all or nothing.
    type: list
    elements: str
  max_frozen:
    description:
      - Seconds after which the guest is thawed if nobody has done so.
      - A process of its own does that, on the host where the module runs, which is the controller over a host's own
        connection. It goes on when the play has ended or was killed, and steps back if the guest is thawed or frozen
        anew in the meantime. If the agent does not answer then, it tries again for an hour.
      - In a container, like an execution environment of AWX's, it ends with the container. There run the module on the
        hypervisor, with C(delegate_to).
      - Only with O(state=frozen).
    type: float
seealso:
  - module: netless.qga.fsfreeze_info
  - module: netless.qga.quiesce
  - module: netless.qga.fstrim
notes:
  - Without O(timeout), V(600) seconds are allowed for freezing and V(180) for thawing.
  - A freeze that is not answered in time is looked into for another minute, whatever O(timeout) is, since it may come
    later.
  - Several agents in one guest do not know of one another. What was frozen by one, the others take for thawed.
"""

EXAMPLES = r"""
- name: Freeze a virtual machine, for five minutes at most, over its own connection
  netless.qga.fsfreeze:
    state: frozen
    max_frozen: 300

- name: Thaw it
  netless.qga.fsfreeze:
    state: thawed

- name: Freeze one filesystem of a domain, on its hypervisor
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
    - V(frozen) or V(thawed), as it is afterwards; in check mode as it would be.
    - V(unknown) if the task failed and the agent cannot be asked.
  type: str
  returned: always, but for guests that cannot be reached
  sample: frozen
frozen:
  description: How many filesystems were frozen, by this task or before by this module or M(netless.qga.quiesce).
  type: int
  returned: if it is known
  sample: 2
thawed:
  description: How many filesystems were thawed.
  type: int
  returned: if O(state=thawed) and it is known
  sample: 2
mountpoints:
  description: The filesystems that were to be frozen; none for all of them.
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
  description: The guard that thaws when the time is up.
  type: dict
  returned: if there is one, and the guest is frozen
  contains:
    pid:
      description: Its process, on the host where the module runs. It thaws at once if it gets SIGTERM.
      type: int
      sample: 4711
    thaws_at:
      description: When it thaws, in UTC.
      type: str
      sample: "2026-01-31T03:05:00Z"
thawed_by:
  description:
    - Who thawed before this task could. V(guard) is the guard, as the time was up. V(others) is anybody else, or a
      reboot of the guest.
    - What was copied after that may not be consistent.
  type: str
  returned: if a freeze is known that this module did not end itself
  sample: guard
consistent:
  description:
    - Whether the guest was frozen from the known freeze until now. Not if it was thawed in the meantime, if another
      number of filesystems was thawed than frozen, or if the agent says that thawing failed, as Windows does after
      ten seconds.
  type: bool
  returned: if O(state=thawed) and a freeze is known that was still to end
  sample: true
thawed_again:
  description: Whether the guest had been frozen by a command whose answer was lost, and was thawed again for that.
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
    """Bring the guest into the state."""
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
