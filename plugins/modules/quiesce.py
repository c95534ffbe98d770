#!/usr/bin/python
# Copyright (c) 2026, the netless.qga authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: quiesce
short_description: Run a command while a guest's filesystems are frozen
version_added: 0.1.0
author:
  - The netless.qga authors (@netless)
description:
  - Freezes a guest's filesystems, runs a command, and thaws them again. The command takes a snapshot or a copy of the
    guest's disks, and runs on the host where the module runs. That is the controller over a guest's own connection.
  - The guest is thawed whatever happens, also if the command is not found, takes too long or fails, if the task is
    interrupted by a signal or its C(timeout), and if the module is killed.
  - Tells whether what the command has copied can be called consistent.
  - A guest that is frozen already is left as it is, and the task fails.
extends_documentation_fragment:
  - netless.qga.endpoint
  - netless.qga.attributes
  - netless.qga.attributes.actiongroup_qga
attributes:
  check_mode:
    support: full
    description: Runs nothing and freezes nothing, and reports a change.
  diff_mode:
    support: N/A
    description: What the command changes is not known.
  idempotent:
    support: none
    description: The command is run each time.
  platform:
    support: full
    platforms: Linux with filesystems that can be frozen, like ext4, xfs and btrfs; Windows
options:
  argv:
    description:
      - The command, as a program and its arguments. No shell is involved.
      - Either this or O(cmd) is needed.
    type: list
    elements: str
  cmd:
    description:
      - The command, as a text for C(/bin/sh).
    type: str
  chdir:
    description:
      - The directory in which the command runs.
    type: path
  mountpoints:
    description:
      - The filesystems to freeze, as for M(netless.qga.fsfreeze). Without this option it is all of them.
    type: list
    elements: str
  max_frozen:
    description:
      - Seconds that the command may take. After that it is ended, with all processes that it has started, first with
        SIGTERM and two seconds later with SIGKILL, and the guest is thawed.
    type: float
    default: 300
seealso:
  - module: netless.qga.fsfreeze
  - module: netless.qga.fsfreeze_info
notes:
  - Without O(timeout), V(600) seconds are allowed for freezing and V(180) for thawing.
  - A freeze that is not answered in time is looked into for another minute, whatever O(timeout) is, since it may come
    later.
  - If the module is killed with SIGKILL, the guard thaws within seconds. The command is not ended then.
  - Through libvirt do not let the command freeze by itself. With C(virsh snapshot-create-as) leave C(--quiesce) out.
"""

EXAMPLES = r"""
- name: A snapshot of a domain's disks, over the guest's own connection, with the domain on the controller
  netless.qga.quiesce:
    argv:
      - virsh
      - --connect
      - qemu:///system
      - snapshot-create-as
      - web1
      - --disk-only
      - --atomic
    max_frozen: 30

- name: The same on the hypervisor
  netless.qga.quiesce:
    domain: web1
    cmd: virsh --connect qemu:///system snapshot-create-as web1 --disk-only --atomic
    max_frozen: 30
  delegate_to: hypervisor1
  register: snapshot
  failed_when: snapshot is failed or not snapshot.consistent | default(true)

- name: A copy of the volume that a virtual machine of QEMU's has its data on
  netless.qga.quiesce:
    endpoint: unix:/run/vms/web1.sock
    cmd: lvcreate --snapshot --name web1-nightly --size 5G vms/web1
"""

RETURN = r"""
rc:
  description: The status of the command. The number of a signal that ended it, as a negative one.
  type: int
  returned: if the command was started
  sample: 0
stdout:
  description: The standard output of the command, the first mebibyte. What is not UTF-8 is replaced.
  type: str
  returned: if the command was started
  sample: Domain snapshot nightly created
stdout_lines:
  description: The lines of RV(stdout).
  type: list
  elements: str
  returned: if the command was started
  sample: [Domain snapshot nightly created]
