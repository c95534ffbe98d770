#!/usr/bin/python
# Copyright (c) 2026, the netless.qga authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: suspend
short_description: Suspend a guest to its memory or its disk, verify that it happens, and wake it up
version_added: 0.1.0
author:
  - The netless.qga authors (@netless)
description:
  - Asks a guest to suspend itself through its agent. The guest notices this, unlike a pause of its virtual machine.
  - An agent does not answer when that succeeds. The module therefore waits until it can be seen from outside, and
    returns what has shown it in RV(evidence).
  - If the agent, or libvirt, answers with an error, the task fails with that error. Not every guest and not every
    machine type of QEMU can be suspended.
  - If nothing is seen in time, the task fails with RV(ignore:error=outcome_unknown). The guest may still do it.
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
    support: partial
    details:
      - Through libvirt a guest that is suspended is left suspended, unless O(resume=true).
      - On other endpoints a suspended guest looks like one whose agent does not answer, which is an error.
  platform:
    support: full
    platforms: all
options:
  mode:
    description:
      - Where the guest is suspended to.
      - V(ram) keeps the guest in its memory. The virtual machine keeps running, and waits to be woken up.
      - V(disk) writes the guest's memory to its disk and switches the virtual machine off. The guest continues when the
        virtual machine is started.
      - V(hybrid) writes the guest's memory to its disk, and then does the same as V(ram). Only Linux has it.
    type: str
    choices: [ram, disk, hybrid]
    default: ram
  resume:
    description:
      - Whether to wake the guest up once it was seen suspended, and to wait until its agent answers again.
      - A guest that is suspended already is only woken up.
      - It needs an endpoint that goes through libvirt, and a O(mode) other than V(disk).
    type: bool
    default: false
  wait_timeout:
    description:
      - Seconds until the guest has to be seen suspended. With O(resume=true), its agent has the same time again to
        answer after the guest was woken up.
    type: float
    default: 120
seealso:
  - module: netless.qga.shutdown
  - ref: ansible_collections.netless.qga.docsite.power_guide
    description: What each endpoint can show, and what a domain needs to be suspended.
"""

EXAMPLES = r"""
- name: Suspend the virtual machine to its memory, over its own connection
  netless.qga.suspend:

- name: Wake a domain up on the hypervisor, or suspend it and wake it up at once
  netless.qga.suspend:
    domain: web1
    resume: true

- name: Suspend a virtual machine without libvirt to its disk
  netless.qga.suspend:
    endpoint: unix:/run/vms/web1.sock
    mode: disk
"""

RETURN = r"""
mode:
  description: Where the guest was suspended to.
  type: str
  returned: always
  sample: ram
evidence:
  description:
    - What has shown that the guest is suspended.
    - V(domain_suspended) means that libvirt reports the guest as suspended to its memory.
    - V(domain_off) means that libvirt reports the domain as off, as it is after O(mode=disk).
    - V(channel_closed) means that nobody is at the other end of the endpoint any more, because QEMU has ended.
    - V(agent_gone) means that the agent has not answered for ten seconds on a channel that is open.
  type: str
  returned: if something was seen
  sample: domain_suspended
state:
  description: The state of the guest now, one of V(suspended), V(off) and V(running).
  type: str
  returned: if it is known
  sample: suspended
resumed:
  description: Whether the guest was woken up.
  type: bool
  returned: always
  sample: false
elapsed:
  description: Seconds that the module took.
  type: float
  returned: always
  sample: 2.1
"""

from ansible_collections.netless.qga.plugins.module_utils._deadline import Deadline
from ansible_collections.netless.qga.plugins.module_utils._guest.power.guest_monitor import GuestMonitor
from ansible_collections.netless.qga.plugins.module_utils._guest.power.suspend import COMMANDS, DISK, Suspend
from ansible_collections.netless.qga.plugins.module_utils._task.module import run_module
from ansible_collections.netless.qga.plugins.module_utils._task.operation import Operation, Result, Task
from ansible_collections.netless.qga.plugins.module_utils.errors import InvalidRequest


def run(task: Task) -> Result:
    """Suspend the guest, wait until that is seen, and wake it up if asked to."""
    resume = task.params["resume"]
    if resume:
        _require_resumable(task)
    suspend = Suspend(
        GuestMonitor(task.agent, task.domain, connect_timeout=task.target.connect_timeout),
        task.params["mode"],
        wait_timeout=task.params["wait_timeout"],
        resume=resume,
        libvirt_waits=task.target.address.uses_libvirt_rpc,
    )
    result = suspend.already_suspended(Deadline.after(task.target.connect_timeout))
    if result is None:
        result = suspend.check(task.deadline()) if task.check_mode else suspend.run(task.deadline())
    if resume and not task.check_mode:
        result = suspend.wake_up(result)
    return {**result.as_result(), **task.changed(*result.difference()), "changed": result.changed}


def _require_resumable(task: Task) -> None:
    if task.domain is None:
        raise InvalidRequest(
            f"{task.agent.endpoint}: resume needs a libvirt endpoint, as libvirt wakes the guest up; nothing was done"
        )
    if task.params["mode"] == DISK:
        raise InvalidRequest(
            f"{task.agent.endpoint}: a guest that is suspended to its disk is off, and continues when it is started; "
            f"resume is for the other modes, and nothing was done"
        )


OPERATION = Operation(
    run,
    {
        "mode": {"type": "str", "choices": list(COMMANDS), "default": "ram"},
        "resume": {"type": "bool", "default": False},
        "wait_timeout": {"type": "float", "default": 120},
    },
)


def main() -> None:
    """Run as a module."""
    run_module(OPERATION)


if __name__ == "__main__":
    main()
