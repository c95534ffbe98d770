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
    guest's disks. It runs on the host where the module runs; that is the controller if the task uses the guest's own
    connection.
  - The guest is thawed whatever happens, even if the command is not found, takes too long or fails, if a signal or the
    C(timeout) of the task interrupts it, and if the module is killed. In the last case a guard thaws, a process that
    outlives the module.
  - Returns whether the copy that the command made is consistent.
  - The task fails if the guest is frozen already, and leaves it frozen.
extends_documentation_fragment:
  - netless.qga.endpoint
  - netless.qga.attributes
  - netless.qga.attributes.actiongroup_qga
attributes:
  check_mode:
    support: full
    description: In check mode runs nothing, freezes nothing, and reports a change.
  diff_mode:
    support: N/A
    description: The module does not know what the command changes.
  idempotent:
    support: none
    description: It runs the command each time.
  platform:
    support: full
    platforms: Linux with filesystems that can be frozen, like ext4, xfs and btrfs; Windows
options:
  argv:
    description:
      - The command, as a program and its arguments, without a shell.
      - Set either this option or O(cmd).
    type: list
    elements: str
  cmd:
    description:
      - The command, as a script for C(/bin/sh).
    type: str
  chdir:
    description:
      - The directory in which the command runs.
    type: path
  mountpoints:
    description:
      - The filesystems to freeze, as for M(netless.qga.fsfreeze). Without this option, all are frozen.
    type: list
    elements: str
  max_frozen:
    description:
      - Seconds that the command may take. After that, the module ends it with all processes that it has started, first
        with SIGTERM and two seconds later with SIGKILL, and thaws the guest. It is at most a year.
    type: float
    default: 300
seealso:
  - module: netless.qga.fsfreeze
  - module: netless.qga.fsfreeze_info
notes:
  - Without O(timeout), freezing may take V(600) seconds and thawing V(180).
  - If the agent does not answer a freeze in time, the module asks for the status for another minute, whatever
    O(timeout) is, since the agent may still carry out the freeze.
  - If the module is killed with SIGKILL, the guard thaws within seconds. The command goes on in that case.
  - Through libvirt, the command must not freeze by itself. With C(virsh snapshot-create-as), leave C(--quiesce) out.
"""

EXAMPLES = r"""
- name: Take a snapshot of a domain's disks over the guest's own connection, where the controller is the hypervisor
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

- name: Do the same on the hypervisor
  netless.qga.quiesce:
    domain: web1
    cmd: virsh --connect qemu:///system snapshot-create-as web1 --disk-only --atomic
    max_frozen: 30
  delegate_to: hypervisor1
  register: snapshot
  failed_when: snapshot is failed or not snapshot.consistent | default(true)

- name: Take a snapshot of the volume of a virtual machine that QEMU runs without libvirt
  netless.qga.quiesce:
    endpoint: unix:/run/vms/web1.sock
    cmd: lvcreate --snapshot --name web1-nightly --size 5G vms/web1
"""

RETURN = r"""
rc:
  description: The exit status of the command. If a signal ended it, its number with a minus sign.
  type: int
  returned: if the command was started
  sample: 0
stdout:
  description: The standard output of the command, its first mebibyte. Bytes that are not UTF-8 are replaced.
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
  description: When the command had ended.
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
  description: How many filesystems were thawed. V(null) if that is not known.
  type: int
  returned: if the guest was thawed
  sample: 2
mountpoints:
  description: The filesystems that the task named to be frozen. An empty list stands for all.
  type: list
  elements: str
  returned: if the guest was frozen
  sample: []
status:
  description:
    - V(thawed), or V(unknown) if thawing failed.
    - V(frozen) if somebody thawed the guest and froze it again with this collection in the meantime. The task leaves it
      frozen in that case.
  type: str
  returned: if the guest was frozen
  sample: thawed
consistent:
  description: Whether the copy that the command made is consistent.
  type: bool
  returned: if the guest was frozen
  sample: true
inconsistent_because:
  description:
    - Why the copy is not consistent, one word for each reason.
    - V(command_failed), V(command_not_started), V(timed_out) and V(interrupted) are about the command.
    - V(not_all_frozen) means that fewer filesystems were frozen than there are in O(mountpoints).
    - V(thawed_meanwhile) means that somebody thawed the guest before the command had ended, or that it was rebooted.
    - V(counts_differ) means that the number of filesystems thawed differs from the number frozen.
    - V(thaw_error) means that the guest was thawed, but its agent reported an error.
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
    """Freeze the guest, run the command, and thaw it."""
    argv, mountpoints = task.params["argv"], task.params["mountpoints"]
    if not (argv or task.params["cmd"]):
        raise InvalidRequest("there is no command to run: argv or cmd is empty")
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
