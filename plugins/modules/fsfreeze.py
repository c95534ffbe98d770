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
      - V(status) only tells which of them it is.
    type: str
    choices: [frozen, thawed, status]
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

- name: Is a virtual machine of QEMU's frozen?
  netless.qga.fsfreeze:
    endpoint: unix:/run/vms/web1.sock
    state: status
  register: freeze
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

import datetime
import time

from ansible_collections.netless.qga.plugins.module_utils._guest.fsfreeze.filesystems import FROZEN, THAWED
from ansible_collections.netless.qga.plugins.module_utils._guest.fsfreeze.freeze import GuestFreeze, thawed_before
from ansible_collections.netless.qga.plugins.module_utils._guest.fsfreeze.guard_process import is_running
from ansible_collections.netless.qga.plugins.module_utils._guest.fsfreeze.record import FreezeRecord
from ansible_collections.netless.qga.plugins.module_utils._local.signals import DeferredSignals
from ansible_collections.netless.qga.plugins.module_utils._task.module import run_module
from ansible_collections.netless.qga.plugins.module_utils._task.operation import Operation, Result, Task
from ansible_collections.netless.qga.plugins.module_utils.errors import InvalidRequest

# How much of the time that is asked for a guard has to have that is there already, not to be worth a warning.
_MIN_SHARE = 0.9


def run(task: Task) -> Result:
    """Bring the guest into the state."""
    state, mountpoints, max_frozen = (task.params[name] for name in ("state", "mountpoints", "max_frozen"))
    if state != FROZEN and not (mountpoints is None and max_frozen is None):
        raise InvalidRequest(
            f"mountpoints and max_frozen are for state: {FROZEN}. An agent thaws all that is frozen, and never a part"
        )
    if mountpoints is not None and not all(mountpoints or [""]):
        raise InvalidRequest("mountpoints has nothing in it, or an empty one. To freeze all filesystems, leave it out")
    if max_frozen is not None and not max_frozen > 0:
        raise InvalidRequest("max_frozen has to be more than 0 seconds")
    with DeferredSignals() as deferred_signals:
        freeze = GuestFreeze(task.agent, task.target, deferred_signals, task.warnings.append)
        status = freeze.status_to_thaw() if state == THAWED and not task.check_mode else freeze.status()
        if state == FROZEN:
            return _freeze(task, freeze, status)
        if state == THAWED:
            return _thaw(task, freeze, status)
        return {"status": status, **_known(freeze.record(), status)}


def _freeze(task: Task, freeze: GuestFreeze, status: str) -> Result:
    changed = task.changed({"status": status}, {"status": FROZEN})
    mountpoints, max_frozen = task.params["mountpoints"] or [], task.params["max_frozen"]
    record = None
    if status != FROZEN:
        if task.check_mode:
            return {**changed, "status": FROZEN}
        record = freeze.freeze(mountpoints, max_frozen=max_frozen)
    if record is None:
        record = freeze.record()
        known = _known(record, FROZEN)
        if (max_frozen is not None and "guard" not in known) or (
            mountpoints and mountpoints != known.get("mountpoints")
        ):
            task.warnings.append(
                "The guest is frozen already, by another freeze than this one was to be: mountpoints and max_frozen "
                "were not heeded, and no guard was started."
            )
        elif max_frozen is not None and record is not None:
            left = max(0.0, record.thaws_at - time.time())
            if left < _MIN_SHARE * max_frozen:
                task.warnings.append(f"The guest is frozen already, and its guard thaws it in {left:.0f} seconds.")
        return {**task.changed({"status": FROZEN}, {"status": FROZEN}), "status": FROZEN, **known}
    if record.count is not None and record.count < len(set(mountpoints)):
        task.warnings.append(f"Only {record.count} of the {len(set(mountpoints))} mountpoints were frozen.")
    return {**changed, "status": FROZEN, **_known(record, FROZEN)}


def _thaw(task: Task, freeze: GuestFreeze, status: str) -> Result:
    changed = task.changed({"status": status}, {"status": THAWED})
    if task.check_mode:
        return {**changed, "status": THAWED, **(_known(freeze.record(), THAWED) if status == THAWED else {})}
    ending = freeze.thaw()
    if ending.thaw is None:
        # It was thawed after all since it was asked.
        changed = task.changed({"status": THAWED}, {"status": THAWED})
    result: Result = {**changed, "status": THAWED}
    if ending.thaw is None or ending.thaw.count is not None:
        result["thawed"] = 0 if ending.thaw is None else ending.thaw.count
    if ending.thaw is not None and ending.record is not None:
        result.update(_known(ending.record, FROZEN))
        result.pop("guard", None)
    if ending.thawed_by:
        result.update(thawed_by=ending.thawed_by, consistent=False)
        who = "the guard, as the time was up" if ending.thawed_by == "guard" else "somebody else, or a reboot"
        task.warnings.append(
            f"The guest had been thawed before, by {who}. What was copied since may not be consistent."
        )
    elif ending.thaw is not None and ending.record is not None:
        result["consistent"] = not (ending.thaw.error or ending.counts_differ)
    if ending.thaw is not None and ending.thaw.error:
        result["consistent"] = False
        task.warnings.append(f"The guest was thawed, and its agent calls it an error: {ending.thaw.error}")
    if ending.counts_differ:
        task.warnings.append("Another number of filesystems was thawed than had been frozen.")
    return result


def _known(record: FreezeRecord | None, status: str) -> Result:
    """What a record tells of a guest that has that status."""
    if record is None:
        return {}
    if status == THAWED:
        thawed_by = thawed_before(record)
        return {"thawed_by": thawed_by} if thawed_by else {}
    if record.thawed_by or record.count is None:
        return {}
    known: Result = {
        "frozen": record.count,
        "mountpoints": list(record.mountpoints),
        "frozen_at": _timestamp(record.frozen_at),
    }
    if record.guard and is_running(record.guard):
        known["guard"] = {"pid": record.guard, "thaws_at": _timestamp(record.thaws_at)}
    return known


def _timestamp(seconds: float) -> str:
    return datetime.datetime.fromtimestamp(seconds, datetime.timezone.utc).strftime("%Y-%m-%dT%H:%M:%SZ")


OPERATION = Operation(
    run,
    {
        "state": {"type": "str", "choices": ["frozen", "thawed", "status"], "required": True},
        "mountpoints": {"type": "list", "elements": "str"},
        "max_frozen": {"type": "float"},
    },
)


def main() -> None:
    """Run as a module."""
    run_module(OPERATION)


if __name__ == "__main__":
    main()