stderr:
  description: The standard error of the command, like RV(stdout).
  type: str
  returned: if the command was started
  sample: ""
stderr_lines:
  description: The lines of RV(stderr).
  type: list
  elements: str
  returned: if the command was started
  sample: []
start:
  description: When the command was started.
  type: str
  returned: if the guest was frozen
  sample: "2026-01-31 03:00:00.123456"
end:
  description: When it had ended.
  type: str
  returned: if the command was started
  sample: "2026-01-31 03:00:01.654321"
held:
  description: Seconds from the end of the freeze to the end of the thaw.
  type: float
  returned: if the guest was frozen
  sample: 1.62
frozen:
  description: How many filesystems were frozen.
  type: int
  returned: if the guest was frozen
  sample: 2
thawed:
  description: How many filesystems were thawed. Null if that is not known.
  type: int
  returned: if the guest was thawed
  sample: 2
mountpoints:
  description: The filesystems that were to be frozen; none for all of them.
  type: list
  elements: str
  returned: if the guest was frozen
  sample: []
status:
  description:
    - V(thawed), or V(unknown) if thawing failed.
    - V(frozen) if somebody thawed the guest and froze it anew with this collection in the meantime. It is left so then.
  type: str
  returned: if the guest was frozen
  sample: thawed
consistent:
  description: Whether what the command has copied can be called consistent.
  type: bool
  returned: if the guest was frozen
  sample: true
inconsistent_because:
  description:
    - Why not, in words of their own.
    - V(command_failed), V(command_not_started), V(timed_out) and V(interrupted) are about the command.
    - V(not_all_frozen) means that fewer filesystems were frozen than there are in O(mountpoints).
    - V(thawed_meanwhile) means that somebody thawed the guest before the command had ended, or that it was rebooted.
    - V(counts_differ) means that another number of filesystems was thawed than frozen.
    - V(thaw_error) means that the guest was thawed, and its agent calls it an error.
    - V(windows_limit) means that the guest runs Windows, and the command took more than the ten seconds for which
      Windows holds writes back.
    - V(not_thawed) means that thawing failed.
  type: list
  elements: str
  returned: if the guest was frozen
  sample: []
"""

from ansible_collections.netless.qga.plugins.module_utils._guest.fsfreeze.freeze import validate_options
from ansible_collections.netless.qga.plugins.module_utils._guest.fsfreeze.quiesced_command import QuiescedCommand
from ansible_collections.netless.qga.plugins.module_utils._task.module import run_module
from ansible_collections.netless.qga.plugins.module_utils._task.operation import Operation, Result, Task
from ansible_collections.netless.qga.plugins.module_utils.errors import InvalidRequest


def run(task: Task) -> Result:
    """Freeze, run the command, thaw."""
    argv, mountpoints = task.params["argv"], task.params["mountpoints"]
    if not (argv or task.params["cmd"]):
        raise InvalidRequest("there is no command: argv or cmd is empty")
    validate_options(mountpoints, task.params["max_frozen"])
    if task.check_mode:
        return {"changed": True}
    quiesced_command = QuiescedCommand(
        task.agent,
        task.target,
        argv or ["/bin/sh", "-c", task.params["cmd"]],
        chdir=task.params["chdir"],
        mountpoints=mountpoints or [],
        max_frozen=task.params["max_frozen"],
        warn=task.warnings.append,
    )
    return quiesced_command.run()


OPERATION = Operation(
    run,
    {
        "argv": {"type": "list", "elements": "str"},
        "cmd": {"type": "str"},
        "chdir": {"type": "path"},
        "mountpoints": {"type": "list", "elements": "str"},
        "max_frozen": {"type": "float", "default": 300},
    },
    {"mutually_exclusive": [("argv", "cmd")], "required_one_of": [("argv", "cmd")]},
)


def main() -> None:
    """Run as a module."""
    run_module(OPERATION)


if __name__ == "__main__":
    main()
